"""Heroes, monsters, and the places that they are in."""

from __future__ import annotations

from dataclasses import dataclass, field

from greylord.realm.catalog import CALLINGS, ITEMS, MOODS, SPECIES, Calling, Species
from greylord.realm.connection import Connection
from greylord.realm.screen import ERASE, YELLOW, format_prompt

__all__ = ["Hero", "Monster", "Place", "experience_for"]


def experience_for(level: int) -> int:
    """Return the experience points at which a level begins: 0, 120, 360, 720, ..."""
    return 60 * level * (level - 1)


@dataclass(eq=False)
class Place:
    """The contents of a room."""

    key: str
    """Key of the room in `ROOMS`."""
    heroes: list[Hero] = field(default_factory=list)
    monsters: list[Monster] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    """Keys of the items on the ground."""
    herrings: int = 0
    """Silver herrings on the ground."""


@dataclass(eq=False)
class Monster:
    """A live monster."""

    species_key: str
    """Key in `SPECIES`."""
    mood: str
    """Key in `MOODS`."""
    place: Place
    target: Hero | None = None
    life: int = 0

    def __post_init__(self) -> None:
        self.life = round(self.species.life * MOODS[self.mood])

    @property
    def species(self) -> Species:
        """The monster's species."""
        return SPECIES[self.species_key]

    @property
    def name(self) -> str:
        """Mood and species, such as "angry quay rat"."""
        return f"{self.mood} {self.species.name}".lstrip()

    @property
    def definite_name(self) -> str:
        """The name with its article, as it stands in a sentence."""
        return f"the {self.name}"

    @property
    def in_fight(self) -> bool:
        """True if the monster has a target or is one."""
        return self.target is not None or any(hero.target is self for hero in self.place.heroes)


@dataclass(eq=False)
class Hero:
    """A caller's character. It outlives the call."""

    name: str
    password: str
    calling_letter: str
    """Key in `CALLINGS`."""
    place: Place
    connection: Connection | None = None
    """The connection of whoever plays the hero now."""
    life: int = 0
    mana: int = 0
    experience: int = 0
    herrings: int = 40
    pack: list[str] = field(default_factory=lambda: ["tea"])
    """Keys of the items that the hero carries."""
    weapon: str = ""
    armour: str = ""
    """Key of the armour worn; empty for none."""
    visited: set[str] = field(default_factory=set)
    """Keys of the rooms that the hero has seen."""
    target: Monster | None = None
    spell: str = ""
    """Spell to cast at `target` each round while the mana lasts; empty to use the weapon."""
    posture: str = ""
    """Resting or Meditating; empty for a hero on its feet."""
    leader: Hero | None = None
    """The hero whom this one follows."""
    invited_by: Hero | None = None
    leaving: bool = False
    """The caller has asked to leave the realm."""

    def __post_init__(self) -> None:
        self.weapon = self.calling.weapon
        self.life, self.mana = self.max_life, self.max_mana

    @property
    def calling(self) -> Calling:
        """The hero's profession."""
        return CALLINGS[self.calling_letter]

    @property
    def definite_name(self) -> str:
        """The name as it stands in a sentence."""
        return self.name

    @property
    def level(self) -> int:
        """The level that the experience has reached."""
        level = 1
        while self.experience >= experience_for(level + 1):
            level += 1
        return level

    @property
    def max_life(self) -> int:
        """Most life points at the hero's level."""
        return self.calling.life + (self.level - 1) * self.calling.life_per_level

    @property
    def max_mana(self) -> int:
        """Most mana points at the hero's level."""
        return self.calling.mana + (self.level - 1) * self.calling.mana_per_level

    @property
    def swings(self) -> int:
        """Attacks in a fight round."""
        return self.calling.swings + (self.level - 1) // 4

    @property
    def protection(self) -> int:
        """Damage that the armour absorbs from each hit."""
        return ITEMS[self.armour].armour if self.armour else 0

    @property
    def party_leader(self) -> Hero:
        """The leader of this hero's party, which may be the hero."""
        return self.leader or self

    def prompt(self) -> str:
        """Return the prompt, followed by what the caller has begun to type."""
        draft = self.connection.draft if self.connection else ""
        mana = self.mana if self.calling.mana else None
        return format_prompt(self.life, self.max_life, mana, self.posture) + draft

    def show(self, text: str) -> None:
        """Send text in place of the prompt, then the prompt again.

        Nothing is sent if nobody plays the hero.
        """
        if self.connection:
            self.connection.send(f"{ERASE}{text}\r\n{ERASE}{self.prompt()}")

    def redraw_prompt(self) -> None:
        """Send the prompt again, because its numbers have changed."""
        if self.connection:
            self.connection.send(ERASE + self.prompt())

    def disengage(self) -> None:
        """End the hero's fight, and every monster's fight with the hero."""
        for monster in self.place.monsters:
            if monster.target is self:
                monster.target = None
        if self.target:
            self.target = None
            self.show(f"{YELLOW}*Blades down*")
