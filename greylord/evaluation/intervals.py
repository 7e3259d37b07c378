"""How far a figure may be chance: the bootstrap over time groups.

Recordings of one hour are about the same fight, and bytes of one recording about the same room, so neither are
independent; groups are what other days would bring anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greylord.evaluation.bits_per_byte import Score, bits_per_byte

__all__ = ["Interval", "interval_of"]

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Where the overall bits per byte of other days would lie, 95 of 100 times."""

    low: float
    high: float
    groups: int


def interval_of(scores: Sequence[Score], groups: Sequence[int], seed: int = 0) -> Interval | None:
    """The percentile bootstrap (Efron and Tibshirani 1993) of the overall bits per byte.

    Args:
        scores: of each recording. Those of nothing count for nothing.
        groups: the time group of each.
        seed: of the groups drawn, as many as there are and with replacement, 10,000 times.

    Returns None if fewer than two groups have been scored.
    """
    sums = np.zeros((max(groups) + 1, 2))
    for score, group in zip(scores, groups, strict=True):
        sums[group] += score.nats, score.payload_bytes
    sums = sums[sums[:, 1] > 0]
    if len(sums) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    nats, payload_bytes = np.moveaxis(sums[drawn].sum(axis=1), -1, 0)
    low, high = np.quantile(bits_per_byte(nats, payload_bytes), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), len(sums))
