"""Signs that a recording is not what was recorded: what went through another program on the way leaves marks.

Each sign is counted in one recording and compared with what genuine ones hold: of 126 recordings, none has one.
"""

from __future__ import annotations

import enum

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
ZERO_SHARE, MIN_ZEROS = 0.05, 64


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
    Sign.ZEROS: "{} had room at the end that was never written, or holds many zero bytes; zeros at the end were cut "
    "off.",
    Sign.STRAY_MARKERS: "{} held record markers that the format does not explain; what they open was read as text of "
    "the record before.",
}
"""What each sign means, with the recordings in the gap."""


def signs_of(session: Session) -> list[Sign]:
    """Return the signs of a recording, in the order of `Sign`."""
    payload = session.payload
    blocks = [_count(session, at, min(at + BLOCK_BYTES, len(payload))) for at in range(0, len(payload), BLOCK_BYTES)]
    feeds, bare, doubled, lone_returns, sequences, spelled, high, zeros = np.sum(
        [np.zeros(8, np.int64), *blocks], axis=0
    ).tolist()
    lines = max(feeds, lone_returns)
    by_server = session.directions == Direction.SERVER
    long_records = int((session.sizes[by_server] >= LONG_RECORD).sum())
    found = {
        Sign.LINE_ENDS: lines >= MIN_LINES and max(bare, doubled, lone_returns) > LINE_SHARE * lines,
        Sign.UTF8: sequences >= MIN_SEQUENCES and spelled > SEQUENCE_SHARE * high,
        Sign.CUTS: session.dialect != "v3" and long_records >= MIN_LONG_RECORDS and not session.truncated.any(),
        Sign.COMMAS: session.dirt.decimal_commas > 0,
        Sign.ZEROS: session.dirt.trailing_zeros > 0 or zeros > max(MIN_ZEROS, ZERO_SHARE * len(payload)),
        Sign.STRAY_MARKERS: session.dirt.stray_markers > 0,
    }
    return [sign for sign, shows in found.items() if shows]


def _count(session: Session, begin: int, end: int) -> np.ndarray:
    """Count what stands in a stretch of the payload.

    Returns:
        int64 [8]: line feeds of the server, those without a carriage return before, those with two, carriage returns
        of the server without a line feed behind; sequences of UTF-8, the bytes in them, all bytes from 0x80 to 0xF4,
        and zeros.
    """
    # Three bytes more on both sides decide what stands at the borders.
    low = max(0, begin - 3)
    block = np.asarray(session.payload[low : end + 3])
    padded = np.concatenate([np.zeros(3, np.uint8), block, np.zeros(3, np.uint8)])

    def at(value: int) -> np.ndarray:
        """Where a byte of the server stands in this stretch, as a position in `padded`."""
        places = np.flatnonzero(block == value)
        places = places[(places >= begin - low) & (places < end - low)]
        records = np.searchsorted(session.ends, places + low, "right")
        return places[session.directions[records] == Direction.SERVER] + 3

    feeds, returns = at(ord("\n")), at(ord("\r"))
    bare = padded[feeds - 1] != ord("\r")
    doubled = ~bare & (padded[feeds - 2] == ord("\r"))
    lone = (padded[returns + 1] != ord("\n")) & (padded[returns - 1] != ord("\n"))
    leads = np.flatnonzero((block >= 0xC2) & (block <= 0xF4))
    leads = leads[(leads >= begin - low) & (leads < end - low)]
    sizes = 2 + (block[leads] >= 0xE0) + (block[leads] >= 0xF0)
    goes_on = (padded & 0xC0) == 0x80
    complete = goes_on[leads + 4] & (goes_on[leads + 5] | (sizes < 3)) & (goes_on[leads + 6] | (sizes < 4))
    own = block[begin - low : end - low]
    return np.array(
        [
            len(feeds),
            bare.sum(),
            doubled.sum(),
            lone.sum(),
            complete.sum(),
            sizes[complete].sum(),
            ((own >= 0x80) & (own <= 0xF4)).sum(),
            (own == 0).sum(),
        ],
        np.int64,
    )
