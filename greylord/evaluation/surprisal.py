"""How much each byte of one recording surprised a model, and which lines did most."""

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
from greylord.evaluation.bits_per_byte import CLIENT, SERVER, ScoreTally, kinds_of, predictions, protocol
from greylord.progress import Progress, silent
from greylord.stream import turns, vocabulary
from greylord.terminal.display import Display

__all__ = ["Line", "Surprise", "smoothed", "surprise_of"]

LINES = 12
LINE = re.compile(rb"(?:\x1b\[79D\x1b\[K)?[^\n]*?(?:\n|(?=\x1b\[79D\x1b\[K)|\Z)", re.DOTALL)
"""Up to a line feed, or to where the game wipes the line to begin another."""
COLOUR = re.compile(rb"\x1b\[(?P<parameters>[0-9;]*)m")
"""Select graphic rendition (ECMA-48)."""
COLOURS_WITHIN = 1_000
"""Bytes before a line in which its colours are looked for."""
BINS = 400


@dataclass(frozen=True)
class Line:
    """A line of the server."""

    offset: int
    """Payload bytes of both sides before it, as `greylord generate --at` takes them."""
    bits: float
    """All that its bytes cost together."""
    payload_bytes: int
    shown: str
    """As the player saw it: Unicode, and the colours as control sequences, those included that stood before it."""


@dataclass(frozen=True, eq=False)
class Surprise:
    """A recording as a model takes it, in the order of its payload.

    Attributes:
        name: of the file.
        protocol: how it was scored.
        overall: bits per byte, framing included.
        bits: float32 [payload bytes], what each costs.
        by_client: bool [payload bytes], whose they are.
        lines: those that cost most, the most expensive first; of equal ones the most expensive.
    """

    name: str
    protocol: str
    overall: float
    bits: np.ndarray
    by_client: np.ndarray
    lines: list[Line]


def surprise_of(model: PreTrainedModel, path: Path, progress: Progress = silent) -> Surprise:
    """Score a recording by the protocol. Its credentials are masked.

    Raises UsageError if it has no payload.
    """
    session = read_session(path)
    if not len(session.payload):
        raise UsageError(f"{str(path)!r} has no payload.")
    ids = turns.encode(turns.turns_of(session))
    rows, context = [ids], model.config.n_positions
    tally, nats = ScoreTally(rows), np.zeros(len(ids), np.float32)
    for prediction in predictions(model, rows, whole_rows(rows), context, progress):
        tally.add(prediction)
        nats[prediction.window.scored : prediction.window.end] = prediction.nats
    (score,) = tally.report()
    is_payload = ids < vocabulary.PAD
    bits = nats[is_payload] / np.float32(math.log(2))
    kinds, payload = kinds_of(ids)[is_payload], turns.payload_of(ids)
    by_server = np.flatnonzero(kinds == SERVER)
    return Surprise(
        name=path.name,
        protocol=protocol(context),
        overall=score.overall,
        bits=bits,
        by_client=kinds == CLIENT,
        lines=_lines(payload[by_server].tobytes(), bits[by_server], by_server),
    )


def _lines(payload: bytes, bits: np.ndarray, offsets: np.ndarray) -> list[Line]:
    """The most expensive lines of what the server says."""
    spans = [match.span() for match in LINE.finditer(payload) if match[0]]
    before = np.append(0, np.cumsum(bits, dtype=np.float64))
    costs = {span: float(before[span[1]] - before[span[0]]) for span in spans}
    lines: dict[str, Line] = {}
    for begin, end in sorted(spans, key=lambda span: -costs[span]):
        text = Display().feed(
            _colours(payload[max(0, begin - COLOURS_WITHIN) : begin])
            + apply_backspaces(payload[begin:end].rstrip(b"\r\n"))
        )
        lines.setdefault(text, Line(int(offsets[begin]), costs[begin, end], end - begin, text))
        if len(lines) == LINES:
            break
    return list(lines.values())


def _colours(payload: bytes) -> bytes:
    """The colours that are on after a payload: control sequences since the last that resets them."""
    on = b""
    for match in COLOUR.finditer(payload):
        resets = any(not parameter.strip(b"0") for parameter in match["parameters"].split(b";"))
        on = match[0] if resets else on + match[0]
    return on


def smoothed(surprise: Surprise, by_client: bool) -> tuple[np.ndarray, np.ndarray]:
    """One side's mean bits over the recording, in 400 pieces of equal length.

    Returns the middle of each piece, in payload bytes, and the mean there, float64 both; without pieces in which that
    side says nothing.
    """
    size = len(surprise.bits)
    chosen = np.flatnonzero(surprise.by_client == by_client)
    pieces = chosen * BINS // size
    counts = np.bincount(pieces, minlength=BINS)
    sums = np.bincount(pieces, surprise.bits[chosen], minlength=BINS)
    said = np.flatnonzero(counts)
    return (said + 0.5) * size / BINS, sums[said] / counts[said]
