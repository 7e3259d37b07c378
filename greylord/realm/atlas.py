"""The map of the realm: directions, exits and routes."""

from collections import deque
from collections.abc import Callable, Mapping

from greylord.realm.areas import AREAS

__all__ = [
    "AREA_OF",
    "DIRECTIONS",
    "EXITS",
    "OPPOSITE",
    "ROOMS",
    "START",
    "find_route",
    "heading",
    "origin",
]

ROOMS = {key: room for area in AREAS.values() for key, room in area.rooms.items()}
"""All rooms by key."""

AREA_OF = {room: key for key, area in AREAS.items() for room in area.rooms}
"""Room key to area key."""

START = "chapel"
"""The room where heroes enter the realm for the first time, and wake after a defeat."""

OPPOSITE: Mapping[str, str] = {
    "north": "south",
    "south": "north",
    "east": "west",
    "west": "east",
    "northeast": "southwest",
    "northwest": "southeast",
    "southeast": "northwest",
    "southwest": "northeast",
    "up": "down",
    "down": "up",
}

DIRECTIONS: Mapping[str, str] = {
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
    "northeast": "ne",
    "northwest": "nw",
    "southeast": "se",
    "southwest": "sw",
    "up": "u",
    "down": "d",
}
"""Directions in the order in which a room lists its exits, and their abbreviations."""

# "a north b" reads: b lies north of a.
_PATHS = """
square north moorgate, square east market, square south stair, square west ropewalk, square northeast chapel
chapel east cloister, market north chandler, market east weir, market south smithy, weir north archive
weir east stillroom, ropewalk north tavern, tavern west snug
stair south fishquay, fishquay east longpier, fishquay west tarshed, longpier east pierend, tarshed south slip
tarshed west netloft, fishquay south customs, customs down culvert
moorgate north moorroad, moorroad north cairn, cairn northeast stones, cairn west heath, cairn north ridge
heath northwest gibbet, heath south fold, stones east tarn, ridge west gibbet, tarn south hollow
hollow southwest moorroad, tarn north peat, peat west ridge
hollow east causeway, causeway east reeds, reeds north pool, reeds southeast boards, pool east hummock
boards east punt, hummock south punt, boards southwest flats, punt northeast mere, hummock east mere
mere east eelhut, pool northwest bogoak
flats south spit, spit south lightfoot, lightfoot east oilstore, lightfoot up lowstair, lowstair up watchroom
watchroom up highstair, highstair up lamproom, lamproom west gallery
cloister down undercroft, undercroft north ossuary, ossuary east niches, ossuary west drywell
niches north choir, drywell down flooded, choir east ringers, ringers south crawl, crawl west niches
flooded west saltvault, choir down silentbell
"""


def _exits() -> Mapping[str, Mapping[str, str]]:
    """Return the exits of each room, in listing order.

    Every path can be walked both ways.
    """
    exits: dict[str, dict[str, str]] = {key: {} for key in ROOMS}
    for path in _PATHS.replace(",", "\n").split("\n"):
        if path:
            start, direction, end = path.split()
            exits[start][direction] = end
            exits[end][OPPOSITE[direction]] = start
    return {
        key: {direction: ways[direction] for direction in DIRECTIONS if direction in ways}
        for key, ways in exits.items()
    }


EXITS: Mapping[str, Mapping[str, str]] = _exits()
"""Room key to {direction: key of the room there}."""


def heading(direction: str) -> str:
    """Name a direction as a departure does: "to the north", "upwards"."""
    return f"{direction}wards" if direction in ("up", "down") else f"to the {direction}"


def origin(direction: str) -> str:
    """Name a direction as an arrival from it does: "the north", "above"."""
    return {"up": "above", "down": "below"}.get(direction, f"the {direction}")


def find_route(start: str, arrived: Callable[[str], bool]) -> list[str]:
    """Find the shortest walk to the nearest room that satisfies a condition.

    Args:
        start: Key of the room to start from.
        arrived: Condition on a room key.

    Returns:
        Directions to walk in; empty if `start` satisfies the condition or no reachable room does.
    """
    ways: dict[str, list[str]] = {start: []}
    queue = deque([start])
    while queue:
        key = queue.popleft()
        if arrived(key):
            return ways[key]
        for direction, end in EXITS[key].items():
            if end not in ways:
                ways[end] = [*ways[key], direction]
                queue.append(end)
    return []
