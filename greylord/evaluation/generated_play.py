"""Quality of generated play, beside real play from the same places.

The figures are valid control sequences and telnet commands, prompts as often as in the game, no loops, and rooms that
keep their exits. The model continues unseen recordings from seeded places; the real play is what follows there.
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

__all__ = ["Health", "longest_repeat", "measure_health", "sample_stretches"]

STRETCHES, STRETCH_TOKENS = 16, 6_000
"""Number and length of the generated stretches. Slots that decode together cost little more than one."""
ESCAPE, IAC = b"\x1b", b"\xff"
ROOM = re.compile(
    rb"\x1b\[1;36m(?P<name>[^\x1b\r\n]+)\r\n(?:(?!\x1b\[1;36m).){0,2000}?Obvious exits: (?P<exits>[^\x1b\r\n]+)",
    re.DOTALL,
)
"""A room as the game shows it: its name in bright cyan on a line of its own, and its exits at the end."""


@dataclass(frozen=True)
class Health:
    """Figures of the server's payload in stretches of play; None for empty counts."""

    server_bytes: int
    valid_csi: float | None
    """Share of escape characters that open a complete control sequence (ECMA-48)."""
    valid_telnet: float | None
    """Share of IAC bytes that open a complete telnet command (RFC 854)."""
    prompts_per_kilobyte: float | None
    """Redraws of the prompt in 1,000 bytes."""
    repeated: float
    """Mean over the stretches of `longest_repeat`."""
    rooms_seen_again: int
    """Rooms shown after an earlier room of the same name in the same stretch."""
    same_exits: float | None
    """Share of these rooms with the same exits as before."""


def sample_stretches(
    model: GPT2LMHeadModel,
    rows: Sequence[np.ndarray],
    progress: Progress = silent,
    count: int = STRETCHES,
    tokens: int = STRETCH_TOKENS,
    seed: int = 0,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Continue recordings from random places, at temperature 1.

    Args:
        model: On a CPU or a GPU.
        rows: Ids of recordings, uint16 each. Places lie half a context or more after a beginning, and `tokens` or more
            before an end.
        progress: Counts tokens.
        count: Number of stretches.
        tokens: Tokens of each; at most half of the longest recording.
        seed: Seeds the places and the continuations.

    Returns:
        Generated stretches and the real ones from the same places, uint16 [tokens] each.
    """
    tokens = min(tokens, (max(map(len, rows)) - 1) // 2)
    context = min(model.config.n_positions // 2, tokens)
    places_before = np.cumsum([max(0, len(row) - context - tokens) for row in rows])
    source = random.Random(seed)
    places = []
    for _ in range(count):
        place = source.randrange(int(places_before[-1]))
        index = int(np.searchsorted(places_before, place, "right"))
        places.append((rows[index], context + place - int(places_before[index - 1] if index else 0)))
    real = [row[begin : begin + tokens] for row, begin in places]
    decoder = Decoder(GPT2Weights.of(model), Sampling(), count)
    for slot, (row, begin) in enumerate(places):
        decoder.start(slot, row[begin - context : begin].tolist(), seed + slot)
    generated = np.empty((tokens, count), np.uint16)
    with progress("Playing", tokens * count) as advance:
        for step in range(tokens):
            generated[step] = [ids[0] for ids in decoder.step(range(count))]
            advance(count)
    return list(generated.T), real


def measure_health(stretches: Sequence[np.ndarray]) -> Health:
    """Measure the quality of play.

    Args:
        stretches: Ids, uint16 each, that may begin and end anywhere in a session.
    """
    payloads = [_server_payload(stretch) for stretch in stretches]
    size = sum(map(len, payloads))
    sequences = [_count_sequences(CSI, ESCAPE, payload) for payload in payloads]
    commands = [_count_sequences(TELNET, IAC, payload) for payload in payloads]
    again = [same for payload in payloads for same in _rooms_seen_again(payload)]
    return Health(
        server_bytes=size,
        valid_csi=_ratio(*map(sum, zip(*sequences, strict=True))),
        valid_telnet=_ratio(*map(sum, zip(*commands, strict=True))),
        prompts_per_kilobyte=1_000 * sum(len(PROMPT.findall(payload)) for payload in payloads) / size if size else None,
        repeated=float(np.mean([longest_repeat(payload) for payload in payloads])),
        rooms_seen_again=len(again),
        same_exits=_ratio(sum(again), len(again)),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _server_payload(ids: np.ndarray) -> bytes:
    """Return the server's payload.

    Ids before the first direction token count as the server's.
    """
    is_direction = np.isin(ids, (vocabulary.CLIENT, vocabulary.SERVER))
    last = np.maximum.accumulate(np.where(is_direction, np.arange(len(ids)), -1))
    by_server = np.where(last < 0, vocabulary.SERVER, ids[last]) == vocabulary.SERVER
    return turns.payload_of(ids[by_server]).tobytes()


def _count_sequences(pattern: re.Pattern[bytes], opening: bytes, payload: bytes) -> tuple[int, int]:
    """Count complete sequences and all openings.

    The last opening is left out, because the stretch may end within it.
    """
    payload = payload[: max(0, payload.rfind(opening))]
    rest, complete = pattern.subn(b"", payload)
    return complete, complete + rest.count(opening)


def _rooms_seen_again(payload: bytes) -> list[bool]:
    """Return for each room shown again whether it has the same exits as before."""
    exits_by_name: dict[bytes, bytes] = {}
    again = []
    for match in ROOM.finditer(payload):
        exits = apply_backspaces(match["exits"])
        if match["name"] in exits_by_name:
            again.append(exits_by_name[match["name"]] == exits)
        exits_by_name[match["name"]] = exits
    return again


def longest_repeat(payload: bytes) -> float:
    """Measure the longest part that occurs twice, as a share of the payload.

    The two occurrences may overlap. It is near 1 for a loop without end.
    """

    def occurs_twice(length: int) -> bool:
        parts = {payload[begin : begin + length] for begin in range(len(payload) - length + 1)}
        return len(parts) <= len(payload) - length

    # If a part occurs twice, so does every shorter one.
    longest = bisect_left(range(1, len(payload) + 1), True, key=lambda length: not occurs_twice(length))
    return longest / len(payload) if payload else 0.0
