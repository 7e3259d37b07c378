"""Which recordings train and which validate.

Players of one party log the same fight, so a split by file would leak: recordings whose starts lie within an
hour of each other chain into one group, and whole groups go to one side.
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
"""With fewer groups, each recording is cut in two instead."""
MAX_GAP_TOKENS = 1_024
SEARCHED_TOKENS = 1 << 16
"""Tokens searched for a turn at a time."""


def time_groups(starts: Sequence[datetime | None]) -> list[int]:
    """The group of each recording, numbered by time. Those of unknown start share one group, the last."""
    known = sorted((start, index) for index, start in enumerate(starts) if start is not None)
    groups = [0] * len(starts)
    group, previous = -1, None
    for start, index in known:
        if previous is None or start - previous > CHAIN:
            group += 1
        groups[index], previous = group, start
    for index, start in enumerate(starts):
        if start is None:
            groups[index] = group + 1
    return groups


def choose_validation(group_bytes: Sequence[int], fraction: float, seed: int) -> set[int]:
    """The groups that validate: going through them in an order drawn by `seed`, each that brings their bytes
    nearer to `fraction` of all."""
    order = list(range(len(group_bytes)))
    random.Random(seed).shuffle(order)
    goal, chosen, held = fraction * sum(group_bytes), set(), 0
    for group in order:
        if abs(held + group_bytes[group] - goal) < abs(held - goal):
            chosen.add(group)
            held += group_bytes[group]
    return chosen


def cut_tail(ids: np.ndarray, fraction: float) -> tuple[int, int]:
    """Cut the last `fraction` of a recording's tokens off for validation, between turns.

    Before it a gap is left out, of `MAX_GAP_TOKENS` or a twentieth of the recording and the turn that it ends in,
    so that validation does not open with what training closed with. Either side may turn out empty.

    Args:
        ids: uint16 [tokens], the recording's.
        fraction: between 0 and 1.

    Returns:
        where the ids for training end, and where those for validation begin, which need a start symbol before them.
    """
    total = len(ids) - 1
    boundary = total * (1 - fraction)
    trained = math.floor(boundary - min(MAX_GAP_TOKENS, total // 20))
    return _turn_until(ids, 1 + trained), _turn_from(ids, 1 + max(1, math.ceil(boundary)))


def _turn_until(ids: np.ndarray, place: int) -> int:
    """The last place up to `place` where a turn begins or the ids end; 1 if there is none."""
    if place >= len(ids):
        return len(ids)
    while place > 0:
        begin = max(0, place + 1 - SEARCHED_TOKENS)
        if len(found := _turns_among(ids[begin : place + 1])):
            return begin + int(found[-1])
        release(ids)
        place = begin - 1
    return 1


def _turn_from(ids: np.ndarray, place: int) -> int:
    """The first place from `place` on where a turn begins or the ids end."""
    for begin in range(place, len(ids), SEARCHED_TOKENS):
        if len(found := _turns_among(ids[begin : begin + SEARCHED_TOKENS])):
            return begin + int(found[0])
        release(ids)
    return len(ids)


def _turns_among(ids: np.ndarray) -> np.ndarray:
    return np.flatnonzero((ids == vocabulary.CLIENT) | (ids == vocabulary.SERVER))
