"""Is what a model says whole? Markup that a terminal takes, prompts as often as in the game, no loops, and rooms that
have the exits which they had before: each figure beside that of real play.

The model goes on from seeded places of recordings that it has not read, and real play is what followed there, as long.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import GPT2LMHeadModel

from greylord.captures.markup import CSI, TELNET, apply_backspaces
from greylord.generation.engine import Decoder, Sampling
from greylord.progress import Progress, silent
from greylord.stream import turns, vocabulary
from greylord.stream.lines import PROMPT
from greylord.weights import GPT2Weights

__all__ = ["Health", "health_of", "repeated", "stretches"]

STRETCHES, STRETCH_TOKENS = 16, 6_000
"""What is generated. Slots that decode together cost little more than one."""
ESCAPE, IAC = b"\x1b", b"\xff"
ROOM = re.compile(
    rb"\x1b\[1;36m(?P<name>[^\x1b\r\n]+)\r\n(?:(?!\x1b\[1;36m).){0,2000}?Obvious exits: (?P<exits>[^\x1b\r\n]+)",
    re.DOTALL,
)
"""A room as the game shows it: its name in bright cyan on a line of its own, and its exits at the end."""


@dataclass(frozen=True)
class Health:
    """Figures of what the server says in some stretches of play; None where there is nothing to judge."""

    server_bytes: int
    valid_csi: float | None
    """The share of escape characters that open a complete control sequence (ECMA-48)."""
    valid_telnet: float | None
    """The share of IAC bytes that open a complete telnet command (RFC 854)."""
    prompts_per_kilobyte: float | None
    """Redraws of the prompt in 1,000 bytes."""
    repeated: float
    """The longest part of a stretch that stands in it twice, overlaps included, by its length; the mean."""
    rooms_seen_again: int
    """In the same stretch."""
    same_exits: float | None
    """The share of these that have the exits which the name had the time before."""


def stretches(
    model: GPT2LMHeadModel,
    rows: Sequence[np.ndarray],
    progress: Progress = silent,
    count: int = STRETCHES,
    tokens: int = STRETCH_TOKENS,
    seed: int = 0,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Play as a model goes on with it, and real play from the same places: uint16 ids, stretch by stretch.

    Args:
        model: says them at temperature 1, the odds that it has learned.
        rows: recordings. Only places half a context or more after a beginning, and with `tokens` after them, are drawn.
        progress: counts tokens.
        count: stretches.
        tokens: of each; half of the longest recording at most.
        seed: of the places and of what is said.
    """
    tokens = min(tokens, (max(map(len, rows)) - 1) // 2)
    heard = min(model.config.n_positions // 2, tokens)
    room = np.cumsum([max(0, len(row) - heard - tokens) for row in rows])
    drawn = random.Random(seed)
    places = []
    for _ in range(count):
        at = drawn.randrange(int(room[-1]))
        row = int(np.searchsorted(room, at, "right"))
        places.append((rows[row], heard + at - int(room[row - 1] if row else 0)))
    real = [row[at : at + tokens] for row, at in places]
    decoder = Decoder(GPT2Weights.of(model), Sampling(), count)
    for slot, (row, at) in enumerate(places):
        decoder.start(slot, row[at - heard : at].tolist(), seed + slot)
    said = np.empty((tokens, count), np.uint16)
    with progress("Playing", tokens * count) as advance:
        for place in range(tokens):
            said[place] = [ids[0] for ids in decoder.step(range(count))]
            advance(count)
    return list(said.T), real


def health_of(plays: Sequence[np.ndarray]) -> Health:
    """Judge stretches of ids, uint16 each, that begin and end anywhere."""
    servers = [_server_bytes(play) for play in plays]
    size = sum(map(len, servers))
    sequences = [_shares(CSI, ESCAPE, server) for server in servers]
    commands = [_shares(TELNET, IAC, server) for server in servers]
    again = [seen for server in servers for seen in _seen_again(server)]
    return Health(
        server_bytes=size,
        valid_csi=_ratio(*map(sum, zip(*sequences, strict=True))),
        valid_telnet=_ratio(*map(sum, zip(*commands, strict=True))),
        prompts_per_kilobyte=1_000 * sum(len(PROMPT.findall(server)) for server in servers) / size if size else None,
        repeated=float(np.mean([repeated(server) for server in servers])),
        rooms_seen_again=len(again),
        same_exits=_ratio(sum(again), len(again)),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _server_bytes(ids: np.ndarray) -> bytes:
    """What the server says; a beginning before any direction token is taken as the server's."""
    speaks = np.isin(ids, (vocabulary.CLIENT, vocabulary.SERVER))
    last = np.maximum.accumulate(np.where(speaks, np.arange(len(ids)), -1))
    by_server = np.where(last < 0, vocabulary.SERVER, ids[last]) == vocabulary.SERVER
    return turns.payload_of(ids[by_server]).tobytes()


def _shares(pattern: re.Pattern[bytes], opening: bytes, payload: bytes) -> tuple[int, int]:
    """How many complete sequences there are, and how many are opened, but for the last: the end may cut it."""
    payload = payload[: max(0, payload.rfind(opening))]
    rest, complete = pattern.subn(b"", payload)
    return complete, complete + rest.count(opening)


def _seen_again(payload: bytes) -> list[bool]:
    """For each room whose name has been seen before, whether it has the same exits as then."""
    exits, again = {}, []
    for match in ROOM.finditer(payload):
        seen = apply_backspaces(match["exits"])
        if match["name"] in exits:
            again.append(exits[match["name"]] == seen)
        exits[match["name"]] = seen
    return again


def repeated(payload: bytes) -> float:
    """The longest part that stands in a payload twice, overlaps included, by the payload's length.

    Near 1 where a loop has no way out.
    """

    def stands_twice(length: int) -> bool:
        parts = {payload[begin : begin + length] for begin in range(len(payload) - length + 1)}
        return len(parts) <= len(payload) - length

    # If a part stands there twice, so does each shorter one.
    longest = bisect_left(range(1, len(payload) + 1), True, key=lambda length: not stands_twice(length))
    return longest / len(payload) if payload else 0.0
