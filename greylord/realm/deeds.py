"""What a hero can do: each deed a small function of the realm, the hero and the rest of the typed line."""

from __future__ import annotations

from greylord.realm import combat, movement
from greylord.realm.atlas import EXITS
from greylord.realm.beings import Beast, Hero, experience_for
from greylord.realm.bestiary import SPELLS, WARES
from greylord.realm.screen import CYAN, GREEN, GREY, PARTY, TALK, YELLOW, coins
from greylord.realm.state import Realm
from greylord.realm.targets import find_beast, find_other, meant

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
    "leave_realm",
    "look",
    "part",
    "party",
    "say",
    "settle",
    "stat",
    "time",
    "who",
]

FLEE_CHANCE = 0.8


# Getting about.


def go(realm: Realm, hero: Hero, rest: str, direction: str) -> None:
    if direction in EXITS[hero.place.key]:
        movement.walk(realm, hero, direction)
    else:
        hero.tell(f"{GREY}There is no way {direction} from here.")


def look(realm: Realm, hero: Hero, rest: str) -> None:
    if not rest:
        movement.look(realm, hero, closely=True)
        return
    beings: list[Beast | Hero] = [*hero.place.beasts, *hero.place.heroes]
    seen = next((being for being in beings if meant(rest, being.name)), None)
    hero.tell(f"{GREY}You look {seen.called if seen else 'thin air'} up and down.")


def flee(realm: Realm, hero: Hero, rest: str) -> None:
    if realm.rng.random() > FLEE_CHANCE:
        hero.tell(f"{YELLOW}You turn to run, and find the way barred!")
        return
    hero.tell(f"{YELLOW}You run for it!")
    movement.walk(realm, hero, realm.rng.choice(list(EXITS[hero.place.key])))


def leave_realm(realm: Realm, hero: Hero, rest: str) -> None:
    if hero.target:
        hero.tell(f"{GREY}Not in the middle of a fight!")
    else:
        hero.leaving = True


# Fighting and recovering.


def attack(realm: Realm, hero: Hero, rest: str) -> None:
    if beast := find_beast(hero, rest):
        combat.engage(realm, hero, beast)


def cast(realm: Realm, hero: Hero, rest: str) -> None:
    name, _, query = rest.lower().partition(" ")
    spell = SPELLS.get(name)
    if spell is None or spell.calling != hero.calling.title:
        hero.tell(f"{GREY}You know no such spell.")
    elif hero.mana < spell.mana:
        hero.tell(f"{GREY}You have not the strength for it.")
    elif spell.heals:
        for_self = not query or meant(query, hero.name)
        if target := hero if for_self else find_other(hero, query):
            combat.cast(realm, hero, name, target)
    elif beast := find_beast(hero, query):
        combat.engage(realm, hero, beast, name)


def settle(realm: Realm, hero: Hero, rest: str, posture: str) -> None:
    if hero.target:
        hero.tell(f"{GREY}Not in the middle of a fight!")
        return
    hero.posture = posture
    hero.tell(f"{YELLOW}You are {posture.lower()} now.")
    realm.announce(hero.place, f"{YELLOW}{hero.name} sits down.", hero)


# Company.


def say(realm: Realm, hero: Hero, rest: str) -> None:
    hero.tell(f'{TALK}You say "{rest}"')
    realm.announce(hero.place, f'{TALK}{hero.name} says "{rest}"', hero)


def gossip(realm: Realm, hero: Hero, rest: str) -> None:
    for other in realm.playing():
        other.tell(f"{PARTY}{hero.name} gossips: {rest}")


def invite(realm: Realm, hero: Hero, rest: str) -> None:
    if guest := find_other(hero, rest):
        guest.invited_by = hero
        hero.tell(f"{PARTY}You invite {guest.name} to come along.")
        guest.tell(f"{PARTY}{hero.name} invites you to come along. Type: join {hero.name.lower()}")


def join(realm: Realm, hero: Hero, rest: str) -> None:
    host = find_other(hero, rest)
    if host is None:
        return
    if hero.invited_by is not host or host.leader:
        hero.tell(f"{GREY}{host.name} has not invited you.")
        return
    hero.leader, hero.invited_by = host, None
    for other in realm.playing():
        if other.leader is hero:
            other.leader = host
    hero.tell(f"{PARTY}You follow {host.name} from now on.")
    realm.announce(hero.place, f"{PARTY}{hero.name} follows {host.name} from now on.", hero)


def part(realm: Realm, hero: Hero, rest: str) -> None:
    if hero.leader:
        realm.announce(hero.place, f"{PARTY}{hero.name} follows {hero.leader.name} no longer.", hero)
    hero.leader = None
    hero.tell(f"{PARTY}You go your own way.")


def party(realm: Realm, hero: Hero, rest: str) -> None:
    rows = [f"{PARTY}In your party:"]
    for other in realm.playing():
        if other.head is hero.head:
            share = 100 * other.life // other.most_life
            rows.append(f"{GREY}  {other.name:<14}{other.calling.title:<14}{CYAN}[life {share}%]")
    hero.tell("\r\n".join(rows))


# Asking.


def who(realm: Realm, hero: Hero, rest: str) -> None:
    rows = [f"{PARTY}Abroad in Wrackhaven:"]
    for other in realm.playing():
        rows.append(f"{GREEN}  {other.name:<14}{CYAN}{other.calling.title:<14}{GREEN}level {other.level}")
    hero.tell("\r\n".join(rows))


def stat(realm: Realm, hero: Hero, rest: str) -> None:
    armour = WARES[hero.armour].name if hero.armour else "nothing much"
    facts = {
        "Name": hero.name,
        "Calling": hero.calling.title,
        "Level": hero.level,
        "Life": f"{hero.life}/{hero.most_life}",
        "Mana": f"{hero.mana}/{hero.most_mana}",
        "Weapon": WARES[hero.weapon].name,
        "Armour": armour,
    }
    hero.tell("\r\n".join(f"{GREEN}{label + ':':<10}{CYAN}{fact}" for label, fact in facts.items()))


def experience(realm: Realm, hero: Hero, rest: str) -> None:
    needed = experience_for(hero.level + 1) - hero.experience
    hero.tell(
        f"{GREEN}Experience: {CYAN}{hero.experience}{GREEN} Level: {CYAN}{hero.level}"
        f"{GREEN} To the next: {CYAN}{needed}"
    )


def inventory(realm: Realm, hero: Hero, rest: str) -> None:
    things = ", ".join(WARES[ware].name for ware in hero.pack) or "nothing"
    hero.tell(f"{CYAN}You carry {things}.\r\n{GREEN}You have {CYAN}{coins(hero.herrings)}{GREEN}.")


def time(realm: Realm, hero: Hero, rest: str) -> None:
    hero.tell(f"{GREY}It is {realm.hour}, and the weather is {realm.weather}.")
