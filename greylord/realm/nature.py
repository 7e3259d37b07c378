"""Monsters spawn and wander, heroes recover, hour and weather change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from greylord.realm.areas import AREAS
from greylord.realm.atlas import AREA_OF, EXITS, OPPOSITE, ROOMS, heading, origin
from greylord.realm.catalog import MOODS
from greylord.realm.entities import Hero, Monster
from greylord.realm.screen import BLUE, GREEN, YELLOW, with_article
from greylord.realm.state import Realm

__all__ = [
    "HOURS",
    "WEATHERS",
    "advance_hour",
    "change_weather",
    "play_ambience",
    "recover",
    "respawn",
    "spawn",
    "wander",
]

HOURS: Mapping[str, str] = {
    "morning": "The sun climbs out of the sea like a bather who regrets it.",
    "noon": "The noon gun does not sound, and everyone looks up all the same.",
    "evening": "Lamps are lit one by one along the harbour, and the gulls go quiet.",
    "night": "Night settles on Wrackhaven with its collar turned up.",
}
"""The hours in order, and the line that heroes outdoors see when each begins."""

WEATHERS: Mapping[str, str] = {
    "clear": "The sky clears, blue as a washed plate.",
    "foggy": "Fog comes in from the sea on quiet feet.",
    "wet": "A fine rain begins to fall sideways.",
    "windy": "The wind gets up and tries all the doors.",
}
"""The kinds of weather, and the line that heroes outdoors see when each begins."""

AMBIENCE: Mapping[str, Sequence[str]] = {
    "town": (
        "Somewhere a shutter bangs twice.",
        "A crier calls the price of mackerel.",
        "A gull laughs overhead.",
    ),
    "quays": ("Rigging taps against a mast.", "Something drops into the water.", "A gull laughs overhead."),
    "moor": ("A curlew cries, far off.", "The heather hisses in the wind.", "A stone rolls down a slope."),
    "marsh": ("Bubbles rise and break.", "The reeds fall silent.", "A frog begins, and thinks better of it."),
    "light": (
        "The tower groans in its sleep.",
        "A wave booms under the rocks.",
        "Soot trickles down the wall.",
    ),
    "crypt": (
        "Water drips, and is answered.",
        "A bell rope creaks.",
        "Someone whispers a name that is not yours.",
    ),
}
"""Background lines by area."""

SPAWN_CHANCE = 0.5
"""Chance, at each call of `respawn`, that an area short of monsters gets one."""
WANDER_CHANCE = 0.06
"""Chance, at each call of `wander`, that an idle monster moves."""
AMBIENCE_CHANCE = 0.2
"""Chance, at each call of `play_ambience`, that an occupied place shows a line."""
WEATHER_CHANCE = 0.4
"""Chance, at each call of `change_weather`, that the weather changes."""

MAX_MONSTERS_PER_PLACE = 4
"""No monster spawns in a place that holds this many."""


def spawn(realm: Realm, area: str) -> Monster:
    """Create a monster in a random room of an area."""
    places = [realm.places[key] for key in AREAS[area].rooms]
    place = realm.rng.choice([place for place in places if len(place.monsters) < MAX_MONSTERS_PER_PLACE])
    monster = Monster(realm.rng.choice(AREAS[area].species), realm.rng.choice(list(MOODS)), place)
    realm.monsters.append(monster)
    place.monsters.append(monster)
    return monster


def respawn(realm: Realm) -> None:
    """Replace dead monsters, at most one in each area."""
    for key, area in AREAS.items():
        living = sum(monster.species_key in area.species for monster in realm.monsters)
        if living < area.population and realm.rng.random() < SPAWN_CHANCE:
            monster = spawn(realm, key)
            line = f"{with_article(monster.name).capitalize()} {monster.species.arrival} from the dark."
            realm.announce(monster.place, YELLOW + line)


def wander(realm: Realm) -> None:
    """Move some of the idle monsters to another room of their area."""
    for monster in realm.monsters:
        if monster.in_fight or realm.rng.random() > WANDER_CHANCE:
            continue
        start = monster.place
        exits = {way: end for way, end in EXITS[start.key].items() if AREA_OF[end] == AREA_OF[start.key]}
        direction = realm.rng.choice(list(exits))
        end = realm.places[exits[direction]]
        start.monsters.remove(monster)
        realm.announce(start, f"{YELLOW}The {monster.name} leaves {heading(direction)}.")
        line = (
            f"{with_article(monster.name).capitalize()} {monster.species.arrival} from {origin(OPPOSITE[direction])}."
        )
        realm.announce(end, YELLOW + line)
        end.monsters.append(monster)
        monster.place = end


def recover(realm: Realm) -> None:
    """Give heroes life and mana, more if they rest or meditate."""
    for hero in realm.playing():
        before = hero.life, hero.mana
        life = 1 + hero.level // 3 + (hero.max_life // 9 if hero.posture == "Resting" else 0)
        mana = 1 + (hero.max_mana // 7 if hero.posture == "Meditating" else 0)
        hero.life = min(hero.max_life, hero.life + life)
        hero.mana = min(hero.max_mana, hero.mana + mana)
        if (hero.life, hero.mana) != before:
            hero.redraw_prompt()


def advance_hour(realm: Realm) -> None:
    """Begin the next hour and show it to heroes outdoors."""
    hours = list(HOURS)
    realm.hour = hours[(hours.index(realm.hour) + 1) % len(hours)]
    for hero in _outdoors(realm):
        hero.show(BLUE + HOURS[realm.hour])


def change_weather(realm: Realm) -> None:
    """Change the weather, perhaps, and show it to heroes outdoors."""
    if realm.rng.random() < WEATHER_CHANCE:
        realm.weather = realm.rng.choice([weather for weather in WEATHERS if weather != realm.weather])
        for hero in _outdoors(realm):
            hero.show(BLUE + WEATHERS[realm.weather])


def play_ambience(realm: Realm) -> None:
    """Show a background line in some of the places where heroes are."""
    for place in realm.places.values():
        if place.heroes and realm.rng.random() < AMBIENCE_CHANCE:
            realm.announce(place, GREEN + realm.rng.choice(AMBIENCE[AREA_OF[place.key]]))


def _outdoors(realm: Realm) -> list[Hero]:
    return [hero for hero in realm.playing() if not ROOMS[hero.place.key].roof]
