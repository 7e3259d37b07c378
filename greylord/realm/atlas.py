"""The places of the realm: pure tables of areas, rooms and paths, and the way from one room to another."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

__all__ = [
    "AREAS",
    "DIRECTIONS",
    "EXITS",
    "OPPOSITE",
    "ROOMS",
    "START",
    "Area",
    "Room",
    "heading",
    "origin",
    "route",
]


class Area(NamedTuple):
    """A neighbourhood: which monsters live in it, how many, and from which hero level on it is no folly."""

    species: tuple[str, ...]
    population: int
    level: int


class Room(NamedTuple):
    """A place: its unique title, the area it lies in, what a visitor sees, and whether it has a roof."""

    title: str
    area: str
    prose: str
    roof: bool = False


START = "chapel"
"""Where heroes enter the realm for the first time, and wake after a death."""

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
"""Directions in the order a room lists them, with what players type for them."""

AREAS: Mapping[str, Area] = {
    "town": Area((), 0, 1),
    "quays": Area(("rat", "crab", "gull", "footpad"), 18, 1),
    "moor": Area(("hare", "hound", "boar", "wight"), 22, 2),
    "marsh": Area(("toad", "leech", "wisp", "eel"), 22, 3),
    "light": Area(("spider", "imp", "wrecker", "keeper"), 17, 4),
    "crypt": Area(("moth", "rattler", "warden", "ringer"), 22, 5),
}

ROOMS: Mapping[str, Room] = {
    # The town of Wrackhaven: safe ground, shops, and the chapel where the dead wake.
    "chapel": Room(
        "Chapel of the Quiet Bell",
        "town",
        "Candle ends gutter on a hundred ledges, one for every boat that never came home. The great bell "
        "hangs wrapped in sailcloth, for nobody in Wrackhaven has dared to ring it since the flood. A "
        "sister in grey sweeps sand from the flagstones.",
        True,
    ),
    "cloister": Room(
        "Chapel Garden",
        "town",
        "Samphire and sea kale grow in neat beds between whale ribs set upright like arches. Bees hum about "
        "three straw hives, and a low door in the wall breathes cold air from below.",
    ),
    "square": Room(
        "Bellwether Square",
        "town",
        "Four streets meet around a stone ram with one horn worn smooth by lucky hands. A crier's box "
        "stands empty beside the pump, and notices flap on the board by the chapel steps.",
    ),
    "market": Room(
        "Herring Market",
        "town",
        "Trestles run in rows beneath patched awnings, silver with scales and loud with gulls. The price of "
        "everything is chalked in fish, and the fish are counted twice.",
    ),
    "chandler": Room(
        "Pettifer's Chandlery",
        "town",
        "Coils of rope, tallow lamps and tarred coats hang so thick from the beams that every customer "
        "stoops. A brass scale stands upon the counter, and a cat sleeps in the scale.",
        True,
    ),
    "smithy": Room(
        "The Bent Anchor Smithy",
        "town",
        "An anchor folded double by some unspoken storm hangs over the forge. Hooks, blades and ship's "
        "nails glow in the coals while the bellows sigh like surf.",
        True,
    ),
    "stillroom": Room(
        "Mother Sedge's Stillroom",
        "town",
        "Copper worms drip into bottles of every colour. Bundles of bog myrtle dry overhead, and the air is "
        "sweet enough to sleep in and sharp enough to wake from it.",
        True,
    ),
    "tavern": Room(
        "The Gull and Kettle",
        "town",
        "Driftwood burns blue and green in the hearth of the only inn that kept its roof. Benches made of "
        "broken masts surround it, and a kettle the size of a barrel is never off the boil.",
        True,
    ),
    "snug": Room(
        "The Snug Behind the Bar",
        "town",
        "Two settles and a table carved with four hundred names fill this little room to the door. Someone "
        "has left a game of bone draughts half played.",
        True,
    ),
    "ropewalk": Room(
        "Ropewalk Lane",
        "town",
        "The lane is dead straight and as long as a cable, for that is what was made in it. Hemp dust lies "
        "in every crack, and the spinners walk backwards all day long.",
    ),
    "stair": Room(
        "Fishwives' Stair",
        "town",
        "Worn steps drop toward the harbour between leaning houses. Washing hangs overhead like signal "
        "flags, and every landing has its stool, its knife and its opinion.",
    ),
    "moorgate": Room(
        "Moorgate",
        "town",
        "The last arch of the old wall frames the open moor. A watchman warms his hands at a brazier and "
        "marks each traveller with a pebble: black for those who go, white for those who return.",
    ),
    "weir": Room(
        "Weir Street",
        "town",
        "A millrace runs down the middle of the street and under a dozen doorstep bridges. Ducks have the "
        "right of way, and know it.",
    ),
    "archive": Room(
        "The Drowned Archive",
        "town",
        "Shelves lean like tired men under books swollen to twice their size. A clerk turns wet pages with "
        "a palette knife, copying what the sea has left to be read.",
        True,
    ),
    # The quays: rats, crabs and thieves.
    "fishquay": Room(
        "Fish Quay",
        "quays",
        "Cobbles slick with brine slope to the water between bollards shaped like sleeping seals. Creels "
        "are stacked shoulder high, and something small is always moving behind them.",
    ),
    "longpier": Room(
        "The Long Pier",
        "quays",
        "Grey planks march out over the harbour on legs furred with weed. Each gap between them shows a "
        "strip of green water, and now and then an eye.",
    ),
    "pierend": Room(
        "Pier's End",
        "quays",
        "A lantern post and an iron ladder mark the place where the planks give up. Far out the dark "
        "lighthouse stands on its spit like a finger laid on lips.",
    ),
    "netloft": Room(
        "Net Loft",
        "quays",
        "Brown nets hang in veils from the rafters, heavy with cork and dust. Whoever mended the last one "
        "left the needle in it, and that was years ago.",
        True,
    ),
    "tarshed": Room(
        "Tar Shed",
        "quays",
        "Black kettles squat over cold hearths, and the floor holds on to every boot. The walls are so "
        "soaked in pitch that the rain has forgotten how to get in.",
        True,
    ),
    "slip": Room(
        "Shipwright's Slip",
        "quays",
        "The ribs of an unfinished ketch rise from the slip like a stranded whale. Shavings blow about, "
        "although no plane has been heard here since the flood.",
    ),
    "customs": Room(
        "Old Customs House",
        "quays",
        "The counter is still here, and the bars above it, and the notice that forbids whistling. Beyond "
        "them the strongroom gapes, as empty as a drum.",
        True,
    ),
    "culvert": Room(
        "Tidal Culvert",
        "quays",
        "A brick throat swallows the millrace and coughs it up twice a day. A ledge runs along one side, "
        "just wide enough for a rat with a grievance.",
        True,
    ),
    # Sallow Moor, north of the gate.
    "moorroad": Room(
        "Moor Road",
        "moor",
        "The road is two ruts with heather between them. Milestones count down to a town that is not there "
        "any more, and lapwings cry over both.",
    ),
    "cairn": Room(
        "Shepherd's Cairn",
        "moor",
        "A heap of white stones stands taller than a man, and every traveller adds one. A crook of ash wood "
        "leans in the top, wound about with faded ribbon.",
    ),
    "heath": Room(
        "Burnt Heath",
        "moor",
        "Last summer's fire has left a plain of black stalks and pink new shoots. Ash puffs up at each "
        "step, and hides whatever made the other tracks.",
    ),
    "stones": Room(
        "The Leaning Stones",
        "moor",
        "Nine stones lean inward as though to hear a secret. The grass in the ring is short and soft, and "
        "no sheep has ever been seen to crop it.",
    ),
    "tarn": Room(
        "Blackwater Tarn",
        "moor",
        "The little lake is so still that the clouds seem to lie at its bottom. A rotten jetty points at a "
        "boat that has sunk at its mooring.",
    ),
    "fold": Room(
        "Ruined Sheepfold",
        "moor",
        "Dry walls make a broken square against the wind. Wool still clings to the thorn by the gap, and "
        "bones too large for any sheep lie in the nettles.",
    ),
    "ridge": Room(
        "Windy Ridge",
        "moor",
        "From here the whole shire can be seen: harbour, marsh and light, and the sea that wants all three. "
        "The wind pushes like a crowd at a fair.",
    ),
    "hollow": Room(
        "Gorse Hollow",
        "moor",
        "Yellow gorse closes over the path until it is a tunnel full of thorns. It smells of warm biscuit "
        "and of something that has been digging.",
    ),
    "peat": Room(
        "Peat Cutters' Track",
        "moor",
        "Black bricks of peat are stacked along the track in walls with windows in them. The spades stand "
        "ready, yet the cutters have gone home early this year.",
    ),
    "gibbet": Room(
        "Crow Gibbet",
        "moor",
        "An iron cage creaks on a crooked post at a place where no roads cross. It holds a scarecrow in a "
        "good blue coat, and the crows sit on it and are not scared.",
    ),
    # Candlemire, east of the moor: the marsh.
    "causeway": Room(
        "Sunken Causeway",
        "marsh",
        "Flat stones lead from tussock to tussock a hand below the water. Stakes with rags of red cloth "
        "show where the next one ought to be.",
    ),
    "reeds": Room(
        "Whispering Reeds",
        "marsh",
        "Reeds twice the height of a man close in on both sides. They whisper in a breeze that cannot be "
        "felt, and stop when anyone tries to listen.",
    ),
    "pool": Room(
        "Candle Pool",
        "marsh",
        "Small blue flames stand upon the water and lean together when a stranger comes. The mud around the "
        "pool has kept the print of every boot but one.",
    ),
    "hummock": Room(
        "Willow Hummock",
        "marsh",
        "One old willow holds this mound together with its roots. Spoons hang in its branches by the dozen, "
        "tinkling, in payment for some forgotten favour.",
    ),
    "boards": Room(
        "Rotten Boardwalk",
        "marsh",
        "Half of the planks are gone and the other half are thinking about it. The rail is new, which is "
        "kind, and has teeth marks, which is not.",
    ),
    "punt": Room(
        "Abandoned Punt",
        "marsh",
        "A flat boat lies wedged between two clumps of sedge, with a fine view of nothing. Its pole stands "
        "upright in the mud a long way off.",
    ),
    "mere": Room(
        "Grey Mere",
        "marsh",
        "The open water has no far side, only a place where the grey turns over. Rings spread in the middle "
        "of it without any cause.",
    ),
    "eelhut": Room(
        "Eel Catcher's Hut",
        "marsh",
        "Wicker traps hang around a stove of beaten tin. A stew of unknown age sits on it, and a chair has "
        "been pushed back from the table in some haste.",
        True,
    ),
    "bogoak": Room(
        "The Bog Oak",
        "marsh",
        "A trunk as black as coal lies half out of the peat, felled before there were axes. Toads sit along "
        "it in order of size.",
    ),
    "flats": Room(
        "Mud Flats",
        "marsh",
        "The marsh ends in a shining plain, ribbed like the roof of a dog's mouth. The tide is far out and "
        "coming back at the speed of a horse.",
    ),
    # The dark lighthouse on its spit.
    "spit": Room(
        "Shingle Spit",
        "light",
        "A bank of stones runs out to sea and grinds its teeth at every wave. Timbers of three wrecks have "
        "been stacked above the tide line, sorted with care.",
    ),
    "lightfoot": Room(
        "Foot of the Light",
        "light",
        "The tower goes up until it leans over the eye. Its iron door has been painted shut, then broken "
        "open, and then painted shut again with the lock hanging off.",
    ),
    "oilstore": Room(
        "Oil Store",
        "light",
        "Stone vats line the wall, every one dry but for the smell. Footprints in soot, too narrow and with "
        "too many toes, lead from vat to vat.",
        True,
    ),
    "lowstair": Room(
        "Lower Stair",
        "light",
        "Stone steps wind up along the wall without a rail. Old webs have been pulled across the well of "
        "the tower, in a pattern very like a net.",
        True,
    ),
    "watchroom": Room(
        "Watch Room",
        "light",
        "A bunk, a desk and a clock with one hand. The log lies open, and the same line has been written "
        "for eleven years: light not lit, nobody came.",
        True,
    ),
    "highstair": Room(
        "Upper Stair",
        "light",
        "The stair narrows to a ladder of iron rungs, warm to the touch. A draught comes down it with the "
        "sound of someone counting.",
        True,
    ),
    "lamproom": Room(
        "Lamp Room",
        "light",
        "The great lens fills the room like a cut jewel, black with smoke on the inside. Each of its "
        "hundred faces shows the visitor, and one of them shows somebody else.",
        True,
    ),
    "gallery": Room(
        "Wind Gallery",
        "light",
        "A balcony no wider than a coffin runs around the lamp. The whole night lies below, and the rail is "
        "mostly rust and good intentions.",
    ),
    # The catacombs beneath the chapel.
    "undercroft": Room(
        "Undercroft Steps",
        "crypt",
        "The steps are hollow in the middle and wet at the edge. Names have been cut into each riser, and "
        "the lowest ones are under water.",
        True,
    ),
    "ossuary": Room(
        "Tallow Ossuary",
        "crypt",
        "Skulls stand on shelves with a candle in each, and somebody lights them. The wax has run down and "
        "joined them into one long family.",
        True,
    ),
    "niches": Room(
        "Gallery of Niches",
        "crypt",
        "The dead lie in the wall like loaves in an oven, feet outward. Some of the shrouds are new, and "
        "some of the niches are tidy in the way of a bed just left.",
        True,
    ),
    "drywell": Room(
        "The Dry Well",
        "crypt",
        "A round shaft drops out of the dark above and goes on into the dark below. A bucket hangs level "
        "with the floor, half full of teeth.",
        True,
    ),
    "choir": Room(
        "Choir of Bones",
        "crypt",
        "Twelve skeletons have been wired upright in the stalls, holding hymn sheets. The sheets are blank, "
        "and each mouth is open at the same vowel.",
        True,
    ),
    "flooded": Room(
        "Flooded Passage",
        "crypt",
        "Cold water stands to the knee and hides the floor completely. Pale shrimps scatter from each step, "
        "and bump against something that does not move.",
        True,
    ),
    "ringers": Room(
        "Ringers' Tomb",
        "crypt",
        "Six stone ringers lie in a circle, each with a rope in the fist. The ropes run up through holes in "
        "the roof and, from time to time, grow taut.",
        True,
    ),
    "crawl": Room(
        "Narrow Crawl",
        "crypt",
        "The passage is a slot that must be taken on the elbows. Scratches along both sides show that it "
        "has been taken before, in a hurry, the other way.",
        True,
    ),
    "saltvault": Room(
        "Salt Vault",
        "crypt",
        "Walls, floor and roof are salt, cut square and gleaming. The faces of drowned men look out of it, "
        "very well preserved and not very pleased.",
        True,
    ),
    "silentbell": Room(
        "The Silent Bell",
        "crypt",
        "Here lies the twin of the bell above, mouth down and as wide as a room. It hums without a sound, "
        "and the dust dances upon it in rings.",
        True,
    ),
}

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
    """Both ends of every path, each room's exits in listing order."""
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
"""Room key to {direction: room key}."""


def heading(direction: str) -> str:
    """How a departure names a direction: "to the north", "upwards"."""
    return f"{direction}wards" if direction in ("up", "down") else f"to the {direction}"


def origin(direction: str) -> str:
    """How an arrival from that direction names it: "the north", "above"."""
    return {"up": "above", "down": "below"}.get(direction, f"the {direction}")


def route(start: str, arrived: Callable[[str], bool]) -> list[str]:
    """The directions of a shortest walk from room `start` to the nearest room for which `arrived` holds."""
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
