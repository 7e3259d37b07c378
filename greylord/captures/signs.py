"""Signs that a recording is not what was recorded: what went through another program on the way leaves marks.

Each sign is counted in one recording and compared with what genuine ones hold: of 126 recordings, none has one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

import numpy as np

from greylord.captures.session import Direction, Session

__all__ = ["MEANINGS", "Sign", "signs_of"]

BLOCK_BYTES = 1 << 24
MIN_LINES = 8
"""Line ends of the server to judge by."""
LINE_SHARE = 0.5
"""Of them that are changed."""
MIN_SEQUENCES, SEQUENCE_SHARE = 4, 0.9
"""Sequences of UTF-8 to judge by, and what they make of the high bytes: in line art some stand by chance."""
LONG_RECORD, MIN_LONG_RECORDS = 400, 16
"""Payload bytes of a record that is nearly as long as where the recorder cuts, at 512 bytes; how many to judge by."""
MIN_ZEROS = 16
"""Zeros that follow zeros: in genuine recordings each stands alone, but for a window of size 0 in a telnet option."""


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
    blocks = [(at, min(at + BLOCK_BYTES, len(payload))) for at in range(0, len(payload), BLOCK_BYTES)]
    sequences, spelled, high, zeros = _sums(_high_bytes(payload, *block) for block in blocks)
    by_server = session.directions == Direction.SERVER
    long_records = int((session.sizes[by_server] >= LONG_RECORD).sum())
    found = {
        Sign.LINE_ENDS: _line_ends_changed(session, blocks),
        Sign.UTF8: sequences >= MIN_SEQUENCES and spelled > SEQUENCE_SHARE * high,
        Sign.CUTS: session.dialect != "v3" and long_records >= MIN_LONG_RECORDS and not session.truncated.any(),
        Sign.COMMAS: session.dirt.decimal_commas > 0,
        Sign.ZEROS: session.dirt.trailing_zeros > 0 or zeros > MIN_ZEROS,
        Sign.STRAY_MARKERS: session.dirt.stray_markers > 0,
    }
    return [sign for sign, shows in found.items() if shows]


def _sums(counts: Iterable[Sequence[int]]) -> list[int]:
    """Counts of four things, block by block, added up."""
    return np.sum([[0] * 4, *counts], axis=0).tolist()


def _high_bytes(payload: np.ndarray, begin: int, end: int) -> tuple[int, int, int, int]:
    """Of a block: sequences of UTF-8, the bytes in them, all bytes from 0x80 to 0xF4, and zeros that a zero follows."""
    own = payload[begin:end]
    marked = np.flatnonzero((own >= 0x80) & (own <= 0xF4))
    # Three bytes more decide what stands at the end.
    ahead = np.append(payload[begin : end + 3], np.zeros(3, np.uint8))
    leads = marked[own[marked] >= 0xC2]
    sizes = 2 + (own[leads] >= 0xE0) + (own[leads] >= 0xF0)
    complete = np.ones(len(leads), bool)
    for offset in (1, 2, 3):
        complete &= ((ahead[leads + offset] & 0xC0) == 0x80) | (sizes <= offset)
    zeros = np.flatnonzero(payload[begin : end + 1] == 0)
    return int(complete.sum()), int(sizes[complete].sum()), len(marked), int((np.diff(zeros) == 1).sum())


def _line_ends_changed(session: Session, blocks: Sequence[tuple[int, int]]) -> bool:
    """Whether most line ends of the server are not CR LF."""
    texts = (session.payload[begin:end].tobytes() for begin, end in blocks)
    feeds, returns, pairs, doubled = _sums(
        [text.count(end) for end in (b"\n", b"\r", b"\r\n", b"\r\r\n")] for text in texts
    )
    # Both sides together, which is cheap to count: nearly all recordings are done here.
    if max(feeds - pairs, returns - pairs, doubled) < LINE_SHARE / 2 * max(feeds, returns):
        return False
    feeds, bare, doubled, lone = _sums(_line_ends(session, *block) for block in blocks)
    lines = max(feeds, lone)
    return lines >= MIN_LINES and max(bare, doubled, lone) > LINE_SHARE * lines


def _line_ends(session: Session, begin: int, end: int) -> tuple[int, int, int, int]:
    """Of the server, in a block: line feeds, those without a carriage return before, those with two, and carriage
    returns without a line feed beside them."""
    low = max(0, begin - 3)
    padded = np.concatenate([np.zeros(3, np.uint8), session.payload[low : end + 3], np.zeros(3, np.uint8)])

    def at(value: int) -> np.ndarray:
        """Where a byte of the server stands in this block, as positions in `padded`."""
        places = begin + np.flatnonzero(session.payload[begin:end] == value)
        records = np.searchsorted(session.ends, places, "right")
        return places[session.directions[records] == Direction.SERVER] - low + 3

    feeds, returns = at(ord("\n")), at(ord("\r"))
    bare = padded[feeds - 1] != ord("\r")
    doubled = ~bare & (padded[feeds - 2] == ord("\r"))
    lone = (padded[returns + 1] != ord("\n")) & (padded[returns - 1] != ord("\n"))
    return len(feeds), int(bare.sum()), int(doubled.sum()), int(lone.sum())
