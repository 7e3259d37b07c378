"""The state of the realm: places, monsters, heroes, hour and weather."""

from __future__ import annotations

import random

from greylord.realm.atlas import ROOMS
from greylord.realm.entities import Hero, Monster, Place

__all__ = ["Realm"]


class Realm:
    """Everything that exists in the realm.

    Args:
        seed: Seed of the generator that decides everything random.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.hour, self.weather = "noon", "clear"
        self.places = {key: Place(key) for key in ROOMS}
        self.monsters: list[Monster] = []
        self.heroes: dict[str, Hero] = {}
        """Everyone who has ever played, by name."""

    def playing(self) -> list[Hero]:
        """Return the heroes that are being played now."""
        return [hero for hero in self.heroes.values() if hero.connection]

    def announce(self, place: Place, text: str, *except_for: Hero) -> None:
        """Show text to the heroes in a place, with exceptions."""
        for hero in place.heroes:
            if hero not in except_for:
                hero.show(text)

    def remove_monster(self, monster: Monster) -> None:
        """Take a monster out of the realm."""
        self.monsters.remove(monster)
        monster.place.monsters.remove(monster)
