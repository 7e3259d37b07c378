"""Fights: a round every four seconds in which all who have a target strike at it."""

from __future__ import annotations

from greylord.realm.atlas import START
from greylord.realm.beings import Beast, Hero, experience_for
from greylord.realm.bestiary import SPELLS, TREASURE, WARES
from greylord.realm.movement import look, move
from greylord.realm.screen import ALARM, GREY, HIT, MISS, PARTY, SPARKLE, YELLOW, coins
from greylord.realm.state import Realm

__all__ = ["cast", "engage", "fight_round"]

HIT_CHANCE, CRITICAL_CHANCE, NOTICE_CHANCE, TREASURE_CHANCE = 0.72, 0.08, 0.35, 0.14


def engage(realm: Realm, hero: Hero, beast: Beast, spell: str = "") -> None:
    """A hero begins to fight, with the weapon or with a spell to be cast each round."""
    if hero.target is beast and hero.spell == spell:
        hero.tell(f"{YELLOW}You are at it already.")
        return
    hero.target, hero.spell, hero.posture = beast, spell, ""
    hero.tell(f"{YELLOW}*Blades up*")
    realm.announce(hero.place, f"{YELLOW}{hero.name} goes for the {beast.name}.", hero)


def fight_round(realm: Realm) -> None:
    """All heroes strike, in the order they came to the realm, then all beasts."""
    for hero in realm.playing():
        for _ in range(1 if hero.spell else hero.swings):
            if hero.target:
                _strike(realm, hero, hero.target)
    for beast in realm.beasts:
        if beast.target:
            _bite(realm, beast, beast.target)
        elif beast.place.heroes and realm.rng.random() < NOTICE_CHANCE:
            _notice(realm, beast)


def cast(realm: Realm, caster: Hero, spell: str, target: Hero | Beast) -> None:
    """Cast a spell that the caster knows and can pay, at someone in the same place."""
    recipe = SPELLS[spell]
    amount = realm.rng.randint(*recipe.amount) + caster.level
    caster.mana -= recipe.mana
    for hero in caster.place.heroes:
        line = recipe.line.format(
            caster="you" if hero is caster else caster.name,
            target="you" if hero is target else target.called,
        )
        hero.tell(f"{SPARKLE}{line}{'' if recipe.heals else f' for {amount}'}!")
    if recipe.heals:
        target.life = min(target.most_life, target.life + amount)
        target.redraw()
    else:
        _wound(realm, caster, target, amount)


def _strike(realm: Realm, hero: Hero, beast: Beast) -> None:
    """One blow, or one casting, of a hero."""
    hero.posture = ""
    if hero.spell and hero.mana >= SPELLS[hero.spell].mana:
        cast(realm, hero, hero.spell, beast)
        return
    weapon = WARES[hero.weapon]
    you, others = realm.rng.choice(weapon.verbs)
    chance = realm.rng.random()
    if chance > HIT_CHANCE:
        hero.tell(f"{MISS}You swing your {weapon.name} at the {beast.name}, and miss.")
        realm.announce(hero.place, f"{MISS}{hero.name} swings at the {beast.name}, and misses.", hero)
        return
    damage = realm.rng.randint(*weapon.damage) + hero.level // 2
    how = ""
    if chance < CRITICAL_CHANCE:
        damage, how = 2 * damage, " to the bone"
    hero.tell(f"{HIT}You {you} the {beast.name}{how} for {damage} damage!")
    realm.announce(hero.place, f"{HIT}{hero.name} {others} the {beast.name}{how} for {damage} damage!", hero)
    _wound(realm, hero, beast, damage)


def _wound(realm: Realm, hero: Hero, beast: Beast, damage: int) -> None:
    beast.life -= damage
    if beast.target is None:
        beast.target = hero
    if beast.life <= 0:
        _slay(realm, beast)


def _slay(realm: Realm, beast: Beast) -> None:
    """A beast dies: it leaves what it had, and those who fought it share the experience."""
    place, rng = beast.place, realm.rng
    victors = [hero for hero in place.heroes if hero.target is beast]
    realm.bury(beast)
    realm.announce(place, f"{GREY}{beast.kind.dies}")
    herrings = rng.randint(0, beast.kind.herrings)
    if herrings:
        place.herrings += herrings
        realm.announce(place, f"{GREY}{coins(herrings)} {'clatters' if herrings == 1 else 'clatter'} to the ground.")
    if rng.random() < TREASURE_CHANCE:
        ware = rng.choice(TREASURE)
        place.wares.append(ware)
        realm.announce(place, f"{GREY}A {WARES[ware].name} drops to the ground.")
    share = max(1, beast.kind.experience // max(1, len(victors)))
    for hero in victors:
        hero.tell(f"{GREY}You earn {share} experience.")
        _learn(realm, hero, share)
        hero.disengage()


def _learn(realm: Realm, hero: Hero, experience: int) -> None:
    level = hero.level
    hero.experience += experience
    if hero.level > level:
        hero.life, hero.mana = hero.most_life, hero.most_mana
        hero.tell(f"{PARTY}You feel hardier: this is level {hero.level}!")
        realm.announce(hero.place, f"{PARTY}{hero.name} stands a little taller.", hero)


def _notice(realm: Realm, beast: Beast) -> None:
    """An idle beast turns on somebody in its place."""
    hero = beast.target = realm.rng.choice(beast.place.heroes)
    hero.tell(f"{ALARM}The {beast.name} turns on you!")
    realm.announce(beast.place, f"{ALARM}The {beast.name} turns on {hero.name}!", hero)


def _bite(realm: Realm, beast: Beast, hero: Hero) -> None:
    """One attack of a beast."""
    hits, misses = realm.rng.choice(beast.kind.attacks)
    hero.posture = ""
    if realm.rng.random() > beast.kind.hit_chance:
        hero.tell(f"{MISS}The {beast.name} {misses} you!")
        realm.announce(beast.place, f"{MISS}The {beast.name} {misses} {hero.name}!", hero)
        return
    damage = max(1, realm.rng.randint(*beast.kind.damage) - hero.protection)
    hero.life -= damage
    hero.tell(f"{HIT}The {beast.name} {hits} you for {damage} damage!")
    realm.announce(beast.place, f"{HIT}The {beast.name} {hits} {hero.name} for {damage} damage!", hero)
    if hero.life <= 0:
        _perish(realm, hero)


def _perish(realm: Realm, hero: Hero) -> None:
    """A hero falls, and wakes in the chapel with half its life and less experience, never below its level."""
    hero.life = hero.most_life // 2
    hero.experience = max(experience_for(hero.level), hero.experience * 9 // 10)
    hero.tell(f"{HIT}You go down, and somebody puts out the light.")
    realm.announce(hero.place, f"{HIT}{hero.name} goes down!", hero)
    hero.disengage()
    move(hero, realm.places[START])
    hero.tell(f"{GREY}A sister in grey lifts your head and gives you broth.")
    realm.announce(hero.place, f"{YELLOW}Two sisters carry {hero.name} in on a shutter.", hero)
    look(realm, hero)
