"""Actions of heroes with items: pick them up, use them, buy and sell them.

Each action is called with the realm, the hero and the rest of the typed line.
"""

from __future__ import annotations

from greylord.realm.catalog import ITEMS, SHOPS
from greylord.realm.entities import Hero
from greylord.realm.screen import CYAN, GREEN, GREY, YELLOW, format_coins, with_article
from greylord.realm.state import Realm
from greylord.realm.targets import find_carried_item, find_item, matches

__all__ = ["buy", "drink", "drop", "equip", "get", "list_stock", "sell"]


def drink(realm: Realm, hero: Hero, rest: str) -> None:
    """Drink something from the pack."""
    item = find_item(hero.pack, rest)
    if item is None or not ITEMS[item].is_drink:
        hero.show(f"{GREY}You have nothing like that to drink.")
        return
    hero.pack.remove(item)
    hero.life = min(hero.max_life, hero.life + realm.rng.randint(*ITEMS[item].heals))
    hero.show(f"{CYAN}You drink the {ITEMS[item].name}.")
    realm.announce(hero.place, f"{CYAN}{hero.name} drinks something.", hero)


def get(realm: Realm, hero: Hero, rest: str) -> None:
    """Pick up an item or coins."""
    place = hero.place
    if place.herrings and matches(rest, "silver herrings"):
        hero.show(f"{YELLOW}You pick up {format_coins(place.herrings)}.")
        realm.announce(place, f"{YELLOW}{hero.name} picks up some silver herrings.", hero)
        hero.herrings += place.herrings
        place.herrings = 0
    elif item := find_item(place.items, rest):
        place.items.remove(item)
        hero.pack.append(item)
        hero.show(f"{YELLOW}You take the {ITEMS[item].name}.")
        realm.announce(place, f"{YELLOW}{hero.name} picks up {with_article(ITEMS[item].name)}.", hero)
    else:
        hero.show(f"{GREY}You look for {rest or 'something'} in vain.")


def drop(realm: Realm, hero: Hero, rest: str) -> None:
    """Drop an item from the pack."""
    item = find_carried_item(hero, rest)
    if item:
        hero.pack.remove(item)
        hero.place.items.append(item)
        hero.show(f"{YELLOW}You drop the {ITEMS[item].name}.")
        realm.announce(hero.place, f"{YELLOW}{hero.name} drops {with_article(ITEMS[item].name)}.", hero)


def equip(realm: Realm, hero: Hero, rest: str) -> None:
    """Use a weapon or armour from the pack."""
    item = find_carried_item(hero, rest)
    if item is None:
        return
    if ITEMS[item].is_weapon:
        replaced, hero.weapon = hero.weapon, item
    elif ITEMS[item].armour:
        replaced, hero.armour = hero.armour, item
    else:
        hero.show(f"{GREY}You turn the {ITEMS[item].name} about, and put it back.")
        return
    hero.pack.remove(item)
    if replaced:
        hero.pack.append(replaced)
    hero.show(f"{YELLOW}You are using the {ITEMS[item].name} now.")


def list_stock(realm: Realm, hero: Hero, rest: str) -> None:
    """List the items for sale in the room."""
    if hero.place.key not in SHOPS:
        hero.show(f"{GREY}Nobody is selling anything here.")
        return
    rows = [f"{CYAN}For sale here{' ' * 15}Herrings"]
    rows += [f"{GREEN}{ITEMS[item].name:<28}{CYAN}{ITEMS[item].price:>8}" for item in SHOPS[hero.place.key]]
    hero.show("\r\n".join(rows))


def buy(realm: Realm, hero: Hero, rest: str) -> None:
    """Buy an item."""
    item = find_item(SHOPS.get(hero.place.key, ()), rest)
    if item is None:
        hero.show(f"{GREY}Nobody sells that here.")
    elif hero.herrings < ITEMS[item].price:
        hero.show(f"{GREY}You cannot pay for the {ITEMS[item].name}.")
    else:
        hero.herrings -= ITEMS[item].price
        hero.pack.append(item)
        hero.show(f"{YELLOW}You buy the {ITEMS[item].name} for {ITEMS[item].price} herrings.")
        realm.announce(hero.place, f"{YELLOW}{hero.name} buys {with_article(ITEMS[item].name)}.", hero)


def sell(realm: Realm, hero: Hero, rest: str) -> None:
    """Sell an item."""
    if hero.place.key not in SHOPS:
        hero.show(f"{GREY}Nobody buys anything here.")
    elif item := find_carried_item(hero, rest):
        price = ITEMS[item].price // 2
        hero.pack.remove(item)
        hero.herrings += price
        hero.show(f"{YELLOW}You sell the {ITEMS[item].name} for {price} herrings.")
        realm.announce(hero.place, f"{YELLOW}{hero.name} sells {with_article(ITEMS[item].name)}.", hero)
