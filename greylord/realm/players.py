"""Players as scripts: one reads the screen, thinks, and types at the pace and with the slips of a person."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from string import ascii_lowercase
from typing import NamedTuple

from greylord.realm.atlas import DIRECTIONS
from greylord.realm.mind import WAIT, Mind, Persona

__all__ = ["CAST", "Habits", "Player"]

CAST: Sequence[Persona] = (
    Persona("Oswin", "swordfish", "w"),
    Persona("Merrow", "password", "d"),
    Persona("Tansy", "letmein", "p"),
    Persona("Brannoc", "opensesame", "l"),
    Persona("Quillon", "hunter", "w"),
    Persona("Isolde", "secret", "l"),
    Persona("Peverel", "trustno", "p"),
    Persona("Hobday", "dragon", "w"),
    Persona("Sorrel", "changeme", "d"),
    Persona("Wendel", "qwerty", "p"),
    Persona("Marisco", "shadow", "w"),
    Persona("Yarrow", "guest", "d"),
    Persona("Ledwin", "abcdef", "l"),
    Persona("Corrie", "sesame", "p"),
    Persona("Ansgar", "monkey", "w"),
    Persona("Fennel", "pass", "d"),
)
"""The regulars of the board."""

REACTION_S = (0.3, 1.2)
"""How long a player who waits for something watches before thinking again."""
MIN_THINK_S, STEP_S, THINK_S, MAX_THINK_S = 0.3, 0.4, 1.3, 8.0
"""Time to think: at least; on average beyond that, for a step of a walk and for anything else; at most."""
KEY_INTERVAL_S = (0.06, 0.24)
"""From one key to the next, for those who type key by key."""
BREAK_S, BREAK_CHANCE, TYPO_CHANCE = (60, 180), 0.003, 0.02

WILL_ECHO, OPTION_REPLIES = b"\xff\xfb\x01", bytes.fromhex("fffd03 fffd01 fffd00 fffb00")
"""The host's IAC WILL ECHO; and DO suppress-go-ahead, DO echo, DO binary, WILL binary."""
CURSOR_QUERY, CURSOR_REPORT = b"\x1b[6n", b"\x1b[2;1R"


class Habits(NamedTuple):
    """How a player types."""

    enter: bytes
    """What the Enter key sends."""
    by_key: bool
    """Each key is sent at once, not the line as a whole."""
    terminal: bool
    """The program answers telnet options and says where its cursor is; scripts do not."""
    pace: float
    """Stretches the time to think."""
    chatter: float
    """Chance to speak, per decision."""
    hangs_up: bool
    """Pulls the plug instead of logging off."""


class Player:
    """One person at a keyboard for one call.

    Args:
        persona: who plays.
        party: User-IDs of those who meet tonight, the leader first.
        habits: how the person types.
        plays_s: seconds from dialling in until the player wants to go home.
        rng: source of everything the player leaves to chance.
    """

    def __init__(
        self, persona: Persona, party: Sequence[str], habits: Habits, plays_s: float, rng: random.Random
    ) -> None:
        self.hung_up = False
        """The player has pulled the plug."""
        self._habits = habits
        self._plays_s = plays_s
        self._rng = rng
        self._mind = Mind(persona, party, habits.chatter, rng)
        self._keys: deque[tuple[float, bytes]] = deque()
        """What the fingers are about to type, and when."""
        self._think_until = 0.0

    def receive(self, data: bytes) -> None:
        """Take in what the host has sent."""
        if self._habits.terminal:
            if WILL_ECHO in data:
                self._keys.append((0, OPTION_REPLIES))
            if CURSOR_QUERY in data:
                self._keys.append((0, CURSOR_REPORT))
        self._mind.sight.read(data.decode("cp437"))

    def type(self, now: float) -> bytes:
        """What has been typed up to `now`, in seconds since dialling in."""
        if now >= self._plays_s:
            self.hung_up = self._habits.hangs_up
            self._mind.go_home()
        if not self._keys and now >= self._think_until:
            command = self._mind.decide()
            if command == WAIT:
                self._think_until = now + self._rng.uniform(*REACTION_S)
            else:
                self._keys.extend(self._strokes(command, now))
                self._think_until = self._keys[-1][0] + self._think_time(command)
        typed = b""
        while self._keys and self._keys[0][0] <= now:
            typed += self._keys.popleft()[1]
        return typed

    def _strokes(self, command: str, now: float) -> list[tuple[float, bytes]]:
        """The keys of a command and when they are sent. Slips are rubbed out where single keys are sent."""
        rng = self._rng
        typo = rng.randrange(len(command)) if len(command) > 3 and rng.random() < TYPO_CHANCE else None
        if not self._habits.by_key:
            if typo is not None and self._mind.sight.in_game:
                command = command[:typo] + command[typo + 1 :]
            return [(now, command.encode() + self._habits.enter)]
        keys = [key.encode() for key in command]
        if typo is not None:
            keys[typo:typo] = [rng.choice(ascii_lowercase).encode(), b"\b"]
        strokes = []
        for key in [*keys, self._habits.enter]:
            strokes.append((now, key))
            now += rng.uniform(*KEY_INTERVAL_S)
        return strokes

    def _think_time(self, command: str) -> float:
        """Seconds until the next decision."""
        if self._rng.random() < BREAK_CHANCE:
            return self._rng.uniform(*BREAK_S)
        mean = STEP_S if command in DIRECTIONS.values() else THINK_S
        return min(MAX_THINK_S, MIN_THINK_S + self._habits.pace * self._rng.expovariate(1 / mean))
