"""What the rest of a typed line means: a beast, another hero, or a ware."""

from __future__ import annotations

from collections.abc import Sequence

from greylord.realm.beings import Beast, Hero
from greylord.realm.bestiary import WARES
from greylord.realm.screen import GREY, indefinite

__all__ = ["find_beast", "find_carried", "find_other", "find_ware", "meant"]


def meant(query: str, name: str) -> bool:
    """Whether each word typed begins a word of the name, as "l rat" does with "lean quay rat"."""
    words = query.lower().split()
    return bool(words) and all(any(part.startswith(word) for part in name.lower().split()) for word in words)


def find_beast(hero: Hero, query: str) -> Beast | None:
    """The beast meant, preferring the full name; refuses aloud if there is none."""
    beasts = [beast for beast in hero.place.beasts if meant(query, beast.name)]
    if not beasts:
        hero.tell(f"{GREY}You see no {query or 'such thing'} here.")
        return None
    return min(beasts, key=lambda beast: beast.name != query.lower())


def find_other(hero: Hero, query: str) -> Hero | None:
    """The other hero meant; refuses aloud if there is none."""
    for other in hero.place.heroes:
        if other is not hero and meant(query, other.name):
            return other
    hero.tell(f"{GREY}You see no {query or 'such person'} here.")
    return None


def find_ware(wares: Sequence[str], query: str) -> str | None:
    return next((ware for ware in wares if meant(query, WARES[ware].name)), None)


def find_carried(hero: Hero, query: str) -> str | None:
    """The ware meant; refuses aloud if the hero does not have it."""
    ware = find_ware(hero.pack, query)
    if ware is None:
        hero.tell(f"{GREY}You do not have {indefinite(query or 'thing')}.")
    return ware
