"""Sessions as turns, and turns as token ids: numpy only, no loop over bytes.

A turn is what one side sends until the other side speaks or a pause longer than short falls:

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
    "Stretch",
    "Turns",
    "decode",
    "delays_of",
    "encode",
    "encode_pieces",
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
"""bool [262, 262]: the stream's grammar. `MAY_FOLLOW[a, b]` tells whether id b may come after id a."""


@dataclass(frozen=True, eq=False)
class Turns:
    """The turns of one session, in order.

    Attributes:
        payload: uint8 [bytes], the payloads end to end.
        ends: int64 [turns], where each turn's payload ends in `payload`.
        directions: uint16 [turns], token ids `CLIENT` or `SERVER`.
        delays: uint16 [turns], token ids `DELAY_SHORT`, `DELAY_MEDIUM` or `DELAY_LONG`.
    """

    payload: np.ndarray
    ends: np.ndarray
    directions: np.ndarray
    delays: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)


def turns_of(session: Session, keep_records: bool = False) -> Turns:
    """Join a session's records into turns: records are network reads, and one screen may take several.

    A record goes on with the turn if it has its direction and comes after a short delay; with `keep_records`
    each is a turn of its own. The first delay of a recording counts from nothing, and is taken as short.
    """
    begins, directions, delays = _begins(session, keep_records)
    ends = np.append(begins[1:], True)[: len(session)]
    return Turns(session.payload, session.ends[ends], directions[begins], delays[begins])


def delays_of(session: Session, keep_records: bool = False) -> np.ndarray:
    """int64 [turns]: milliseconds before each of a session's turns, as they were recorded. The first means nothing."""
    return session.delays[_begins(session, keep_records)[0]]


def _begins(
    session: Session, keep_records: bool, before: np.uint16 | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each record begins a turn, and the tokens that it would begin one with.

    Args:
        session: a session or a piece of one.
        keep_records: each record is a turn.
        before: the direction token of the record before the piece; None if there is no such record.

    Returns:
        bool [records], and direction and delay tokens, uint16 [records] each.
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


def encode(turns: Turns) -> np.ndarray:
    """uint16 [1 + 2 x turns + payload bytes]: the ids of a session."""
    ids = np.empty(1 + 2 * len(turns) + len(turns.payload), np.uint16)
    ids[0] = vocabulary.PAD
    payload_begins = np.append(0, turns.ends)[: len(turns)]
    _frame(ids[1:], turns.payload, payload_begins, turns.directions, turns.delays)
    return ids


class Stretch(NamedTuple):
    """What a piece of a session adds to its ids.

    Attributes:
        ids: uint16 [n].
        delays_ms: int64 [turns], milliseconds before the turns that begin here.
    """

    ids: np.ndarray
    delays_ms: np.ndarray


def encode_pieces(session: Session, keep_records: bool = False) -> Iterator[Stretch]:
    """Encode a session of any size piece by piece.

    End to end, the ids are those of `encode` and the delays those of `delays_of`.
    """
    yield Stretch(np.array([vocabulary.PAD], np.uint16), np.zeros(0, np.int64))
    before = None
    for piece in session.pieces():
        begins, directions, delays = _begins(piece, keep_records, before)
        starts = (piece.ends - piece.sizes)[begins]
        ids = np.empty(2 * len(starts) + len(piece.payload), np.uint16)
        _frame(ids, piece.payload, starts, directions[begins], delays[begins])
        yield Stretch(ids, piece.delays[begins])
        before = directions[-1]


def _frame(
    ids: np.ndarray, payload: np.ndarray, starts: np.ndarray, directions: np.ndarray, delays: np.ndarray
) -> None:
    """Fill ids, uint16 [2 x turns + bytes], with payload and the two tokens of each turn before it starts."""
    framing = 2 * np.arange(len(starts)) + starts
    is_payload = np.ones(len(ids), bool)
    is_payload[framing] = is_payload[framing + 1] = False
    ids[framing] = directions
    ids[framing + 1] = delays
    ids[is_payload] = payload


def decode(ids: np.ndarray) -> Turns:
    """The turns that ids [n] spell. Raises ValueError where they do not follow the stream's grammar."""
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
    """uint8 [bytes]: the payload bytes among ids of any length or beginning."""
    return ids[ids < vocabulary.PAD].astype(np.uint8)
