"""Calibration of delays.

A delay predicted with probability p should occur in a share p of the turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greylord.evaluation.bits_per_byte import Prediction
from greylord.stream import vocabulary

__all__ = ["BINS", "Bin", "Calibration", "CalibrationTally", "Reliability"]

BINS = 10
"""Bins of equal width, from 0 to 1."""
DELAYS = slice(vocabulary.DELAY_SHORT, vocabulary.VOCAB_SIZE)


@dataclass(frozen=True)
class Bin:
    """The turns for which a delay token's probability fell into one bin."""

    turns: int
    predicted: float
    """Mean probability."""
    observed: float
    """Share of the turns that had the token."""


@dataclass(frozen=True)
class Reliability:
    """One delay token: how often it was predicted, and how often it occurred."""

    predicted: float
    """Mean probability."""
    observed: float
    """Share of the turns that had the token."""
    expected_calibration_error: float
    """Mean of |predicted - observed| over the bins, weighted by their turns."""
    bins: list[Bin]
    """The bins that are not empty."""


@dataclass(frozen=True)
class Calibration:
    """The calibration of all delays of a stream."""

    turns: int
    expected_calibration_error: float
    """Error for the likeliest token of each turn (Guo et al., "On calibration of modern neural networks", 2017)."""
    delays: dict[str, Reliability]
    """Keys are the names of the delay tokens."""


class CalibrationTally:
    """Counts predicted and observed delay tokens."""

    def __init__(self) -> None:
        # The three tokens, then the likeliest of each turn; turns, probabilities and occurrences; bins.
        self._sums = np.zeros((4, 3, BINS))

    def add(self, prediction: Prediction) -> None:
        """Add the delay tokens of one window."""
        places = np.flatnonzero(prediction.ids >= vocabulary.DELAY_SHORT)
        probabilities = prediction.logits[places].double().softmax(-1)[:, DELAYS].cpu().numpy()
        occurred = prediction.ids[places, None] == np.arange(vocabulary.DELAY_SHORT, vocabulary.VOCAB_SIZE)
        for sums, predicted, observed in zip(self._sums, probabilities.T, occurred.T, strict=False):
            sums += _bin_sums(predicted, observed)
        likeliest = probabilities.argmax(1)[:, None]
        of_likeliest = (np.take_along_axis(each, likeliest, 1)[:, 0] for each in (probabilities, occurred))
        self._sums[-1] += _bin_sums(*of_likeliest)

    def report(self) -> Calibration | None:
        """Return the calibration, or None without turns."""
        turns = int(self._sums[0, 0].sum())
        if not turns:
            return None
        names = vocabulary.SPECIAL_TOKENS[vocabulary.DELAY_SHORT - vocabulary.PAD :]
        return Calibration(
            turns=turns,
            expected_calibration_error=_reliability(self._sums[-1]).expected_calibration_error,
            delays={name: _reliability(sums) for name, sums in zip(names, self._sums, strict=False)},
        )


def _bin_sums(probabilities: np.ndarray, occurred: np.ndarray) -> np.ndarray:
    """Sum predictions bin by bin.

    Args:
        probabilities: float64 [n].
        occurred: bool [n].

    Returns:
        float64 [3, BINS]: number of predictions, sum of probabilities, and number of occurrences.
    """
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(bins, weights, BINS) for weights in (None, probabilities, occurred)])


def _reliability(sums: np.ndarray) -> Reliability:
    turns, predicted, observed = sums
    return Reliability(
        predicted=float(predicted.sum() / turns.sum()),
        observed=float(observed.sum() / turns.sum()),
        expected_calibration_error=float(np.abs(predicted - observed).sum() / turns.sum()),
        bins=[Bin(int(n), float(p / n), float(o / n)) for n, p, o in sums.T if n],
    )
