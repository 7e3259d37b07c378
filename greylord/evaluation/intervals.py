"""Confidence interval of bits per byte, by the bootstrap over time groups.

Bytes of one recording are not independent, and neither are recordings of the same hour. So whole time groups are
resampled: groups are what recordings of other days would add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from greylord.evaluation.bits_per_byte import Score, bits_per_byte

__all__ = ["Interval", "bootstrap_interval"]

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """The 95 % confidence interval of bits per byte."""

    low: float
    high: float
    groups: int
    """Time groups that were resampled."""


def bootstrap_interval(scores: Sequence[Score], groups: Sequence[int], seed: int = 0) -> Interval | None:
    """Compute the percentile bootstrap (Efron and Tibshirani 1993) over time groups.

    Args:
        scores: Score of each recording. Empty scores are left out.
        groups: Time group of each recording.
        seed: Seeds the 10,000 draws of groups with replacement.

    Returns:
        The interval, or None if fewer than two groups were scored.
    """
    sums = np.zeros((max(groups) + 1, 2))
    for score, group in zip(scores, groups, strict=True):
        sums[group] += score.nats, score.payload_bytes
    sums = sums[sums[:, 1] > 0]
    if len(sums) < 2:
        return None
    draws = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    nats, payload_bytes = np.moveaxis(sums[draws].sum(axis=1), -1, 0)
    low, high = np.quantile(bits_per_byte(nats, payload_bytes), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), len(sums))
