"""Fights: in each round, everyone with a target attacks it."""

from __future__ import annotations

from greylord.realm.atlas import START
from greylord.realm.catalog import ITEMS, SPELLS, TREASURE
from greylord.realm.entities import Hero, Monster, experience_for
from greylord.realm.movement import look, move
from greylord.realm.screen import ALARM, GREY, HIT, MAGIC, MISS, PARTY, YELLOW, format_coins
from greylord.realm.state import Realm

__all__ = ["cast", "engage", "fight_round"]

HIT_CHANCE, CRITICAL_CHANCE = 0.72, 0.08
"""Chances that a hero's swing hits, and that it does double damage."""
AMBUSH_CHANCE = 0.35
"""Chance, in each round, that an idle monster attacks a hero in its place."""
TREASURE_CHANCE = 0.14
"""Chance that a dead monster leaves an item."""


def engage(realm: Realm, hero: Hero, monster: Monster, spell: str = "") -> None:
    """Start a fight, with the hero's weapon or with a spell to cast each round."""
    if hero.target is monster and hero.spell == spell:
        hero.show(f"{YELLOW}You are at it already.")
        return
    hero.target, hero.spell, hero.posture = monster, spell, ""
    hero.show(f"{YELLOW}*Blades up*")
    realm.announce(hero.place, f"{YELLOW}{hero.name} goes for the {monster.name}.", hero)


def fight_round(realm: Realm) -> None:
    """Let all heroes attack, in the order of their first visits, then all monsters."""
    for hero in realm.playing():
        for _ in range(1 if hero.spell else hero.swings):
            if hero.target:
                _attack_monster(realm, hero, hero.target)
    for monster in realm.monsters:
        if monster.target:
            _attack_hero(realm, monster, monster.target)
        elif monster.place.heroes and realm.rng.random() < AMBUSH_CHANCE:
            _turn_on_hero(realm, monster)


def cast(realm: Realm, caster: Hero, spell: str, target: Hero | Monster) -> None:
    """Cast a spell at a target in the same place.

    The caster must know the spell and have the mana for it.
    """
    recipe = SPELLS[spell]
    amount = realm.rng.randint(*recipe.amount) + caster.level
    caster.mana -= recipe.mana
    for hero in caster.place.heroes:
        message = recipe.message.format(
            caster="you" if hero is caster else caster.name,
            target="you" if hero is target else target.definite_name,
        )
        hero.show(f"{MAGIC}{message}{'' if recipe.heals else f' for {amount}'}!")
    if isinstance(target, Hero):
        target.life = min(target.max_life, target.life + amount)
        target.redraw_prompt()
    else:
        _wound_monster(realm, caster, target, amount)


def _attack_monster(realm: Realm, hero: Hero, monster: Monster) -> None:
    """Let a hero swing its weapon once, or cast its spell."""
    hero.posture = ""
    if hero.spell and hero.mana >= SPELLS[hero.spell].mana:
        cast(realm, hero, hero.spell, monster)
        return
    weapon = ITEMS[hero.weapon]
    you, others = realm.rng.choice(weapon.verbs)
    chance = realm.rng.random()
    if chance > HIT_CHANCE:
        hero.show(f"{MISS}You swing your {weapon.name} at the {monster.name}, and miss.")
        realm.announce(hero.place, f"{MISS}{hero.name} swings at the {monster.name}, and misses.", hero)
        return
    damage = realm.rng.randint(*weapon.damage) + hero.level // 2
    how = ""
    if chance < CRITICAL_CHANCE:
        damage, how = 2 * damage, " to the bone"
    hero.show(f"{HIT}You {you} the {monster.name}{how} for {damage} damage!")
    realm.announce(hero.place, f"{HIT}{hero.name} {others} the {monster.name}{how} for {damage} damage!", hero)
    _wound_monster(realm, hero, monster, damage)


def _wound_monster(realm: Realm, hero: Hero, monster: Monster, damage: int) -> None:
    monster.life -= damage
    if monster.target is None:
        monster.target = hero
    if monster.life <= 0:
        _kill_monster(realm, monster)


def _kill_monster(realm: Realm, monster: Monster) -> None:
    """Remove a dead monster, drop what it leaves, and share the experience."""
    place, rng = monster.place, realm.rng
    victors = [hero for hero in place.heroes if hero.target is monster]
    realm.remove_monster(monster)
    realm.announce(place, f"{GREY}{monster.species.death}")
    herrings = rng.randint(0, monster.species.herrings)
    if herrings:
        place.herrings += herrings
        realm.announce(
            place, f"{GREY}{format_coins(herrings)} {'clatters' if herrings == 1 else 'clatter'} to the ground."
        )
    if rng.random() < TREASURE_CHANCE:
        item = rng.choice(TREASURE)
        place.items.append(item)
        realm.announce(place, f"{GREY}A {ITEMS[item].name} drops to the ground.")
    share = max(1, monster.species.experience // max(1, len(victors)))
    for hero in victors:
        hero.show(f"{GREY}You earn {share} experience.")
        _gain_experience(realm, hero, share)
        hero.disengage()


def _gain_experience(realm: Realm, hero: Hero, experience: int) -> None:
    level = hero.level
    hero.experience += experience
    if hero.level > level:
        hero.life, hero.mana = hero.max_life, hero.max_mana
        hero.show(f"{PARTY}You feel hardier: this is level {hero.level}!")
        realm.announce(hero.place, f"{PARTY}{hero.name} stands a little taller.", hero)


def _turn_on_hero(realm: Realm, monster: Monster) -> None:
    """Let an idle monster pick a hero in its place as its target."""
    hero = monster.target = realm.rng.choice(monster.place.heroes)
    hero.show(f"{ALARM}The {monster.name} turns on you!")
    realm.announce(monster.place, f"{ALARM}The {monster.name} turns on {hero.name}!", hero)


def _attack_hero(realm: Realm, monster: Monster, hero: Hero) -> None:
    """Let a monster attack a hero once."""
    hits, misses = realm.rng.choice(monster.species.attacks)
    hero.posture = ""
    if realm.rng.random() > monster.species.hit_chance:
        hero.show(f"{MISS}The {monster.name} {misses} you!")
        realm.announce(monster.place, f"{MISS}The {monster.name} {misses} {hero.name}!", hero)
        return
    damage = max(1, realm.rng.randint(*monster.species.damage) - hero.protection)
    hero.life -= damage
    hero.show(f"{HIT}The {monster.name} {hits} you for {damage} damage!")
    realm.announce(monster.place, f"{HIT}The {monster.name} {hits} {hero.name} for {damage} damage!", hero)
    if hero.life <= 0:
        _knock_out_hero(realm, hero)


def _knock_out_hero(realm: Realm, hero: Hero) -> None:
    """Bring a defeated hero to the chapel.

    It keeps half its life and nine tenths of its experience, and never loses a level.
    """
    hero.life = hero.max_life // 2
    hero.experience = max(experience_for(hero.level), hero.experience * 9 // 10)
    hero.show(f"{HIT}You go down, and somebody puts out the light.")
    realm.announce(hero.place, f"{HIT}{hero.name} goes down!", hero)
    hero.disengage()
    move(hero, realm.places[START])
    hero.show(f"{GREY}A sister in grey lifts your head and gives you broth.")
    realm.announce(hero.place, f"{YELLOW}Two sisters carry {hero.name} in on a shutter.", hero)
    look(realm, hero)
