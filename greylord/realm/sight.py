"""A player's view: the state of the game, read from the text on the screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from greylord.realm.atlas import ROOMS
from greylord.realm.catalog import SPECIES
from greylord.realm.screen import ERASE

__all__ = ["Sight"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PROMPT = re.compile(r"\[HP=(-?\d+)(?:/MA=(\d+))?(?: \((\w+)\))?\]:")
_COINS = re.compile(r"\d+ silver herrings?")

_ROOM_BY_TITLE = {room.title: key for key, room in ROOMS.items()}
_MONSTER_BY_DEATH = {species.death: species.name for species in SPECIES.values()}


class Sight:
    """The state of the game, as far as the screen has shown it."""

    def __init__(self) -> None:
        self.question = ""
        """The host's question: its unfinished last line, unless that is the prompt of the game."""
        self.in_game = False
        self.life, self.mana, self.posture = 0, 0, ""
        self.max_life, self.max_mana = 1, 0
        """Highest numbers seen."""
        self.level = 1
        self.room = ""
        """Key of the room the player stands in."""
        self.monsters: list[str] = []
        """Names of the monsters in the room."""
        self.people: list[str] = []
        """Names of the other heroes in the room."""
        self.ground: list[str] = []
        """Names of the items in the room; "silver herring" stands for any number of them."""
        self.fighting = False
        self.assist_target = ""
        """Monster that another hero has just attacked."""
        self.leader, self.invited_by = "", ""
        self.followers: list[str] = []
        self.online: list[str] = []
        """Other heroes who have come to the realm or have been met there."""
        self.wounded = ""
        """A party member with little life left."""
        self.herrings = 0
        self.last_speech = ""
        """The last words that somebody spoke."""
        self._unread = ""
        """The unfinished last line."""

    def read(self, text: str) -> None:
        """Process text that has arrived."""
        *lines, self._unread = (self._unread + text).split("\r\n")
        for line in lines:
            self._read_line(_plain(line))
        rest = _plain(self._unread)
        prompt = _PROMPT.match(rest)
        self.in_game = prompt is not None
        self.question = "" if prompt else rest
        if prompt:
            self.life, self.mana, self.posture = int(prompt[1]), int(prompt[2] or 0), prompt[3] or ""
            self.max_life = max(self.max_life, self.life)
            self.max_mana = max(self.max_mana, self.mana)

    def _read_line(self, line: str) -> None:
        if line in _ROOM_BY_TITLE:
            self.room = _ROOM_BY_TITLE[line]
            self.monsters, self.people, self.ground = [], [], []
        elif line in _MONSTER_BY_DEATH:
            species = _MONSTER_BY_DEATH[line]
            self._monster_goes(next((name for name in self.monsters if name.endswith(species)), ""))
        elif line.startswith("*Blades"):
            self.fighting = line == "*Blades up*"
        else:
            for pattern, reader in _SENTENCES.items():
                if match := pattern.fullmatch(line):
                    reader(self, *match.groups())
                    return

    def _also_here(self, names: str) -> None:
        for name in names.split(", "):
            if name[0].isupper():
                self._comes(name)
            else:
                self.monsters.append(name)

    def _on_the_ground(self, things: str) -> None:
        self.ground = [_COINS.sub("silver herring", thing) for thing in things.split(", ")]

    def _falls(self, thing: str) -> None:
        if thing not in self.ground:
            self.ground.append(thing)

    def _is_taken(self, thing: str) -> None:
        if thing in self.ground:
            self.ground.remove(thing)

    def _monster_comes(self, name: str) -> None:
        if name not in self.monsters:
            self.monsters.append(name)

    def _monster_goes(self, name: str) -> None:
        if name in self.monsters:
            self.monsters.remove(name)
        if name == self.assist_target:
            self.assist_target = ""

    def _sees_nothing(self) -> None:
        self.monsters, self.assist_target = [], ""

    def _is_online(self, name: str) -> None:
        if name not in self.online:
            self.online.append(name)

    def _comes(self, name: str) -> None:
        self._is_online(name)
        if name not in self.people:
            self.people.append(name)

    def _goes(self, name: str) -> None:
        if name in self.people:
            self.people.remove(name)

    def _is_gone(self, name: str) -> None:
        for names in (self.people, self.followers, self.online):
            if name in names:
                names.remove(name)
        if name == self.leader:
            self.leader = ""

    def _goes_for(self, name: str, monster: str) -> None:
        self.assist_target = monster

    def _invites(self, name: str) -> None:
        self.invited_by = name

    def _leads(self, name: str) -> None:
        self.leader, self.invited_by = name, ""

    def _follows(self, name: str) -> None:
        if name not in self.followers:
            self.followers.append(name)

    def _speaks(self, words: str) -> None:
        self.last_speech = words

    def _fares(self, name: str, percent: str) -> None:
        if int(percent) < 60:
            self.wounded = name

    def _owns(self, herrings: str) -> None:
        self.herrings = int(herrings)

    def _level(self, level: str) -> None:
        self.level = int(level)


def _plain(line: str) -> str:
    """Return a line as the screen shows it, without colours and erased text."""
    line = _COLOUR.sub("", line.rpartition(ERASE)[2])
    while "\b" in line:
        line = re.sub(r"[^\b]?\x08", "", line)
    return line


_SENTENCES: Mapping[re.Pattern[str], Callable[..., None]] = {
    re.compile(pattern): reader
    for pattern, reader in (
        (r"Also here: (.+)\.", Sight._also_here),
        (r"On the ground: (.+)\.", Sight._on_the_ground),
        (r"\d+ (silver herring)s? clatters? to the ground\.", Sight._falls),
        (r"An? (.+) drops to the ground\.", Sight._falls),
        (r"An? (.+) \w+ in from (?:the \w+|above|below)\.", Sight._monster_comes),
        (r"The (.+) turns on .+!", Sight._monster_comes),
        (r"The (.+) leaves .+\.", Sight._monster_goes),
        (r"(\w+) (?:walks|follows \w+) in from .+\.", Sight._comes),
        (r"(\w+) leaves .+\.", Sight._goes),
        (r"(\w+) goes down!", Sight._goes),
        (r"You see no .+ here\.", Sight._sees_nothing),
        (r"(\w+) has come to Wrackhaven\.", Sight._is_online),
        (r"  (\w+) .+ level \d+", Sight._is_online),
        (r"(\w+) has left Wrackhaven\.", Sight._is_gone),
        (r"(\w+) goes for the (.+)\.", Sight._goes_for),
        (r"\w+ picks up (?:some|an?) (.+?)s?\.", Sight._is_taken),
        (r"(\w+) invites you to come along\..*", Sight._invites),
        (r"You follow (\w+) from now on\.", Sight._leads),
        (r"(\w+) follows \w+ from now on\.", Sight._follows),
        (r'\w+ says "(.+)"', Sight._speaks),
        (r"\w+ gossips: (.+)", Sight._speaks),
        (r"  (\w+) .+\[life (\d+)%\]", Sight._fares),
        (r"You have (\d+) silver herrings?\.", Sight._owns),
        (r"(?:.+ )?Level: +(\d+).*", Sight._level),
        (r"You feel hardier: this is level (\d+)!", Sight._level),
    )
}
