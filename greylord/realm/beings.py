"""The state of the realm: places, the beasts in them, and the heroes callers play."""

from __future__ import annotations

from dataclasses import dataclass, field

from greylord.realm.bestiary import CALLINGS, MONSTERS, MOODS, WARES, Calling, Monster
from greylord.realm.line import Line
from greylord.realm.screen import ERASE, YELLOW, prompt

__all__ = ["Beast", "Hero", "Place", "experience_for"]


def experience_for(level: int) -> int:
    """Experience points a hero needs to be of this level: 0, 120, 360, 720, ..."""
    return 60 * level * (level - 1)


@dataclass(eq=False)
class Place:
    """What is in a room just now. `key` is its key in the atlas."""

    key: str
    heroes: list[Hero] = field(default_factory=list)
    beasts: list[Beast] = field(default_factory=list)
    wares: list[str] = field(default_factory=list)
    herrings: int = 0


@dataclass(eq=False)
class Beast:
    """One live monster."""

    species: str
    mood: str
    place: Place
    target: Hero | None = None
    life: int = 0

    def __post_init__(self) -> None:
        self.life = round(self.kind.life * MOODS[self.mood])

    @property
    def kind(self) -> Monster:
        return MONSTERS[self.species]

    @property
    def name(self) -> str:
        return f"{self.mood} {self.kind.name}".lstrip()

    @property
    def called(self) -> str:
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
    trade: str
    """Its letter in `CALLINGS`."""
    place: Place
    line: Line | None = None
    life: int = 0
    mana: int = 0
    experience: int = 0
    herrings: int = 40
    pack: list[str] = field(default_factory=lambda: ["tea"])
    weapon: str = ""
    armour: str = ""
    visited: set[str] = field(default_factory=set)
    target: Beast | None = None
    spell: str = ""
    """The spell cast at `target` each round while the mana lasts; empty for the weapon."""
    posture: str = ""
    """ "Resting" or "Meditating"; empty for a hero on its feet."""
    leader: Hero | None = None
    invited_by: Hero | None = None
    leaving: bool = False

    def __post_init__(self) -> None:
        self.weapon = self.calling.weapon
        self.life, self.mana = self.most_life, self.most_mana

    @property
    def calling(self) -> Calling:
        return CALLINGS[self.trade]

    @property
    def called(self) -> str:
        return self.name

    @property
    def level(self) -> int:
        level = 1
        while self.experience >= experience_for(level + 1):
            level += 1
        return level

    @property
    def most_life(self) -> int:
        return self.calling.life + (self.level - 1) * self.calling.life_per_level

    @property
    def most_mana(self) -> int:
        return self.calling.mana + (self.level - 1) * self.calling.mana_per_level

    @property
    def swings(self) -> int:
        """Blows in a fight round."""
        return self.calling.swings + (self.level - 1) // 4

    @property
    def protection(self) -> int:
        """Points that the armour takes off each wound."""
        return WARES[self.armour].armour if self.armour else 0

    @property
    def head(self) -> Hero:
        """Who leads this hero's party: another, or the hero."""
        return self.leader or self

    def prompt(self) -> str:
        """The prompt with whatever the caller has typed behind it."""
        mana = self.mana if self.calling.mana else None
        return prompt(self.life, self.most_life, mana, self.posture) + self.line.draft

    def tell(self, text: str) -> None:
        """Send one line of the game: the prompt goes, the line stands in its place, the prompt comes back."""
        self.line.send(f"{ERASE}{text}\r\n{ERASE}{self.prompt()}")

    def redraw(self) -> None:
        """Send the prompt anew, because its numbers have changed."""
        self.line.send(ERASE + self.prompt())

    def disengage(self) -> None:
        """A hero stops fighting, and so does whatever fights it. Says nothing if there was no fight."""
        for beast in self.place.beasts:
            if beast.target is self:
                beast.target = None
        if self.target:
            self.target = None
            self.tell(f"{YELLOW}*Blades down*")
