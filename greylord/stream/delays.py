"""How long a delay token lasts: quantiles of the pauses before a corpus's turns, and seconds drawn by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from greylord.stream import vocabulary

__all__ = ["USUAL", "Quantiles", "draw", "quantiles_of"]

Quantiles = Mapping[str, Sequence[float]]
"""Seconds by the name of a delay token: n values, at the levels 1/2n, 3/2n and so on."""

QUANTILES = 21
"""An odd number, to have the median among them. The few longest pauses, a night's or the clock's disorder, are cut."""
USUAL: Quantiles = {"<|delay_short|>": [0, 0.1, 1], "<|delay_medium|>": [1, 2, 5], "<|delay_long|>": [5, 10, 60]}
"""For models that were trained without a note of their corpus's pauses."""


def quantiles_of(counts: Mapping[int, int]) -> Quantiles:
    """Quantiles of pauses by delay token, without those tokens that none falls under.

    Args:
        counts: how often a pause of so many milliseconds occurs. Negative ones are disorder of the recorder's clock,
            and count as none.
    """
    delays_ms = np.array(sorted(counts), np.int64)
    times = np.array([counts[delay] for delay in delays_ms.tolist()])
    tokens = vocabulary.delay_ids(delays_ms)
    quantiles = {}
    for token in np.unique(tokens).tolist():
        ours = tokens == token
        reached = np.cumsum(times[ours])
        values = np.maximum(delays_ms[ours], 0)[np.searchsorted(reached, _levels(QUANTILES) * reached[-1])]
        quantiles[vocabulary.SPECIAL_TOKENS[token - vocabulary.PAD]] = (values / 1_000).tolist()
    return quantiles


def draw(quantiles: Quantiles, token: int, uniform: float) -> float:
    """Seconds for a delay token, by a random number from [0, 1): the quantile at that level."""
    name = vocabulary.SPECIAL_TOKENS[token - vocabulary.PAD]
    values = quantiles.get(name, USUAL[name])
    return float(np.interp(uniform, _levels(len(values)), values))


def _levels(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / count
