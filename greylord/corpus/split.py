"""Divide the recordings between training and validation.

Players of one party log the same fight, so a split by file would leak. Recordings whose starts lie within an hour of
each other chain into one time group, and whole groups go to one split.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from greylord.spool import release
from greylord.stream import vocabulary

__all__ = ["MIN_GROUPS", "choose_validation", "cut_tail", "time_groups"]

CHAIN = timedelta(hours=1)
MIN_GROUPS = 3
"""With fewer time groups, each recording is cut in two instead."""
MAX_GAP_TOKENS = 1_024
SEARCHED_TOKENS = 1 << 16
"""Tokens searched for a turn at a time."""


def time_groups(starts: Sequence[datetime | None]) -> list[int]:
    """Return the time group of each recording, numbered by time.

    Recordings of unknown start share one group, the last.
    """
    known = sorted((start, index) for index, start in enumerate(starts) if start is not None)
    groups = [0] * len(starts)
    group = -1
    previous: datetime | None = None
    for start, index in known:
        if previous is None or start - previous > CHAIN:
            group += 1
        groups[index], previous = group, start
    for index in (index for index, start in enumerate(starts) if start is None):
        groups[index] = group + 1
    return groups


def choose_validation(group_bytes: Sequence[int], fraction: float, seed: int) -> set[int]:
    """Choose validation groups whose bytes come near to `fraction` of all.

    Goes through the groups in random order, and takes each that brings the sum nearer to the goal.

    Args:
        group_bytes: Payload bytes of each group.
        seed: Draws the order.
    """
    order = list(range(len(group_bytes)))
    random.Random(seed).shuffle(order)
    goal = fraction * sum(group_bytes)
    chosen: set[int] = set()
    total = 0
    for group in order:
        if abs(total + group_bytes[group] - goal) < abs(total - goal):
            chosen.add(group)
            total += group_bytes[group]
    return chosen


def cut_tail(ids: np.ndarray, fraction: float) -> tuple[int, int]:
    """Find where to cut a recording so that its last `fraction` is for validation.

    The cuts lie between turns. A gap before it is left out, so that validation does not open with what training closed
    with. The gap is `MAX_GAP_TOKENS` or a twentieth of the recording, whichever is less, and the rest of the turn it
    ends in. Either part may be empty.

    Args:
        ids: uint16 [tokens] of the whole recording, start symbol included.
        fraction: Between 0 and 1.

    Returns:
        End of the ids for training, and begin of the ids for validation. The latter lack a start symbol.
    """
    total = len(ids) - 1
    boundary = total * (1 - fraction)
    trained = math.floor(boundary - min(MAX_GAP_TOKENS, total // 20))
    return _last_turn(ids, 1 + trained), _next_turn(ids, 1 + max(1, math.ceil(boundary)))


def _last_turn(ids: np.ndarray, place: int) -> int:
    """Return the last place up to `place` where a turn begins or the ids end.

    It is 1 if there is none.
    """
    if place >= len(ids):
        return len(ids)
    while place > 0:
        begin = max(0, place + 1 - SEARCHED_TOKENS)
        if len(begins := _turn_begins(ids[begin : place + 1])):
            return begin + int(begins[-1])
        release(ids)
        place = begin - 1
    return 1


def _next_turn(ids: np.ndarray, place: int) -> int:
    """Return the first place from `place` on where a turn begins or the ids end."""
    for begin in range(place, len(ids), SEARCHED_TOKENS):
        if len(begins := _turn_begins(ids[begin : begin + SEARCHED_TOKENS])):
            return begin + int(begins[0])
        release(ids)
    return len(ids)


def _turn_begins(ids: np.ndarray) -> np.ndarray:
    """Return where turns begin, int64 [turns]."""
    return np.flatnonzero((ids == vocabulary.CLIENT) | (ids == vocabulary.SERVER))
