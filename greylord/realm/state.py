"""The realm as a value: its places, the beasts and heroes in them, the sky, and the dice."""

from __future__ import annotations

import random

from greylord.realm.atlas import ROOMS
from greylord.realm.beings import Beast, Hero, Place

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
        self.beasts: list[Beast] = []
        self.heroes: dict[str, Hero] = {}
        """Everyone who ever played, by name."""

    def playing(self) -> list[Hero]:
        """The heroes that are in the realm now."""
        return [hero for hero in self.heroes.values() if hero.line]

    def announce(self, place: Place, text: str, *but: Hero) -> None:
        """Tell everyone in a place, with exceptions."""
        for hero in place.heroes:
            if hero not in but:
                hero.tell(text)

    def bury(self, beast: Beast) -> None:
        """A beast is gone from the realm."""
        self.beasts.remove(beast)
        beast.place.beasts.remove(beast)
