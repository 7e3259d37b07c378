"""What the rest of a typed line means: a beast, another hero, or a ware."""

from __future__ import annotations

from collections.abc import Sequence

from greylord.realm.catalog import ITEMS
from greylord.realm.entities import Hero, Monster
from greylord.realm.screen import GREY, with_article

__all__ = ["find_carried_item", "find_hero", "find_item", "find_monster", "matches"]


def matches(query: str, name: str) -> bool:
    """Whether each word typed begins a word of the name, as "l rat" does with "lean quay rat"."""
    words = query.lower().split()
    return bool(words) and all(any(part.startswith(word) for part in name.lower().split()) for word in words)


def find_monster(hero: Hero, query: str) -> Monster | None:
    """The beast meant, preferring the full name; refuses aloud if there is none."""
    monsters = [monster for monster in hero.place.monsters if matches(query, monster.name)]
    if not monsters:
        hero.show(f"{GREY}You see no {query or 'such thing'} here.")
        return None
    return min(monsters, key=lambda monster: monster.name != query.lower())


def find_hero(hero: Hero, query: str) -> Hero | None:
    """The other hero meant; refuses aloud if there is none."""
    for other in hero.place.heroes:
        if other is not hero and matches(query, other.name):
            return other
    hero.show(f"{GREY}You see no {query or 'such person'} here.")
    return None


def find_item(items: Sequence[str], query: str) -> str | None:
    return next((item for item in items if matches(query, ITEMS[item].name)), None)


def find_carried_item(hero: Hero, query: str) -> str | None:
    """The ware meant; refuses aloud if the hero does not have it."""
    item = find_item(hero.pack, query)
    if item is None:
        hero.show(f"{GREY}You do not have {with_article(query or 'thing')}.")
    return item
