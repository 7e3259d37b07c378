"""The duration of delay tokens: quantiles over a corpus, and random draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from greylord.stream import vocabulary

__all__ = ["DEFAULT_QUANTILES", "Quantiles", "draw", "quantiles_of"]

Quantiles = Mapping[str, Sequence[float]]
"""For each delay token, by name, n values in seconds: the quantiles at 1/2n, 3/2n and so on."""

QUANTILES = 21
"""Quantiles per token; odd, so that the median is among them. The levels, from 1/42 to 41/42, leave out outliers."""
DEFAULT_QUANTILES: Quantiles = {
    "<|delay_short|>": [0, 0.1, 1],
    "<|delay_medium|>": [1, 2, 5],
    "<|delay_long|>": [5, 10, 60],
}
"""Quantiles for models without quantiles in their folder."""


def quantiles_of(counts: Mapping[int, int]) -> Quantiles:
    """Return the quantiles of each delay token that occurs.

    Args:
        counts: Number of turns by the milliseconds before them. Negative delays count as 0.
    """
    delays_ms = np.array(sorted(counts), np.int64)
    times = np.array([counts[delay] for delay in delays_ms.tolist()])
    tokens = vocabulary.delay_ids(delays_ms)
    quantiles = {}
    for token in np.unique(tokens).tolist():
        is_token = tokens == token
        cumulative = np.cumsum(times[is_token])
        places = np.searchsorted(cumulative, _levels(QUANTILES) * cumulative[-1])
        values = np.maximum(delays_ms[is_token], 0)[places]
        quantiles[vocabulary.SPECIAL_TOKENS[token - vocabulary.PAD]] = (values / 1_000).tolist()
    return quantiles


def draw(quantiles: Quantiles, token: int, uniform: float) -> float:
    """Return the duration of a delay token in seconds.

    Args:
        uniform: A random number from [0, 1), the level of the quantile to return.
    """
    name = vocabulary.SPECIAL_TOKENS[token - vocabulary.PAD]
    values = quantiles.get(name, DEFAULT_QUANTILES[name])
    return float(np.interp(uniform, _levels(len(values)), values))


def _levels(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / count
