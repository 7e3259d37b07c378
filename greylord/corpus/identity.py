"""Find duplicates among recordings: equal payloads, and beginnings of others.

Payload decides what a recording is, not its name. A copy counts once. A log that was copied while it grew is
superseded by a longer copy of it.
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

__all__ = ["HEAD_BYTES", "HEAD_READ_BYTES", "Candidate", "Duplicate", "find_duplicates", "head_of", "without_torn_end"]

HEAD_BYTES = 4_096
"""Payload bytes compared first. Only recordings that agree on them are read whole."""
TAIL_BYTES = 1_100
"""Longer than any token that breaks off."""
HEAD_READ_BYTES = HEAD_BYTES + TAIL_BYTES
_TOKEN = rb"(?:<(?:\|(?:[a-z]*(?:#[-0-9A-Fa-f.,]*)?)?\|?)?)?"
_TORN = re.compile(_TOKEN + rb"(?:<\|(?:server|client)\|>.{0,8}?)?" + _TOKEN + rb"\Z", re.DOTALL)
"""The record header or token that breaks off at the end of a file copied while it grew. A token cut by the recorder
may stand before the header."""


@dataclass(frozen=True)
class Candidate:
    """A recording to compare with others."""

    head: bytes
    """The first `HEAD_BYTES` of its payload; see `head_of`."""
    payload: Callable[[], np.ndarray]
    """Returns the whole payload, uint8 [bytes]. Called only where heads are equal."""


@dataclass(frozen=True)
class Duplicate:
    """The reason why a recording does not count."""

    index: int
    """The recording that counts instead."""
    equal: bool
    """Both payloads are equal; otherwise this one is the beginning of the other."""


def without_torn_end(payload: np.ndarray) -> np.ndarray:
    """Return a payload, uint8 [bytes], without a token that breaks off at its end."""
    tail = payload[-TAIL_BYTES:].tobytes()
    match = _TORN.search(tail)
    return payload[: len(payload) - len(tail) + match.start()] if match else payload


def head_of(payload: np.ndarray) -> bytes:
    """Return the head of a payload for a `Candidate`.

    Args:
        payload: uint8 [bytes]. The first `HEAD_READ_BYTES` are enough.
    """
    if len(payload) < HEAD_READ_BYTES:
        payload = without_torn_end(payload)
    return payload[:HEAD_BYTES].tobytes()


def find_duplicates(candidates: Sequence[Candidate]) -> dict[int, Duplicate]:
    """Find the recordings that duplicate others.

    Among equal payloads the first candidate counts. An empty payload is not a beginning of others.

    Returns:
        The recordings that do not count, by index.
    """
    order = sorted(range(len(candidates)), key=lambda index: (candidates[index].head, index))
    duplicates: dict[int, Duplicate] = {}
    for head, group in groupby(order, key=lambda index: candidates[index].head):
        first, *others = group
        if len(head) < HEAD_BYTES:
            duplicates |= {index: Duplicate(first, equal=True) for index in others}
        elif others:
            duplicates |= _compare_whole(candidates, [first, *others])
    heads = [candidates[index].head for index in order]
    for index, head in zip(order, heads, strict=True):
        if index not in duplicates and 0 < len(head) < HEAD_BYTES:
            # In sorted order, a head is followed by the heads that begin with it.
            after = bisect_right(heads, head)
            if after < len(heads) and heads[after].startswith(head):
                duplicates[index] = Duplicate(order[after], equal=False)
    return {index: Duplicate(_final(each.index, duplicates), each.equal) for index, each in duplicates.items()}


def _final(index: int, duplicates: dict[int, Duplicate]) -> int:
    """Follow duplicates of duplicates to the recording that counts."""
    while index in duplicates:
        index = duplicates[index].index
    return index


def _compare_whole(candidates: Sequence[Candidate], group: Sequence[int]) -> dict[int, Duplicate]:
    """Find the duplicates among recordings with equal full heads.

    Reads all of them.
    """
    duplicates: dict[int, Duplicate] = {}
    first_with: dict[bytes, int] = {}
    sizes: dict[int, int] = {}
    digests: dict[int, list[bytes]] = {}
    for index in group:
        payload = without_torn_end(candidates[index].payload())
        sizes[index] = len(payload)
        *digests[index], whole_digest = _digests(payload)
        first = first_with.setdefault(whole_digest, index)
        if first != index:
            duplicates[index] = Duplicate(first, equal=True)
    longer: list[int] = []
    for index in sorted(first_with.values(), key=lambda index: -sizes[index]):
        for other in longer:
            may_begin = digests[other][: len(digests[index])] == digests[index]
            if may_begin and _begins(candidates[index], candidates[other]):
                duplicates[index] = Duplicate(other, equal=False)
                break
        longer.append(index)
    return duplicates


def _digests(payload: np.ndarray) -> list[bytes]:
    """Hash the first 16 kB, 64 kB and so on of a payload, and then all of it."""
    digest, digests, begin, end = hashlib.blake2b(digest_size=16), [], 0, 4 * HEAD_BYTES
    while begin < len(payload):
        for _, block in blocks(payload[begin:end]):
            digest.update(block.data)
        if end <= len(payload):
            digests.append(digest.digest())
        begin, end = end, 4 * end
    return [*digests, digest.digest()]


def _begins(one: Candidate, other: Candidate) -> bool:
    """Tell whether the payload of `one` is the beginning of the payload of `other`.

    The payload of `other` is longer.
    """
    beginning, longer = without_torn_end(one.payload()), other.payload()
    for begin, block in blocks(beginning):
        if not np.array_equal(block, longer[begin : begin + len(block)]):
            return False
        release(longer)
    return True
