"""Sessions as turns, and turns as token ids, in numpy.

A turn is what one side sends until the other side sends something, or until a delay longer than short. It becomes

    direction token, delay token, payload bytes

A session's ids begin with `<|pad|>`, the start symbol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from greylord.captures.session import Session
from greylord.stream import vocabulary

__all__ = [
    "MAY_FOLLOW",
    "EncodedPiece",
    "Turns",
    "decode",
    "delays_of",
    "encode",
    "encode_pieces",
    "encode_turns",
    "payload_of",
    "turns_of",
]


def _may_follow() -> np.ndarray:
    table = np.zeros((vocabulary.VOCAB_SIZE, vocabulary.VOCAB_SIZE), bool)
    directions = slice(vocabulary.CLIENT, vocabulary.DELAY_SHORT)
    delays = slice(vocabulary.DELAY_SHORT, vocabulary.VOCAB_SIZE)
    table[vocabulary.PAD, directions] = True
    table[directions, delays] = True
    table[delays, : vocabulary.PAD] = table[delays, directions] = True
    table[: vocabulary.PAD, : vocabulary.PAD] = table[: vocabulary.PAD, directions] = True
    return table


MAY_FOLLOW = _may_follow()
"""The grammar of the stream, bool [262, 262]: `MAY_FOLLOW[a, b]` is true if id b may follow id a."""


@dataclass(frozen=True, eq=False)
class Turns:
    """The turns of one session, in order."""

    payload: np.ndarray
    """uint8 [bytes], the payloads end to end."""
    ends: np.ndarray
    """int64 [turns], where each turn's payload ends in `payload`."""
    directions: np.ndarray
    """uint16 [turns], token ids `CLIENT` or `SERVER`."""
    delays: np.ndarray
    """uint16 [turns], token ids `DELAY_SHORT`, `DELAY_MEDIUM` or `DELAY_LONG`."""

    def __len__(self) -> int:
        return len(self.ends)


def turns_of(session: Session, keep_records: bool = False) -> Turns:
    """Join a session's records into turns.

    Records are network reads, and one screen may take several. A record continues the turn if it has the same direction
    and a short delay. The first delay of a recording has no reference point and is taken as short.

    Args:
        keep_records: Make each record a turn of its own.
    """
    begins, directions, delays = _begins(session, keep_records)
    ends = np.append(begins[1:], True)[: len(session)]
    return Turns(session.payload, session.ends[ends], directions[begins], delays[begins])


def delays_of(session: Session, keep_records: bool = False) -> np.ndarray:
    """Return the milliseconds before each turn as recorded, int64 [turns].

    The first delay has no meaning.
    """
    return session.delays[_begins(session, keep_records)[0]]


def _begins(
    session: Session, keep_records: bool, before: np.uint16 | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the records that begin a turn.

    Args:
        session: A session or a piece of one.
        keep_records: Make each record a turn of its own.
        before: Direction token of the record before the piece; None if there is no such record.

    Returns:
        bool [records], true where a record begins a turn; its direction and delay token, uint16 [records] each.
    """
    directions = vocabulary.direction_ids(session.directions)
    delays = vocabulary.delay_ids(session.delays)
    begins = np.ones(len(session), bool)
    if before is None:
        delays[:1] = vocabulary.DELAY_SHORT
    elif session.continues:
        begins[0] = False
    elif not keep_records:
        begins[0] = directions[0] != before or delays[0] != vocabulary.DELAY_SHORT
    if not keep_records:
        begins[1:] = (directions[1:] != directions[:-1]) | (delays[1:] != vocabulary.DELAY_SHORT)
    return begins, directions, delays


def encode(session: Session, keep_records: bool = False) -> np.ndarray:
    """Encode a session as token ids.

    Args:
        session: A session, as `greylord.read_session` returns it.
        keep_records: Make each record a turn of its own instead of joining records into turns.

    Returns:
        uint16 [1 + 2 x turns + payload bytes].
    """
    return encode_turns(turns_of(session, keep_records))


def encode_turns(turns: Turns) -> np.ndarray:
    """Return the ids of a session, uint16 [1 + 2 x turns + payload bytes].

    The start symbol comes first.
    """
    ids = np.empty(1 + 2 * len(turns) + len(turns.payload), np.uint16)
    ids[0] = vocabulary.PAD
    payload_begins = np.append(0, turns.ends)[: len(turns)]
    _frame(ids[1:], turns.payload, payload_begins, turns.directions, turns.delays)
    return ids


class EncodedPiece(NamedTuple):
    """The ids of a piece of a session."""

    ids: np.ndarray
    """uint16 [n]."""
    delays_ms: np.ndarray
    """int64 [turns], milliseconds before the turns that begin in this piece."""


def encode_pieces(session: Session, keep_records: bool = False) -> Iterator[EncodedPiece]:
    """Encode a session of any size piece by piece.

    Joined, the ids are those of `encode` and the delays those of `delays_of`.
    """
    yield EncodedPiece(np.array([vocabulary.PAD], np.uint16), np.zeros(0, np.int64))
    before = None
    for piece in session.pieces():
        begins, directions, delays = _begins(piece, keep_records, before)
        starts = (piece.ends - piece.sizes)[begins]
        ids = np.empty(2 * len(starts) + len(piece.payload), np.uint16)
        _frame(ids, piece.payload, starts, directions[begins], delays[begins])
        yield EncodedPiece(ids, piece.delays[begins])
        before = directions[-1]


def _frame(
    ids: np.ndarray, payload: np.ndarray, starts: np.ndarray, directions: np.ndarray, delays: np.ndarray
) -> None:
    """Fill ids with the payload and the framing of each turn.

    The two tokens stand at the start of each turn. `ids` is uint16 [2 x turns + bytes].
    """
    framing = 2 * np.arange(len(starts)) + starts
    is_payload = np.ones(len(ids), bool)
    is_payload[framing] = is_payload[framing + 1] = False
    ids[framing] = directions
    ids[framing + 1] = delays
    ids[is_payload] = payload


def decode(ids: np.ndarray) -> Turns:
    """Return the turns of a session's ids; the inverse of `encode`.

    Args:
        ids: [n], of any integer type.

    Raises:
        ValueError: The ids do not follow the grammar of the stream.
    """
    if not len(ids) or ids[0] != vocabulary.PAD:
        raise ValueError("a session's ids begin with <|pad|>")
    ids = np.asarray(ids)[1:]
    special = np.flatnonzero(ids >= vocabulary.PAD)
    framing, after = special[0::2], special[1::2]
    directions = ids[framing]
    delays = ids[after]
    well_formed = (
        len(framing) == len(after)
        and (after == framing + 1).all()
        and np.isin(directions, (vocabulary.CLIENT, vocabulary.SERVER)).all()
        and ((delays >= vocabulary.DELAY_SHORT) & (delays < vocabulary.VOCAB_SIZE)).all()
        and (len(framing) == 0 if len(ids) == 0 else len(framing) > 0 and framing[0] == 0)
    )
    if not well_formed:
        raise ValueError("the ids are not turns of direction token, delay token and payload bytes")
    ends = np.append(framing[1:], len(ids))[: len(framing)] - 2 * np.arange(1, len(framing) + 1)
    return Turns(payload_of(ids), ends, directions.astype(np.uint16), delays.astype(np.uint16))


def payload_of(ids: np.ndarray) -> np.ndarray:
    """Return the payload bytes among ids, uint8 [bytes].

    The ids may be any part of a session.
    """
    return ids[ids < vocabulary.PAD].astype(np.uint8)
