"""Which recordings train and which validate.

Players of one party log the same fight, so a split by file would leak: recordings whose starts lie within an
hour of each other chain into one group, and whole groups go to one side.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from greylord.turns import Turns

__all__ = ["MIN_GROUPS", "choose_validation", "cut_tail", "time_groups"]

CHAIN = timedelta(hours=1)
MIN_GROUPS = 3
"""With fewer groups, each recording is cut in two instead."""
MAX_GAP_TOKENS = 1_024


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


@dataclass(frozen=True)
class Cut:
    """A recording's turns for training and for validation, and the tokens left out between them."""

    train: Turns
    validation: Turns
    gap_tokens: int


def cut_tail(turns: Turns, fraction: float) -> Cut:
    """Cut the last `fraction` of a recording's tokens off for validation, between turns.

    Before it a gap is left out, of `MAX_GAP_TOKENS` or a twentieth of the recording and the turn that it ends in,
    so that validation does not open with what training closed with. Either side may turn out empty.
    """
    ends = turns.ends + 2 * np.arange(1, len(turns) + 1)
    total = int(ends[-1]) if len(ends) else 0
    boundary = total * (1 - fraction)
    trained = int(np.searchsorted(ends, boundary - min(MAX_GAP_TOKENS, total // 20), "right"))
    validated_from = min(1 + int(np.searchsorted(ends, boundary, "left")), len(turns))
    train, validation = _slice(turns, 0, trained), _slice(turns, validated_from, len(turns))
    kept = sum(len(part.payload) + 2 * len(part) for part in (train, validation))
    return Cut(train, validation, total - kept)


def _slice(turns: Turns, first: int, last: int) -> Turns:
    begin = int(turns.ends[first - 1]) if first else 0
    end = int(turns.ends[last - 1]) if last else 0
    return Turns(
        turns.payload[begin : max(begin, end)],
        turns.ends[first:last] - begin,
        turns.directions[first:last],
        turns.delays[first:last],
    )
