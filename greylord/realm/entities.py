"""The state of the realm: places, the beasts in them, and the heroes callers play."""

from __future__ import annotations

from dataclasses import dataclass, field

from greylord.realm.catalog import CALLINGS, ITEMS, MOODS, SPECIES, Calling, Species
from greylord.realm.connection import Connection
from greylord.realm.screen import ERASE, YELLOW, format_prompt

__all__ = ["Hero", "Monster", "Place", "experience_for"]


def experience_for(level: int) -> int:
    """Experience points a hero needs to be of this level: 0, 120, 360, 720, ..."""
    return 60 * level * (level - 1)


@dataclass(eq=False)
class Place:
    """What is in a room just now. `key` is its key in the atlas."""

    key: str
    heroes: list[Hero] = field(default_factory=list)
    monsters: list[Monster] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    herrings: int = 0


@dataclass(eq=False)
class Monster:
    """One live monster."""

    species_key: str
    mood: str
    place: Place
    target: Hero | None = None
    life: int = 0

    def __post_init__(self) -> None:
        self.life = round(self.species.life * MOODS[self.mood])

    @property
    def species(self) -> Species:
        return SPECIES[self.species_key]

    @property
    def name(self) -> str:
        return f"{self.mood} {self.species.name}".lstrip()

    @property
    def definite_name(self) -> str:
        return f"the {self.name}"

    @property
    def in_fight(self) -> bool:
        """Whether it has a target or is one."""
        return self.target is not None or any(hero.target is self for hero in self.place.heroes)


@dataclass(eq=False)
class Hero:
    """A caller's character. It outlives the call; `line` is None while nobody plays it."""

    name: str
    password: str
    calling_letter: str
    """Its letter in `CALLINGS`."""
    place: Place
    connection: Connection | None = None
    life: int = 0
    mana: int = 0
    experience: int = 0
    herrings: int = 40
    pack: list[str] = field(default_factory=lambda: ["tea"])
    weapon: str = ""
    armour: str = ""
    visited: set[str] = field(default_factory=set)
    target: Monster | None = None
    spell: str = ""
    """The spell cast at `target` each round while the mana lasts; empty for the weapon."""
    posture: str = ""
    """ "Resting" or "Meditating"; empty for a hero on its feet."""
    leader: Hero | None = None
    invited_by: Hero | None = None
    leaving: bool = False

    def __post_init__(self) -> None:
        self.weapon = self.calling.weapon
        self.life, self.mana = self.max_life, self.max_mana

    @property
    def calling(self) -> Calling:
        return CALLINGS[self.calling_letter]

    @property
    def definite_name(self) -> str:
        return self.name

    @property
    def level(self) -> int:
        level = 1
        while self.experience >= experience_for(level + 1):
            level += 1
        return level

    @property
    def max_life(self) -> int:
        return self.calling.life + (self.level - 1) * self.calling.life_per_level

    @property
    def max_mana(self) -> int:
        return self.calling.mana + (self.level - 1) * self.calling.mana_per_level

    @property
    def swings(self) -> int:
        """Blows in a fight round."""
        return self.calling.swings + (self.level - 1) // 4

    @property
    def protection(self) -> int:
        """Points that the armour takes off each wound."""
        return ITEMS[self.armour].armour if self.armour else 0

    @property
    def party_leader(self) -> Hero:
        """Who leads this hero's party: another, or the hero."""
        return self.leader or self

    def prompt(self) -> str:
        """The prompt with whatever the caller has typed behind it."""
        mana = self.mana if self.calling.mana else None
        return format_prompt(self.life, self.max_life, mana, self.posture) + self.connection.draft

    def show(self, text: str) -> None:
        """Send one line of the game: the prompt goes, the line stands in its place, the prompt comes back."""
        self.connection.send(f"{ERASE}{text}\r\n{ERASE}{self.prompt()}")

    def redraw_prompt(self) -> None:
        """Send the prompt anew, because its numbers have changed."""
        self.connection.send(ERASE + self.prompt())

    def disengage(self) -> None:
        """A hero stops fighting, and so does whatever fights it. Says nothing if there was no fight."""
        for monster in self.place.monsters:
            if monster.target is self:
                monster.target = None
        if self.target:
            self.target = None
            self.show(f"{YELLOW}*Blades down*")
