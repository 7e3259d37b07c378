"""Find the target of a typed name: a monster, another hero or an item."""

from __future__ import annotations

from collections.abc import Sequence

from greylord.realm.catalog import ITEMS
from greylord.realm.entities import Hero, Monster
from greylord.realm.screen import GREY, with_article

__all__ = ["find_carried_item", "find_hero", "find_item", "find_monster", "matches"]


def matches(query: str, name: str) -> bool:
    """Return True if each typed word begins a word of the name.

    For example, "l rat" matches "lean quay rat".
    """
    words = query.lower().split()
    return bool(words) and all(any(part.startswith(word) for part in name.lower().split()) for word in words)


def find_monster(hero: Hero, query: str) -> Monster | None:
    """Find a monster in the hero's place, preferring an exact name.

    The hero is told if there is none.
    """
    monsters = [monster for monster in hero.place.monsters if matches(query, monster.name)]
    if not monsters:
        hero.show(f"{GREY}You see no {query or 'such thing'} here.")
        return None
    return min(monsters, key=lambda monster: monster.name != query.lower())


def find_hero(hero: Hero, query: str) -> Hero | None:
    """Find another hero in the hero's place. The hero is told if there is none."""
    for other in hero.place.heroes:
        if other is not hero and matches(query, other.name):
            return other
    hero.show(f"{GREY}You see no {query or 'such person'} here.")
    return None


def find_item(items: Sequence[str], query: str) -> str | None:
    """Return the key of the first item that matches a typed name; None without one."""
    return next((item for item in items if matches(query, ITEMS[item].name)), None)


def find_carried_item(hero: Hero, query: str) -> str | None:
    """Find an item that the hero carries. The hero is told if there is none."""
    item = find_item(hero.pack, query)
    if item is None:
        hero.show(f"{GREY}You do not have {with_article(query or 'thing')}.")
    return item
