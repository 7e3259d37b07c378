"""The realm as a value: its places, the beasts and heroes in them, the sky, and the dice."""

from __future__ import annotations

import random

from greylord.realm.atlas import ROOMS
from greylord.realm.entities import Hero, Monster, Place

__all__ = ["Realm"]


class Realm:
    """Everything that there is in the realm.

    Args:
        seed: decides every throw of the dice.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.hour, self.weather = "noon", "clear"
        self.places = {key: Place(key) for key in ROOMS}
        self.monsters: list[Monster] = []
        self.heroes: dict[str, Hero] = {}
        """Everyone who ever played, by name."""

    def playing(self) -> list[Hero]:
        """The heroes that are in the realm now."""
        return [hero for hero in self.heroes.values() if hero.connection]

    def announce(self, place: Place, text: str, *except_for: Hero) -> None:
        """Tell everyone in a place, with exceptions."""
        for hero in place.heroes:
            if hero not in except_for:
                hero.show(text)

    def remove_monster(self, monster: Monster) -> None:
        """A beast is gone from the realm."""
        self.monsters.remove(monster)
        monster.place.monsters.remove(monster)
