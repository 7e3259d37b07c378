"""Movement of heroes: enter the realm, look around, walk and leave."""

from __future__ import annotations

from greylord.realm.atlas import EXITS, OPPOSITE, ROOMS, heading, origin
from greylord.realm.catalog import ITEMS
from greylord.realm.connection import Connection
from greylord.realm.entities import Hero, Place
from greylord.realm.screen import YELLOW, format_coins, format_room
from greylord.realm.state import Realm

__all__ = ["enter", "leave", "look", "move", "walk"]


def enter(realm: Realm, hero: Hero, connection: Connection) -> None:
    """Bring a hero into the realm, at the place where it left."""
    for other in realm.playing():
        other.show(f"{YELLOW}{hero.name} has come to Wrackhaven.")
    realm.announce(hero.place, f"{YELLOW}{hero.name} walks in from the world outside.")
    hero.connection, hero.leaving = connection, False
    hero.place.heroes.append(hero)
    look(realm, hero)


def leave(realm: Realm, hero: Hero) -> None:
    """Take a hero out of the realm and out of its party."""
    hero.disengage()
    hero.connection, hero.leader, hero.posture = None, None, ""
    hero.place.heroes.remove(hero)
    for other in realm.playing():
        other.show(f"{YELLOW}{hero.name} has left Wrackhaven.")
        if other.leader is hero:
            other.leader = None


def look(realm: Realm, hero: Hero, closely: bool = False) -> None:
    """Show a hero its place.

    The prose appears on the first visit and on a closer look.
    """
    place = hero.place
    room = ROOMS[place.key]
    prose = room.prose if closely or place.key not in hero.visited else None
    hero.visited.add(place.key)
    ground = [ITEMS[item].name for item in place.items]
    if place.herrings:
        ground.append(format_coins(place.herrings))
    beings = [other.name for other in place.heroes if other is not hero]
    beings += [monster.name for monster in place.monsters]
    hero.show(format_room(room.title, prose, ground, beings, EXITS[place.key], realm.rng))


def move(hero: Hero, end: Place) -> None:
    """Put a hero in another place and end its fight, without announcing it."""
    hero.disengage()
    hero.posture = ""
    hero.place.heroes.remove(hero)
    hero.place = end
    end.heroes.append(hero)


def walk(realm: Realm, hero: Hero, direction: str) -> None:
    """Take a hero, and everyone here who follows it, through an exit that exists."""
    start, end = hero.place, realm.places[EXITS[hero.place.key][direction]]
    away, back = heading(direction), origin(OPPOSITE[direction])
    followers = [other for other in start.heroes if other.leader is hero]
    move(hero, end)
    realm.announce(start, f"{YELLOW}{hero.name} leaves {away}.", *followers)
    realm.announce(end, f"{YELLOW}{hero.name} walks in from {back}.", hero)
    look(realm, hero)
    for follower in followers:
        follower.show(f"{YELLOW}You follow {hero.name} {away}.")
        move(follower, end)
        realm.announce(start, f"{YELLOW}{follower.name} follows {hero.name} {away}.", *followers)
        realm.announce(end, f"{YELLOW}{follower.name} follows {hero.name} in from {back}.", follower)
        look(realm, follower)
