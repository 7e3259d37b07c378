"""Recordings of the realm, as a telnet proxy would write them."""

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
MAX_PARTY, MIN_EVENINGS = 4, 4
LATEST_ARRIVAL = 0.15
"""Share of the playing time within which all players of a party dial in."""
STEP_S = (0.04, 0.16)
"""Seconds between two reads from the host. They decide how much text a read returns."""
READ_SIZES = (1460, 1460, 1460, 512, 64)
"""Most bytes in one read of the proxy: usually a full TCP segment, less where its buffer is small."""
LEAVING_S = 60
"""Time that players get to leave after the end of play, before the connection is cut."""


@dataclass
class _Call:
    """A player's call, and the records that the proxy has made of it."""

    player: Player
    name: str
    """File name of the recording."""
    dial_s: float
    """Seconds after the first call of the evening."""
    read_size: int
    connection: Connection | None = None
    records: list[Record] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """The call has ended."""
        return self.connection is not None and self.connection.closed


def record(seed: int, recordings: int, minutes: float) -> Iterator[tuple[str, Session]]:
    """Record players of an imaginary board.

    Parties of one to four players meet on evenings that are at least a day apart, and dial in within minutes of one
    another. Each player makes one recording. There are at least four evenings, or one per recording if there are fewer
    recordings. The realm remembers the evenings before.

    Args:
        seed: Decides everything. The same arguments give the same bytes.
        recordings: Number of recordings.
        minutes: Time that each player plays.

    Yields:
        File name and session of each recording, evening by evening.
    """
    rng = random.Random(seed)
    world = World(seed)
    evening_s = FIRST_EVENING.timestamp()
    for size in _party_sizes(recordings, rng):
        calls = _plan_calls(size, evening_s + rng.uniform(0, EVENING_S), minutes, rng)
        _play_evening(world, calls, 60 * minutes + LEAVING_S, rng)
        for call in calls:
            yield call.name, Session.from_records(call.records)
        evening_s += DAY_S * rng.randint(2, 4)


def _party_sizes(recordings: int, rng: random.Random) -> Iterator[int]:
    """Yield the number of players of each evening."""
    evening = 0
    while recordings:
        spare = recordings - max(0, MIN_EVENINGS - 1 - evening)
        size = rng.randint(1, max(1, min(MAX_PARTY, spare)))
        yield size
        recordings -= size
        evening += 1


def _plan_calls(size: int, start_s: float, minutes: float, rng: random.Random) -> list[_Call]:
    """Draw the calls of an evening.

    Args:
        size: Number of players.
        start_s: Unix time of the first call.
        minutes: Time that each player plays.

    Returns:
        The calls in the order in which the players dial in.
    """
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
    """Play an evening and fill in the records of its calls.

    Delays count from the last record of any call, because one proxy serves them all.

    Args:
        latest_s: Seconds after which connections are cut.
    """
    now = last_record = 0.0

    def log(call: _Call, direction: Direction, data: bytes) -> None:
        nonlocal last_record
        for at in range(0, len(data), call.read_size):
            delay_ms = round(1000 * (now - last_record))
            last_record = now
            call.records.append(Record(direction, delay_ms, data[at : at + call.read_size]))

    while not all(call.done for call in calls):
        step = rng.uniform(*STEP_S)
        now += step
        sent = world.tick(step)
        for call in calls:
            if call.connection is None and now >= call.dial_s:
                call.connection = world.connect()
            if call.connection and (data := sent.get(call.connection)):
                log(call, Direction.SERVER, data)
                call.player.receive(data)
            if call.connection is None or call.connection.closed:
                continue
            if typed := call.player.keystrokes(now - call.dial_s):
                log(call, Direction.CLIENT, typed)
                call.connection.receive(typed)
            if call.player.hung_up or now > latest_s:
                call.connection.hang_up()
