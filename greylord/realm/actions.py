"""Actions of heroes: walk, fight, talk, look things up.

Each action is called with the realm, the hero and the rest of the typed line.
"""

from __future__ import annotations

from greylord.realm import combat, movement
from greylord.realm.atlas import EXITS
from greylord.realm.catalog import ITEMS, SPELLS
from greylord.realm.entities import Hero, Monster, experience_for
from greylord.realm.screen import CYAN, GREEN, GREY, PARTY, TALK, YELLOW, format_coins
from greylord.realm.state import Realm
from greylord.realm.targets import find_hero, find_monster, matches

__all__ = [
    "attack",
    "cast",
    "experience",
    "flee",
    "go",
    "gossip",
    "inventory",
    "invite",
    "join",
    "leave_party",
    "leave_realm",
    "look",
    "party",
    "say",
    "sit_down",
    "stat",
    "time",
    "who",
]

FLEE_CHANCE = 0.8


# Moving and looking.


def go(realm: Realm, hero: Hero, rest: str, direction: str) -> None:
    """Walk in a direction."""
    if direction in EXITS[hero.place.key]:
        movement.walk(realm, hero, direction)
    else:
        hero.show(f"{GREY}There is no way {direction} from here.")


def look(realm: Realm, hero: Hero, rest: str) -> None:
    """Look at the room or at someone in it."""
    if not rest:
        movement.look(realm, hero, closely=True)
        return
    beings: list[Monster | Hero] = [*hero.place.monsters, *hero.place.heroes]
    seen = next((being for being in beings if matches(rest, being.name)), None)
    hero.show(f"{GREY}You look {seen.definite_name if seen else 'thin air'} up and down.")


def flee(realm: Realm, hero: Hero, rest: str) -> None:
    """Run from a fight through a random exit."""
    if realm.rng.random() > FLEE_CHANCE:
        hero.show(f"{YELLOW}You turn to run, and find the way barred!")
        return
    hero.show(f"{YELLOW}You run for it!")
    movement.walk(realm, hero, realm.rng.choice(list(EXITS[hero.place.key])))


def leave_realm(realm: Realm, hero: Hero, rest: str) -> None:
    """Leave the realm for the menu."""
    if hero.target:
        hero.show(f"{GREY}Not in the middle of a fight!")
    else:
        hero.leaving = True


# Fighting and recovering.


def attack(realm: Realm, hero: Hero, rest: str) -> None:
    """Attack a monster with the weapon."""
    if monster := find_monster(hero, rest):
        combat.engage(realm, hero, monster)


def cast(realm: Realm, hero: Hero, rest: str) -> None:
    """Cast a spell at a monster or a hero."""
    name, _, query = rest.lower().partition(" ")
    spell = SPELLS.get(name)
    if spell is None or spell.calling != hero.calling.title:
        hero.show(f"{GREY}You know no such spell.")
    elif hero.mana < spell.mana:
        hero.show(f"{GREY}You have not the strength for it.")
    elif spell.heals:
        for_self = not query or matches(query, hero.name)
        if target := hero if for_self else find_hero(hero, query):
            combat.cast(realm, hero, name, target)
    elif monster := find_monster(hero, query):
        combat.engage(realm, hero, monster, name)


def sit_down(realm: Realm, hero: Hero, rest: str, posture: str) -> None:
    """Rest or meditate."""
    if hero.target:
        hero.show(f"{GREY}Not in the middle of a fight!")
        return
    hero.posture = posture
    hero.show(f"{YELLOW}You are {posture.lower()} now.")
    realm.announce(hero.place, f"{YELLOW}{hero.name} sits down.", hero)


# Company.


def say(realm: Realm, hero: Hero, rest: str) -> None:
    """Say something to everyone in the room."""
    hero.show(f'{TALK}You say "{rest}"')
    realm.announce(hero.place, f'{TALK}{hero.name} says "{rest}"', hero)


def gossip(realm: Realm, hero: Hero, rest: str) -> None:
    """Say something to the whole realm."""
    for other in realm.playing():
        other.show(f"{PARTY}{hero.name} gossips: {rest}")


def invite(realm: Realm, hero: Hero, rest: str) -> None:
    """Invite a hero to the party."""
    if guest := find_hero(hero, rest):
        guest.invited_by = hero
        hero.show(f"{PARTY}You invite {guest.name} to come along.")
        guest.show(f"{PARTY}{hero.name} invites you to come along. Type: join {hero.name.lower()}")


def join(realm: Realm, hero: Hero, rest: str) -> None:
    """Follow a hero who has sent an invitation."""
    host = find_hero(hero, rest)
    if host is None:
        return
    if hero.invited_by is not host or host.leader:
        hero.show(f"{GREY}{host.name} has not invited you.")
        return
    hero.leader, hero.invited_by = host, None
    for other in realm.playing():
        if other.leader is hero:
            other.leader = host
    hero.show(f"{PARTY}You follow {host.name} from now on.")
    realm.announce(hero.place, f"{PARTY}{hero.name} follows {host.name} from now on.", hero)


def leave_party(realm: Realm, hero: Hero, rest: str) -> None:
    """Stop following the leader."""
    if hero.leader:
        realm.announce(hero.place, f"{PARTY}{hero.name} follows {hero.leader.name} no longer.", hero)
    hero.leader = None
    hero.show(f"{PARTY}You go your own way.")


def party(realm: Realm, hero: Hero, rest: str) -> None:
    """List the members of the party."""
    rows = [f"{PARTY}In your party:"]
    for other in realm.playing():
        if other.party_leader is hero.party_leader:
            share = 100 * other.life // other.max_life
            rows.append(f"{GREY}  {other.name:<14}{other.calling.title:<14}{CYAN}[life {share}%]")
    hero.show("\r\n".join(rows))


# Looking things up.


def who(realm: Realm, hero: Hero, rest: str) -> None:
    """List the heroes in the realm."""
    rows = [f"{PARTY}Abroad in Wrackhaven:"]
    for other in realm.playing():
        rows.append(f"{GREEN}  {other.name:<14}{CYAN}{other.calling.title:<14}{GREEN}level {other.level}")
    hero.show("\r\n".join(rows))


def stat(realm: Realm, hero: Hero, rest: str) -> None:
    """Show the hero's attributes."""
    armour = ITEMS[hero.armour].name if hero.armour else "nothing much"
    facts = {
        "Name": hero.name,
        "Calling": hero.calling.title,
        "Level": hero.level,
        "Life": f"{hero.life}/{hero.max_life}",
        "Mana": f"{hero.mana}/{hero.max_mana}",
        "Weapon": ITEMS[hero.weapon].name,
        "Armour": armour,
    }
    hero.show("\r\n".join(f"{GREEN}{label + ':':<10}{CYAN}{fact}" for label, fact in facts.items()))


def experience(realm: Realm, hero: Hero, rest: str) -> None:
    """Show the hero's experience and the points to the next level."""
    needed = experience_for(hero.level + 1) - hero.experience
    hero.show(
        f"{GREEN}Experience: {CYAN}{hero.experience}{GREEN} Level: {CYAN}{hero.level}"
        f"{GREEN} To the next: {CYAN}{needed}"
    )


def inventory(realm: Realm, hero: Hero, rest: str) -> None:
    """List the items and coins that the hero carries."""
    things = ", ".join(ITEMS[item].name for item in hero.pack) or "nothing"
    hero.show(f"{CYAN}You carry {things}.\r\n{GREEN}You have {CYAN}{format_coins(hero.herrings)}{GREEN}.")


def time(realm: Realm, hero: Hero, rest: str) -> None:
    """Show the hour and the weather."""
    hero.show(f"{GREY}It is {realm.hour}, and the weather is {realm.weather}.")
