"""Signs that another program changed a recording after it was made.

The limits below were chosen so that none of 126 genuine recordings shows a sign.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import numpy as np

from greylord.captures.session import Direction, Session
from greylord.spool import blocks

__all__ = ["MEANINGS", "Sign", "find_signs"]

MIN_LINES = 8
"""Fewest line ends of the server that are judged."""
LINE_SHARE = 0.5
"""Share of changed line ends that is a sign when exceeded."""
MIN_SEQUENCES = 4
"""Fewest UTF-8 sequences that are judged."""
SEQUENCE_SHARE = 0.9
"""Share of the high bytes in UTF-8 sequences that is a sign when exceeded. Line art holds some by chance."""
LONG_RECORD = 400
"""Payload bytes of a record nearly as long as the 512 bytes at which the recorder cuts."""
MIN_LONG_RECORDS = 16
"""Fewest long records for which missing cuts are judged."""
MIN_RUN_ZEROS = 16
"""Number of zeros after a zero that is a sign when exceeded. In genuine recordings zeros stand alone, except in the
telnet option that reports a window of size 0."""
NEAR = 3
"""Bytes before and after a byte that decide what it is part of."""


class Sign(enum.StrEnum):
    """A change to a recording."""

    LINE_ENDS = "line ends"
    """CR LF became LF, CR, or CR CR LF."""
    UTF8 = "utf-8"
    """Single bytes from 0x80 on became UTF-8 sequences."""
    CUTS = "cuts"
    """No record is cut at 512 bytes, though many are nearly as long: the recorder's cuts can no longer be found."""
    COMMAS = "decimal commas"
    """Delays have a decimal comma."""
    ZEROS = "zeros"
    """Zero bytes at the end were cut off, or the payload holds runs of them."""
    STRAY_MARKERS = "stray markers"
    """Record markers open something that is not part of the format."""


MEANINGS = {
    Sign.LINE_ENDS: "The line ends of {} were changed after recording, so the model learns other bytes than the game "
    "sends. Copy the original logs in binary mode.",
    Sign.UTF8: "{} went through UTF-8, so line art and telnet commands are not the bytes that were sent. Copy the "
    "original logs in binary mode.",
    Sign.CUTS: "In {} no record ends at 512 bytes, where the recorder cuts: a program changed the lengths afterwards, "
    "so cut records cannot be found.",
    Sign.COMMAS: "{} had delays with a decimal comma; it was read as a decimal point.",
    Sign.ZEROS: "{} ended in zero bytes, or holds runs of them; those at the end were cut off.",
    Sign.STRAY_MARKERS: "{} held record markers that are not part of the format; what follows them was read as payload "
    "of the record before.",
}
"""Messages, with a gap for the recordings."""


def find_signs(session: Session) -> list[Sign]:
    """Find the signs in a recording. They are in the order of `Sign`."""
    payload = session.payload
    sequences, sequence_bytes, high_bytes, zeros = _sums(_high_bytes(payload, *block) for block in blocks(payload))
    long_records, has_cuts = 0, False
    for piece in session.pieces():
        long_records += int(((piece.sizes >= LONG_RECORD) & (piece.directions == Direction.SERVER)).sum())
        has_cuts |= bool(piece.truncated.any())
    shows = {
        Sign.LINE_ENDS: _line_ends_changed(session),
        Sign.UTF8: sequences >= MIN_SEQUENCES and sequence_bytes > SEQUENCE_SHARE * high_bytes,
        Sign.CUTS: session.dialect != "v3" and long_records >= MIN_LONG_RECORDS and not has_cuts,
        Sign.COMMAS: session.dirt.decimal_commas > 0,
        Sign.ZEROS: session.dirt.trailing_zeros > 0 or zeros > MIN_RUN_ZEROS,
        Sign.STRAY_MARKERS: session.dirt.stray_markers > 0,
    }
    return [sign for sign in Sign if shows[sign]]


def _sums(counts: Iterable[tuple[int, int, int, int]]) -> list[int]:
    """Add up four counts over the blocks."""
    return [sum(column) for column in zip((0, 0, 0, 0), *counts, strict=True)]


def _high_bytes(payload: np.ndarray, begin: int, block: np.ndarray) -> tuple[int, int, int, int]:
    """Count signs in a block of a payload, uint8 [bytes].

    Returns:
        UTF-8 sequences, the bytes in them, all bytes from 0x80 to 0xF4, and zeros that follow a zero.
    """
    zeros = int((np.diff(np.flatnonzero(payload[max(0, begin - 1) : begin + len(block)] == 0)) == 1).sum())
    high = np.flatnonzero((block >= 0x80) & (block <= 0xF4))
    leads = high[block[high] >= 0xC2]
    if not len(leads):
        return 0, 0, len(high), zeros
    ahead = np.append(payload[begin : begin + len(block) + NEAR], np.zeros(NEAR, np.uint8))
    sizes = 2 + (block[leads] >= 0xE0) + (block[leads] >= 0xF0)
    complete = np.ones(len(leads), bool)
    for offset in (1, 2, 3):
        complete &= ((ahead[leads + offset] & 0xC0) == 0x80) | (sizes <= offset)
    return int(complete.sum()), int(sizes[complete].sum()), len(high), zeros


def _line_ends_changed(session: Session) -> bool:
    """Tell whether most line ends of the server are not CR LF."""
    texts = (block.tobytes() for _, block in blocks(session.payload))
    feeds, returns, pairs, doubled = _sums(
        (text.count(b"\n"), text.count(b"\r"), text.count(b"\r\n"), text.count(b"\r\r\n")) for text in texts
    )
    # Counting both sides together is cheap and decides nearly all recordings.
    if max(feeds - pairs, returns - pairs, doubled) < LINE_SHARE / 2 * max(feeds, returns):
        return False
    places = (_line_ends(session, begin, begin + len(block)) for begin, block in blocks(session.payload))
    feeds, bare, doubled, lone = _sums(places)
    lines = max(feeds, lone)
    return lines >= MIN_LINES and max(bare, doubled, lone) > LINE_SHARE * lines


def _line_ends(session: Session, begin: int, end: int) -> tuple[int, int, int, int]:
    """Count the server's line ends in a block.

    Returns:
        Line feeds, those without a carriage return before them, those with two, and carriage returns without a line
        feed on either side.
    """
    low = max(0, begin - NEAR)
    zeros = np.zeros(NEAR, np.uint8)
    padded = np.concatenate([zeros, session.payload[low : end + NEAR], zeros])

    def at(value: int) -> np.ndarray:
        """Find a byte of the server in this block: positions in `padded`, int64 [n]."""
        places = begin + np.flatnonzero(session.payload[begin:end] == value)
        records = np.searchsorted(session.ends, places, "right")
        return places[session.directions[records] == Direction.SERVER] - low + NEAR

    feeds, returns = at(ord("\n")), at(ord("\r"))
    bare = padded[feeds - 1] != ord("\r")
    doubled = ~bare & (padded[feeds - 2] == ord("\r"))
    lone = (padded[returns + 1] != ord("\n")) & (padded[returns - 1] != ord("\n"))
    return len(feeds), int(bare.sum()), int(doubled.sum()), int(lone.sum())
