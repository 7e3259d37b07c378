"""Signs that a recording is not what was recorded: what went through another program on the way leaves marks.

Each sign is counted in one recording and compared with what genuine ones hold: of 126 recordings, none has one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import numpy as np

from greylord.captures.session import Direction, Session
from greylord.spool import blocks

__all__ = ["MEANINGS", "Sign", "signs_of"]

MIN_LINES = 8
"""Line ends of the server to judge by."""
LINE_SHARE = 0.5
"""Share of the line ends that are changed."""
MIN_SEQUENCES, SEQUENCE_SHARE = 4, 0.9
"""Sequences of UTF-8 to judge by, and what they make of the high bytes: in line art some stand by chance."""
LONG_RECORD, MIN_LONG_RECORDS = 400, 16
"""Payload bytes of a record that is nearly as long as where the recorder cuts, at 512 bytes; how many to judge by."""
MIN_ZEROS = 16
"""Zeros that follow zeros: in genuine recordings each stands alone, but for a window of size 0 in a telnet option."""
NEAR = 3
"""Bytes around one that decide what it is part of."""


class Sign(enum.StrEnum):
    """What happened to a recording."""

    LINE_ENDS = "line ends"
    """Line ends were changed: CR LF became LF, or CR, or CR CR LF."""
    UTF8 = "utf-8"
    """Single bytes from 0x80 on became sequences of UTF-8."""
    CUTS = "cuts"
    """No record is cut at 512 bytes, though many are nearly as long: the recorder's cuts cannot be told any more."""
    COMMAS = "decimal commas"
    """Delays are written with a comma."""
    ZEROS = "zeros"
    """Zero bytes at the end were cut off, or many stand within."""
    STRAY_MARKERS = "stray markers"
    """Record markers that the format does not explain: what they open was not understood."""


MEANINGS = {
    Sign.LINE_ENDS: "The line ends of {} were changed after recording, so the model learns other bytes than the game "
    "sends; copy the original logs in binary mode.",
    Sign.UTF8: "{} went through UTF-8, so line art and telnet commands are not what was sent; copy the original logs "
    "in binary mode.",
    Sign.CUTS: "In {} no record ends at 512 bytes, where the recorder cuts: something changed the lengths afterwards, "
    "and cut records are not marked.",
    Sign.COMMAS: "{} had delays with a decimal comma, which were read as a point.",
    Sign.ZEROS: "{} had room at the end that was never written, or holds runs of zero bytes; zeros at the end were cut "
    "off.",
    Sign.STRAY_MARKERS: "{} held record markers that the format does not explain; what they open was read as text of "
    "the record before.",
}
"""What each sign means, with the recordings in the gap."""


def signs_of(session: Session) -> list[Sign]:
    """Return the signs of a recording, in the order of `Sign`."""
    payload = session.payload
    sequences, spelled, high, zeros = _sums(_high_bytes(payload, *block) for block in blocks(payload))
    long_records, cuts = 0, False
    for piece in session.pieces():
        long_records += int(((piece.sizes >= LONG_RECORD) & (piece.directions == Direction.SERVER)).sum())
        cuts |= bool(piece.truncated.any())
    found = {
        Sign.LINE_ENDS: _line_ends_changed(session),
        Sign.UTF8: sequences >= MIN_SEQUENCES and spelled > SEQUENCE_SHARE * high,
        Sign.CUTS: session.dialect != "v3" and long_records >= MIN_LONG_RECORDS and not cuts,
        Sign.COMMAS: session.dirt.decimal_commas > 0,
        Sign.ZEROS: session.dirt.trailing_zeros > 0 or zeros > MIN_ZEROS,
        Sign.STRAY_MARKERS: session.dirt.stray_markers > 0,
    }
    return [sign for sign, shows in found.items() if shows]


def _sums(counts: Iterable[tuple[int, int, int, int]]) -> list[int]:
    """Counts of four things, block by block, added up."""
    return [sum(column) for column in zip((0, 0, 0, 0), *counts, strict=True)]


def _high_bytes(payload: np.ndarray, begin: int, own: np.ndarray) -> tuple[int, int, int, int]:
    """Count in a block: sequences of UTF-8, the bytes in them, all bytes from 0x80 to 0xF4, and zeros that follow a
    zero."""
    zeros = int((np.diff(np.flatnonzero(payload[max(0, begin - 1) : begin + len(own)] == 0)) == 1).sum())
    marked = np.flatnonzero((own >= 0x80) & (own <= 0xF4))
    leads = marked[own[marked] >= 0xC2]
    if not len(leads):
        return 0, 0, len(marked), zeros
    ahead = np.append(payload[begin : begin + len(own) + NEAR], np.zeros(NEAR, np.uint8))
    sizes = 2 + (own[leads] >= 0xE0) + (own[leads] >= 0xF0)
    complete = np.ones(len(leads), bool)
    for offset in (1, 2, 3):
        complete &= ((ahead[leads + offset] & 0xC0) == 0x80) | (sizes <= offset)
    return int(complete.sum()), int(sizes[complete].sum()), len(marked), zeros


def _line_ends_changed(session: Session) -> bool:
    """Whether most line ends of the server are not CR LF."""
    texts = (block.tobytes() for _, block in blocks(session.payload))
    feeds, returns, pairs, doubled = _sums(
        (text.count(b"\n"), text.count(b"\r"), text.count(b"\r\n"), text.count(b"\r\r\n")) for text in texts
    )
    # Both sides together, which is cheap to count: nearly all recordings are done here.
    if max(feeds - pairs, returns - pairs, doubled) < LINE_SHARE / 2 * max(feeds, returns):
        return False
    places = (_line_ends(session, begin, begin + len(block)) for begin, block in blocks(session.payload))
    feeds, bare, doubled, lone = _sums(places)
    lines = max(feeds, lone)
    return lines >= MIN_LINES and max(bare, doubled, lone) > LINE_SHARE * lines


def _line_ends(session: Session, begin: int, end: int) -> tuple[int, int, int, int]:
    """Count what the server sent in a block: line feeds, those without a carriage return before, those with two, and
    carriage returns without a line feed beside them."""
    low = max(0, begin - NEAR)
    zeros = np.zeros(NEAR, np.uint8)
    padded = np.concatenate([zeros, session.payload[low : end + NEAR], zeros])

    def at(value: int) -> np.ndarray:
        """Where a byte of the server stands in this block, as positions in `padded`."""
        places = begin + np.flatnonzero(session.payload[begin:end] == value)
        records = np.searchsorted(session.ends, places, "right")
        return places[session.directions[records] == Direction.SERVER] - low + NEAR

    feeds, returns = at(ord("\n")), at(ord("\r"))
    bare = padded[feeds - 1] != ord("\r")
    doubled = ~bare & (padded[feeds - 2] == ord("\r"))
    lone = (padded[returns + 1] != ord("\n")) & (padded[returns - 1] != ord("\n"))
    return len(feeds), int(bare.sum()), int(doubled.sum()), int(lone.sum())
