"""A recorded session, whatever file it came from: who sent which bytes after how long a wait.

A `Session` is columnar, so that a hundred thousand records cost five numpy arrays; iterate over it to meet
its records one by one.
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
PIECE_RECORDS = 1 << 16
"""What a session is processed by at a time, if that is more than one record."""


class Direction(enum.IntEnum):
    """Who sent a record. The values index the two direction tokens of the vocabulary."""

    CLIENT = 0
    SERVER = 1


class Record(NamedTuple):
    """One network read as the recorder saw it."""

    direction: Direction
    delay_ms: int
    """Milliseconds since the recorder's previous event; real recorders also write negative ones."""
    payload: bytes
    truncated: bool = False
    """The recorder lost the end of this record."""


@dataclass
class Dirt:
    """What a reader met that a clean recording would not have. Counts add up over recordings."""

    junk: Counter[int] = field(default_factory=Counter)
    """Records by the number of junk bytes between direction marker and delay."""
    cut_tokens: int = 0
    """Records that end within a hex token."""
    stray_markers: int = 0
    """`<|` in the file that opens nothing known and stayed payload."""
    headless_bytes: int = 0
    """Bytes before the first record header, kept as server payload."""
    decimal_commas: int = 0
    """Delays with a comma for the point."""
    trailing_zeros: int = 0
    """Zero bytes that were cut off the end of the file."""


@dataclass(frozen=True, eq=False)
class Session:
    """The records of one recording, in order. The arrays of a large one are mapped; see `greylord.spool`.

    Attributes:
        payload: uint8 [bytes], the payloads end to end.
        ends: int64 [records], where each record's payload ends in `payload`.
        directions: uint8 [records], values of `Direction`.
        delays: int64 [records], milliseconds.
        truncated: bool [records].
        dialect: the format it was read from: "v1", "v2" or "v3".
        dirt: what the reader met on the way.
        continues: whether this is a piece of a session and its first record began in the piece before.
    """

    payload: np.ndarray
    ends: np.ndarray
    directions: np.ndarray
    delays: np.ndarray
    truncated: np.ndarray
    dialect: str = "v3"
    dirt: Dirt = field(default_factory=Dirt)
    continues: bool = False

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
    def sizes(self) -> np.ndarray:
        """int64 [records]: payload bytes of each record."""
        sizes = self.ends.copy()
        sizes[1:] -= self.ends[:-1]
        return sizes

    def pieces(self) -> Iterator[Session]:
        """Yield the session in pieces of `PIECE_BYTES` and `PIECE_RECORDS` at most, so that memory is bounded.

        Only a record that is larger by itself is spread over several pieces.
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
