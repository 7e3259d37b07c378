"""Surprisal along one recording: the bits of each byte, and the costliest lines."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from greylord.captures.markup import apply_backspaces
from greylord.captures.reading import read_session
from greylord.corpus.windows import whole_rows
from greylord.errors import UsageError
from greylord.evaluation.bits_per_byte import CLIENT, SERVER, ScoreTally, predict, protocol, token_kinds
from greylord.progress import Progress, silent
from greylord.stream import turns, vocabulary
from greylord.terminal.display import Display

__all__ = ["RecordingSurprisal", "ServerLine", "measure_surprisal", "smooth"]

LINES = 12
"""Lines that are reported."""
LINE = re.compile(rb"(?:\x1b\[79D\x1b\[K)?[^\n]*?(?:\n|(?=\x1b\[79D\x1b\[K)|\Z)", re.DOTALL)
"""A line, up to a line feed or to where the game erases it to begin another."""
COLOUR = re.compile(rb"\x1b\[(?P<parameters>[0-9;]*)m")
"""Select graphic rendition (ECMA-48)."""
COLOURS_WITHIN = 1_000
"""Bytes before a line that are searched for its colours."""
BINS = 400


@dataclass(frozen=True)
class ServerLine:
    """A line of the server."""

    offset: int
    """Payload bytes of both sides before it."""
    bits: float
    """Surprisal of all its bytes together."""
    payload_bytes: int
    shown: str
    """The line as the player saw it: Unicode, with control sequences for its colours and those in force before it."""


@dataclass(frozen=True, eq=False)
class RecordingSurprisal:
    """The surprisal of a recording, in the order of its payload.

    Attributes:
        name: Name of the file.
        protocol: The protocol in words.
        bits_per_byte: Bits per byte of the whole recording, framing included.
        bits: float32 [payload bytes], the surprisal of each byte.
        by_client: bool [payload bytes], true where the client sent the byte.
        lines: The most expensive lines, in order of cost. Of lines that look the same, only the most expensive.
    """

    name: str
    protocol: str
    bits_per_byte: float
    bits: np.ndarray
    by_client: np.ndarray
    lines: list[ServerLine]


def measure_surprisal(model: PreTrainedModel, path: Path, progress: Progress = silent) -> RecordingSurprisal:
    """Score a recording by the protocol of bits per byte, with its credentials masked.

    Args:
        model: On a CPU or a GPU.
        path: The recording.
        progress: Counts tokens.

    Raises:
        UsageError: The recording has no payload.
    """
    session = read_session(path)
    if not len(session.payload):
        raise UsageError(f"{str(path)!r} has no payload.")
    ids = turns.encode(session)
    rows, context = [ids], model.config.n_positions
    tally, nats = ScoreTally(rows), np.zeros(len(ids), np.float32)
    for prediction in predict(model, rows, whole_rows(rows), context, progress):
        tally.add(prediction)
        nats[prediction.window.scored : prediction.window.end] = prediction.nats
    (score,) = tally.report()
    is_payload = ids < vocabulary.PAD
    bits = nats[is_payload] / np.float32(math.log(2))
    kinds, payload = token_kinds(ids)[is_payload], turns.payload_of(ids)
    by_server = np.flatnonzero(kinds == SERVER)
    return RecordingSurprisal(
        name=path.name,
        protocol=protocol(context),
        bits_per_byte=score.bits_per_byte,
        bits=bits,
        by_client=kinds == CLIENT,
        lines=_expensive_lines(payload[by_server].tobytes(), bits[by_server], by_server),
    )


def _expensive_lines(payload: bytes, bits: np.ndarray, offsets: np.ndarray) -> list[ServerLine]:
    """Return the most expensive lines of the server's payload.

    Args:
        payload: The bytes that the server sent.
        bits: float32 [payload], the surprisal of each byte.
        offsets: int64 [payload], position of each byte in the recording's payload.
    """
    spans = [match.span() for match in LINE.finditer(payload) if match[0]]
    before = np.append(0, np.cumsum(bits, dtype=np.float64))
    costs = {span: float(before[span[1]] - before[span[0]]) for span in spans}
    lines: dict[str, ServerLine] = {}
    for begin, end in sorted(spans, key=lambda span: -costs[span]):
        text = Display().feed(
            _colours(payload[max(0, begin - COLOURS_WITHIN) : begin])
            + apply_backspaces(payload[begin:end].rstrip(b"\r\n"))
        )
        lines.setdefault(text, ServerLine(int(offsets[begin]), costs[begin, end], end - begin, text))
        if len(lines) == LINES:
            break
    return list(lines.values())


def _colours(payload: bytes) -> bytes:
    """Return the colours in force at the end of a payload.

    These are its control sequences since the last reset.
    """
    colours = b""
    for match in COLOUR.finditer(payload):
        resets = any(not parameter.strip(b"0") for parameter in match["parameters"].split(b";"))
        colours = match[0] if resets else colours + match[0]
    return colours


def smooth(surprisal: RecordingSurprisal, by_client: bool) -> tuple[np.ndarray, np.ndarray]:
    """Average the surprisal of one side over 400 pieces of equal length.

    Returns:
        The middle of each piece in payload bytes, and the mean bits per byte there, float64 [pieces] each. Pieces
        without a byte of that side are left out.
    """
    size = len(surprisal.bits)
    places = np.flatnonzero(surprisal.by_client == by_client)
    pieces = places * BINS // size
    counts = np.bincount(pieces, minlength=BINS)
    sums = np.bincount(pieces, surprisal.bits[places], minlength=BINS)
    filled = np.flatnonzero(counts)
    return (filled + 0.5) * size / BINS, sums[filled] / counts[filled]
