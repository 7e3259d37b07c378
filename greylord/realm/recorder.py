"""Captures of the realm, as a telnet proxy between the players and the host would write them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from greylord.captures.session import Direction, Record, Session
from greylord.realm.connection import Connection
from greylord.realm.players import CAST, Habits, Player
from greylord.realm.world import World

__all__ = ["record"]

FIRST_EVENING = datetime(2025, 9, 5, 18, 0, tzinfo=UTC)
DAY_S, EVENING_S = 86_400, 3 * 3600
LARGEST_PARTY, FEWEST_EVENINGS = 4, 4
LATEST_ARRIVAL = 0.15
"""The part of an evening in which the players of a party dial in."""
STEP_S = (0.04, 0.16)
"""How far the clock is moved at a time: how often the host's network queue is emptied."""
READ_SIZES = (1460, 1460, 1460, 512, 64)
"""Bytes the proxy takes in one read: a full segment as a rule, less where its buffer is small."""
LATEST_S = 60
"""How long after the end of play a player may take to leave before the line is cut."""


@dataclass
class _Call:
    """One player of an evening, and what the proxy has heard of the call."""

    player: Player
    name: str
    dial_s: float
    """Seconds after the first player of the evening."""
    read_size: int
    connection: Connection | None = None
    records: list[Record] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """The call is over."""
        return self.connection is not None and self.connection.closed


def record(seed: int, recordings: int, minutes: float) -> Iterator[tuple[str, Session]]:
    """Recorded sessions of an imaginary board, evening by evening: file names and sessions.

    Parties of one to four players meet on evenings at least a day apart, within minutes of one another, and
    each player makes one recording. There are at least four evenings if there are that many recordings. The
    realm remembers the evenings before.

    Args:
        seed: decides everything; the same arguments give the same bytes.
        recordings: how many.
        minutes: how long a player stays.
    """
    rng = random.Random(seed)
    world = World(seed)
    evening_s = FIRST_EVENING.timestamp()
    for size in _party_sizes(recordings, rng):
        calls = _plan_calls(size, evening_s + rng.uniform(0, EVENING_S), minutes, rng)
        _play_evening(world, calls, 60 * minutes + LATEST_S, rng)
        for call in calls:
            yield call.name, Session.from_records(call.records)
        evening_s += DAY_S * rng.randint(2, 4)


def _party_sizes(recordings: int, rng: random.Random) -> Iterator[int]:
    """How many players meet on each evening."""
    evening = 0
    while recordings:
        spare = recordings - max(0, FEWEST_EVENINGS - 1 - evening)
        size = rng.randint(1, max(1, min(LARGEST_PARTY, spare)))
        yield size
        recordings -= size
        evening += 1


def _plan_calls(size: int, start_s: float, minutes: float, rng: random.Random) -> list[_Call]:
    """The players of an evening that starts at `start_s`, seconds since 1970, in the order they dial in."""
    cast = rng.sample(CAST, size)
    party = [persona.name for persona in cast]
    dials = [0.0, *sorted(rng.uniform(0, LATEST_ARRIVAL * 60 * minutes) for _ in cast[1:])]
    calls = []
    for persona, dial_s in zip(cast, dials, strict=True):
        plays_s = 60 * minutes - 0.5 * dial_s
        player = Player(persona, party, _draw_habits(rng), plays_s, random.Random(rng.getrandbits(64)))
        name = f"{int(start_s + dial_s)}_{uuid.UUID(int=rng.getrandbits(128), version=4)}.log"
        calls.append(_Call(player, name, dial_s, rng.choice(READ_SIZES)))
    return calls


def _draw_habits(rng: random.Random) -> Habits:
    terminal = rng.random() < 0.7
    return Habits(
        enter=b"\r" if terminal else b"\n",
        by_key=terminal and rng.random() < 0.3,
        terminal=terminal,
        pace=rng.uniform(0.5, 1.2),
        chatter=rng.uniform(0, 0.02),
        hangs_up=rng.random() < 0.15,
    )


def _play_evening(world: World, calls: list[_Call], latest_s: float, rng: random.Random) -> None:
    """Let an evening pass, and have its seats record it. Delays count from the last event on any line."""
    now = last_event = 0.0

    def receive(call: _Call, direction: Direction, data: bytes) -> None:
        nonlocal last_event
        for at in range(0, len(data), call.read_size):
            delay_ms = round(1000 * (now - last_event))
            last_event = now
            call.records.append(Record(direction, delay_ms, data[at : at + call.read_size]))

    while not all(call.done for call in calls):
        step = rng.uniform(*STEP_S)
        now += step
        sent = world.tick(step)
        for call in calls:
            if call.connection is None and now >= call.dial_s:
                call.connection = world.connect()
            if data := sent.get(call.connection):
                receive(call, Direction.SERVER, data)
                call.player.receive(data)
            if call.connection is None or call.connection.closed:
                continue
            if typed := call.player.type(now - call.dial_s):
                receive(call, Direction.CLIENT, typed)
                call.connection.receive(typed)
            if call.player.hung_up or now > latest_s:
                call.connection.hang_up()
