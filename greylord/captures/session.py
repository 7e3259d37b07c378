"""A recorded session: who sent which bytes after which delay.

It does not depend on the format of the file. A `Session` is columnar: a hundred thousand records are five numpy arrays.
Iterating over it gives its records.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from greylord.spool import release

__all__ = ["PIECE_BYTES", "PIECE_RECORDS", "Direction", "Dirt", "Record", "Session"]

PIECE_BYTES = 1 << 20
"""Payload bytes that are processed at a time."""
PIECE_RECORDS = 1 << 16
"""Records that are processed at a time."""


class Direction(enum.IntEnum):
    """The sender of a record.

    The values index the two direction tokens of the vocabulary.
    """

    CLIENT = 0
    SERVER = 1


class Record(NamedTuple):
    """One network read of the recorder."""

    direction: Direction
    delay_ms: int
    """Milliseconds since the recorder's previous event. Real recorders also write negative ones."""
    payload: bytes
    truncated: bool = False
    """The recorder lost the end of this record."""


@dataclass
class Dirt:
    """Counts of defects in a recording. They add up over recordings."""

    junk: Counter[int] = field(default_factory=Counter)
    """Records by their number of junk bytes. In v1 these stand between direction marker and delay."""
    cut_tokens: int = 0
    """Records that end within a hex token."""
    stray_markers: int = 0
    """`<|` that opens no known token and stayed payload."""
    headless_bytes: int = 0
    """Bytes before the first record header, kept as server payload."""
    decimal_commas: int = 0
    """Delays with a decimal comma."""
    trailing_zeros: int = 0
    """Zero bytes cut off at the end of the file."""


@dataclass(frozen=True, eq=False, repr=False)
class Session:
    """The records of one recording, in order.

    The arrays of a large one are mapped; see `greylord.spool`.

    Attributes:
        payload: uint8 [bytes], the payloads end to end.
        ends: int64 [records], where each record's payload ends in `payload`.
        directions: uint8 [records], values of `Direction`.
        delays: int64 [records], milliseconds.
        truncated: bool [records], the recorder lost the end of the record.
        dialect: Dialect of the file: "v1", "v2" or "v3".
        dirt: Defects that the reader counted.
        continues: True for a piece of a session whose first record began in the piece before.
    """

    payload: np.ndarray
    ends: np.ndarray
    directions: np.ndarray
    delays: np.ndarray
    truncated: np.ndarray
    dialect: str = "v3"
    dirt: Dirt = field(default_factory=Dirt)
    continues: bool = False

    def __repr__(self) -> str:
        return f"Session({len(self):,} records, {len(self.payload):,} payload bytes, {self.dialect})"

    @classmethod
    def from_records(cls, records: Iterable[Record]) -> Session:
        """Build a session from single records."""
        rows = list(records)
        return cls(
            payload=np.frombuffer(b"".join(row.payload for row in rows), np.uint8),
            ends=np.cumsum([len(row.payload) for row in rows], dtype=np.int64),
            directions=np.array([row.direction for row in rows], np.uint8),
            delays=np.array([row.delay_ms for row in rows], np.int64),
            truncated=np.array([row.truncated for row in rows], bool),
        )

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[Record]:
        data, start = self.payload.tobytes(), 0
        columns = (self.directions, self.delays, self.ends, self.truncated)
        for direction, delay, end, truncated in zip(*(column.tolist() for column in columns), strict=True):
            yield Record(Direction(direction), delay, data[start:end], truncated)
            start = end

    @property
    def is_recording(self) -> bool:
        """True if the file held at least one record."""
        return len(self) > bool(self.dirt.headless_bytes)

    @property
    def sizes(self) -> np.ndarray:
        """int64 [records], payload bytes of each record."""
        sizes = self.ends.copy()
        sizes[1:] -= self.ends[:-1]
        return sizes

    def pieces(self) -> Iterator[Session]:
        """Yield the session in pieces, which bounds the memory.

        A piece has at most `PIECE_BYTES` and `PIECE_RECORDS`. Only a record larger than a piece is spread over several.
        """
        if 0 < len(self) <= PIECE_RECORDS and len(self.payload) <= PIECE_BYTES:
            yield self
            return
        columns = (self.payload, self.ends, self.directions, self.delays, self.truncated)
        record, begin, continues = 0, 0, False
        while record < len(self):
            ends = self.ends[record : record + PIECE_RECORDS]
            whole = int(np.searchsorted(ends, begin + PIECE_BYTES, "right"))
            end = int(ends[whole - 1]) if whole else begin + PIECE_BYTES
            chosen = slice(record, record + max(1, whole))
            yield replace(
                self,
                payload=self.payload[begin:end],
                ends=np.minimum(self.ends[chosen], end) - begin,
                directions=self.directions[chosen],
                delays=self.delays[chosen],
                truncated=self.truncated[chosen],
                continues=continues,
            )
            release(*columns)
            record, begin, continues = record + whole, end, not whole
