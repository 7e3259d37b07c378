"""What a hero can do with things: pick them up, use them, buy and sell them."""

from __future__ import annotations

from greylord.realm.beings import Hero
from greylord.realm.bestiary import STOCK, WARES
from greylord.realm.screen import CYAN, GREEN, GREY, YELLOW, coins, indefinite
from greylord.realm.state import Realm
from greylord.realm.targets import find_carried, find_ware, meant

__all__ = ["buy", "drink", "drop", "equip", "get", "sell", "stock"]


def drink(realm: Realm, hero: Hero, rest: str) -> None:
    ware = find_ware(hero.pack, rest)
    if ware is None or not WARES[ware].heals:
        hero.tell(f"{GREY}You have nothing like that to drink.")
        return
    hero.pack.remove(ware)
    hero.life = min(hero.most_life, hero.life + realm.rng.randint(*WARES[ware].heals))
    hero.tell(f"{CYAN}You drink the {WARES[ware].name}.")
    realm.announce(hero.place, f"{CYAN}{hero.name} drinks something.", hero)


def get(realm: Realm, hero: Hero, rest: str) -> None:
    place = hero.place
    if place.herrings and meant(rest, "silver herrings"):
        hero.tell(f"{YELLOW}You pick up {coins(place.herrings)}.")
        realm.announce(place, f"{YELLOW}{hero.name} picks up some silver herrings.", hero)
        hero.herrings += place.herrings
        place.herrings = 0
    elif ware := find_ware(place.wares, rest):
        place.wares.remove(ware)
        hero.pack.append(ware)
        hero.tell(f"{YELLOW}You take the {WARES[ware].name}.")
        realm.announce(place, f"{YELLOW}{hero.name} picks up {indefinite(WARES[ware].name)}.", hero)
    else:
        hero.tell(f"{GREY}You look for {rest or 'something'} in vain.")


def drop(realm: Realm, hero: Hero, rest: str) -> None:
    ware = find_carried(hero, rest)
    if ware:
        hero.pack.remove(ware)
        hero.place.wares.append(ware)
        hero.tell(f"{YELLOW}You drop the {WARES[ware].name}.")
        realm.announce(hero.place, f"{YELLOW}{hero.name} drops {indefinite(WARES[ware].name)}.", hero)


def equip(realm: Realm, hero: Hero, rest: str) -> None:
    ware = find_carried(hero, rest)
    if ware is None:
        return
    slot = "weapon" if WARES[ware].damage else "armour"
    if slot == "armour" and not WARES[ware].armour:
        hero.tell(f"{GREY}You turn the {WARES[ware].name} about, and put it back.")
        return
    hero.pack.remove(ware)
    if before := getattr(hero, slot):
        hero.pack.append(before)
    setattr(hero, slot, ware)
    hero.tell(f"{YELLOW}You are using the {WARES[ware].name} now.")


def stock(realm: Realm, hero: Hero, rest: str) -> None:
    if hero.place.key not in STOCK:
        hero.tell(f"{GREY}Nobody is selling anything here.")
        return
    rows = [f"{CYAN}For sale here{' ' * 15}Herrings"]
    rows += [f"{GREEN}{WARES[ware].name:<28}{CYAN}{WARES[ware].price:>8}" for ware in STOCK[hero.place.key]]
    hero.tell("\r\n".join(rows))


def buy(realm: Realm, hero: Hero, rest: str) -> None:
    ware = find_ware(STOCK.get(hero.place.key, ()), rest)
    if ware is None:
        hero.tell(f"{GREY}Nobody sells that here.")
    elif hero.herrings < WARES[ware].price:
        hero.tell(f"{GREY}You cannot pay for the {WARES[ware].name}.")
    else:
        hero.herrings -= WARES[ware].price
        hero.pack.append(ware)
        hero.tell(f"{YELLOW}You buy the {WARES[ware].name} for {WARES[ware].price} herrings.")
        realm.announce(hero.place, f"{YELLOW}{hero.name} buys {indefinite(WARES[ware].name)}.", hero)


def sell(realm: Realm, hero: Hero, rest: str) -> None:
    if hero.place.key not in STOCK:
        hero.tell(f"{GREY}Nobody buys anything here.")
    elif ware := find_carried(hero, rest):
        price = WARES[ware].price // 2
        hero.pack.remove(ware)
        hero.herrings += price
        hero.tell(f"{YELLOW}You sell the {WARES[ware].name} for {price} herrings.")
        realm.announce(hero.place, f"{YELLOW}{hero.name} sells {indefinite(WARES[ware].name)}.", hero)
