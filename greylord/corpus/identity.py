"""Which recordings are the same: equal payloads, and one payload that is the beginning of another.

Payload decides what a recording is, not its name: a copy counts once, and a log that was copied while it grew is
superseded by a later copy of it.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from greylord.spool import blocks, release

__all__ = ["HEAD_BYTES", "HEAD_READ_BYTES", "Candidate", "Same", "head_of", "same_recordings", "whole"]

HEAD_BYTES = 4_096
"""Recordings whose payloads differ within it are told apart without reading further."""
TAIL_BYTES = 1_100
"""No token that breaks off is longer."""
HEAD_READ_BYTES = HEAD_BYTES + TAIL_BYTES
_TOKEN = rb"(?:<(?:\|(?:[a-z]*(?:#[-0-9A-Fa-f.,]*)?)?\|?)?)?"
_TORN = re.compile(_TOKEN + rb"(?:<\|(?:server|client)\|>.{0,8}?)?" + _TOKEN + rb"\Z", re.DOTALL)
"""A record header, or a token, that breaks off at the end of a file, which was copied while it grew; before a header
also the token in which the recorder cut the record."""


@dataclass(frozen=True)
class Candidate:
    """A recording to be told from others.

    Attributes:
        head: the first `HEAD_BYTES` of its payload, all if it has fewer; see `head_of`.
        payload: returns the whole payload, uint8 [bytes]; called only where heads are equal.
    """

    head: bytes
    payload: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Same:
    """Why a recording does not count: it is the beginning of the recording `index`, or all of it."""

    index: int
    equal: bool


def whole(payload: np.ndarray) -> np.ndarray:
    """Return a payload, uint8 [bytes], without a token that breaks off at its end."""
    tail = payload[-TAIL_BYTES:].tobytes()
    match = _TORN.search(tail)
    return payload[: len(payload) - len(tail) + match.start()] if match else payload


def head_of(payload: np.ndarray) -> bytes:
    """Return the head of a payload for a `Candidate`.

    Args:
        payload: uint8 [bytes]; of a longer one its first `HEAD_READ_BYTES` are enough.
    """
    if len(payload) < HEAD_READ_BYTES:
        payload = whole(payload)
    return payload[:HEAD_BYTES].tobytes()


def same_recordings(candidates: Sequence[Candidate]) -> dict[int, Same]:
    """Find the recordings that others make superfluous.

    Among equal payloads the first of the sequence counts. Payloads that are empty are the beginning of nothing.

    Returns:
        For each recording that does not count, which other one does.
    """
    order = sorted(range(len(candidates)), key=lambda index: (candidates[index].head, index))
    found: dict[int, Same] = {}
    for head, group in groupby(order, key=lambda index: candidates[index].head):
        first, *others = group
        if len(head) < HEAD_BYTES:
            found |= {index: Same(first, equal=True) for index in others}
        elif others:
            found |= _same_heads(candidates, [first, *others])
    heads = [candidates[index].head for index in order]
    for index, head in zip(order, heads, strict=True):
        if index not in found and 0 < len(head) < HEAD_BYTES:
            # What begins with a text stands right behind it in the order.
            after = bisect_right(heads, head)
            if after < len(heads) and heads[after].startswith(head):
                found[index] = Same(order[after], equal=False)
    return {index: Same(_final(same.index, found), same.equal) for index, same in found.items()}


def _final(index: int, found: dict[int, Same]) -> int:
    """The recording that counts in the end, where one that makes another superfluous is so itself."""
    while index in found:
        index = found[index].index
    return index


def _same_heads(candidates: Sequence[Candidate], group: Sequence[int]) -> dict[int, Same]:
    """The same for recordings that share a full head, which have to be read."""
    found: dict[int, Same] = {}
    firsts: dict[bytes, int] = {}
    sizes: dict[int, int] = {}
    digests: dict[int, list[bytes]] = {}
    for index in group:
        payload = whole(candidates[index].payload())
        sizes[index] = len(payload)
        *digests[index], all_of_it = _digests(payload)
        first = firsts.setdefault(all_of_it, index)
        if first != index:
            found[index] = Same(first, equal=True)
    longer: list[int] = []
    for index in sorted(firsts.values(), key=lambda index: -sizes[index]):
        for other in longer:
            may_begin = digests[other][: len(digests[index])] == digests[index]
            if may_begin and _begins(candidates[index], candidates[other]):
                found[index] = Same(other, equal=False)
                break
        longer.append(index)
    return found


def _digests(payload: np.ndarray) -> list[bytes]:
    """Hashes of the first 16 kB, 64 kB and so on of a payload, as far as it goes, and last of all of it."""
    digest, digests, begin, end = hashlib.blake2b(digest_size=16), [], 0, 4 * HEAD_BYTES
    while begin < len(payload):
        for _, block in blocks(payload[begin:end]):
            digest.update(block)
        if end <= len(payload):
            digests.append(digest.digest())
        begin, end = end, 4 * end
    return [*digests, digest.digest()]


def _begins(one: Candidate, other: Candidate) -> bool:
    """Whether the payload of `one` is the beginning of the longer one of `other`."""
    beginning, longer = whole(one.payload()), other.payload()
    for at, block in blocks(beginning):
        if not np.array_equal(block, longer[at : at + len(block)]):
            return False
        release(longer)
    return True
