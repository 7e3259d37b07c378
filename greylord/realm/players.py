"""Scripted players, who type at the pace and with the typos of a person."""

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
"""The regular callers of the board. The passwords are invented."""

REACTION_S = (0.3, 1.2)
"""Time between decisions while the player waits for something."""
MIN_THINK_S, WALK_THINK_S, COMMAND_THINK_S, MAX_THINK_S = 0.3, 0.4, 1.3, 8.0
"""Time to think before a command: minimum, mean beyond it for a step and for anything else, maximum."""
KEY_INTERVAL_S = (0.06, 0.24)
"""Time between keys of a player who sends single keys."""
BREAK_S, BREAK_CHANCE = (60, 180), 0.003
"""Length of a break from the keyboard, and its chance per command."""
TYPO_CHANCE = 0.02
"""Chance of a typo in a command of more than three letters."""

WILL_ECHO, OPTION_REPLIES = b"\xff\xfb\x01", bytes.fromhex("fffd03 fffd01 fffd00 fffb00")
"""IAC WILL ECHO from the host; DO suppress-go-ahead, DO echo, DO binary and WILL binary in reply."""
CURSOR_QUERY, CURSOR_REPORT = b"\x1b[6n", b"\x1b[2;1R"


class Habits(NamedTuple):
    """The typing habits of a player."""

    enter: bytes
    """Bytes that the Enter key sends."""
    by_key: bool
    """Each key is sent at once, instead of the line as a whole."""
    terminal: bool
    """The client answers telnet options and cursor queries; a plain script does not."""
    pace: float
    """Factor on the time to think."""
    chatter: float
    """Chance to speak, per decision."""
    hangs_up: bool
    """Drops the connection instead of logging off."""


class Player:
    """One caller in one call.

    Args:
        party: User-IDs of the party, the leader first.
        plays_s: Seconds from dialling in until the player begins to leave.
    """

    def __init__(
        self, persona: Persona, party: Sequence[str], habits: Habits, plays_s: float, rng: random.Random
    ) -> None:
        self.hung_up = False
        """The player has dropped the connection."""
        self._habits = habits
        self._plays_s = plays_s
        self._rng = rng
        self._mind = Mind(persona, party, habits.chatter, rng)
        self._keys: deque[tuple[float, bytes]] = deque()
        """Keys about to be sent, each with its time in seconds since dialling in."""
        self._think_until = 0.0

    def receive(self, data: bytes) -> None:
        """Process bytes from the host."""
        if self._habits.terminal:
            if WILL_ECHO in data:
                self._keys.append((0, OPTION_REPLIES))
            if CURSOR_QUERY in data:
                self._keys.append((0, CURSOR_REPORT))
        self._mind.sight.read(data.decode("cp437"))

    def keystrokes(self, now: float) -> bytes:
        """Return the bytes typed since the last call.

        Args:
            now: Seconds since dialling in.
        """
        if now >= self._plays_s:
            self.hung_up = self._habits.hangs_up
            self._mind.start_leaving()
        if not self._keys and now >= self._think_until:
            command = self._mind.decide()
            if command == WAIT:
                self._think_until = now + self._rng.uniform(*REACTION_S)
            else:
                self._keys.extend(self._plan_keys(command, now))
                self._think_until = self._keys[-1][0] + self._think_time(command)
        typed = b""
        while self._keys and self._keys[0][0] <= now:
            typed += self._keys.popleft()[1]
        return typed

    def _plan_keys(self, command: str, now: float) -> list[tuple[float, bytes]]:
        """Return the keys of a command with their times.

        Typos are corrected only where single keys are sent.
        """
        rng = self._rng
        typo = rng.randrange(len(command)) if len(command) > 3 and rng.random() < TYPO_CHANCE else None
        if not self._habits.by_key:
            if typo is not None and self._mind.sight.in_game:
                command = command[:typo] + command[typo + 1 :]
            return [(now, command.encode() + self._habits.enter)]
        keys = [key.encode() for key in command]
        if typo is not None:
            keys[typo:typo] = [rng.choice(ascii_lowercase).encode(), b"\b"]
        planned = []
        for key in [*keys, self._habits.enter]:
            planned.append((now, key))
            now += rng.uniform(*KEY_INTERVAL_S)
        return planned

    def _think_time(self, command: str) -> float:
        """Draw the seconds until the next decision."""
        if self._rng.random() < BREAK_CHANCE:
            return self._rng.uniform(*BREAK_S)
        mean = WALK_THINK_S if command in DIRECTIONS.values() else COMMAND_THINK_S
        return min(MAX_THINK_S, MIN_THINK_S + self._habits.pace * self._rng.expovariate(1 / mean))
