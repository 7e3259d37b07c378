"""Are the odds that a model gives to delays true? What it held likely to so many percent should come as often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greylord.evaluation.bits_per_byte import Prediction
from greylord.stream import vocabulary

__all__ = ["BINS", "Bin", "Calibration", "DelayTally", "Reliability"]

BINS = 10
"""Of equal width, from 0 to 1."""
DELAYS = slice(vocabulary.DELAY_SHORT, vocabulary.VOCAB_SIZE)


@dataclass(frozen=True)
class Bin:
    """The turns for which one probability, of one delay token, fell between two tenths."""

    turns: int
    predicted: float
    """The mean of these probabilities."""
    observed: float
    """The share of these turns that had the token."""


@dataclass(frozen=True)
class Reliability:
    """What one delay token was predicted with, and how often it came."""

    predicted: float
    observed: float
    expected_calibration_error: float
    """The mean of |predicted - observed| over the bins, weighted by their turns."""
    bins: list[Bin]
    """Those that are not empty."""


@dataclass(frozen=True)
class Calibration:
    """All delays of a stream."""

    turns: int
    expected_calibration_error: float
    """Of the likeliest token of each turn (Guo et al., "On calibration of modern neural networks", 2017)."""
    delays: dict[str, Reliability]
    """By the token's name."""


class DelayTally:
    """Counts what was predicted for the delay tokens of a stream, and what came."""

    def __init__(self) -> None:
        # The three tokens, and then the likeliest of each turn; turns, probabilities and what came.
        self._sums = np.zeros((4, 3, BINS))

    def add(self, prediction: Prediction) -> None:
        """Take the delay tokens of one more window."""
        places = np.flatnonzero(prediction.ids >= vocabulary.DELAY_SHORT)
        odds = prediction.logits[places].double().softmax(-1)[:, DELAYS].cpu().numpy()
        came = prediction.ids[places, None] == np.arange(vocabulary.DELAY_SHORT, vocabulary.VOCAB_SIZE)
        for sums, probabilities, outcomes in zip(self._sums, odds.T, came.T, strict=False):
            sums += _binned(probabilities, outcomes)
        likeliest = odds.argmax(1)[:, None]
        self._sums[-1] += _binned(*(np.take_along_axis(each, likeliest, 1)[:, 0] for each in (odds, came)))

    def report(self) -> Calibration | None:
        """None of a stream without turns."""
        turns = int(self._sums[0, 0].sum())
        if not turns:
            return None
        names = vocabulary.SPECIAL_TOKENS[vocabulary.DELAY_SHORT - vocabulary.PAD :]
        return Calibration(
            turns=turns,
            expected_calibration_error=_reliability(self._sums[-1]).expected_calibration_error,
            delays={name: _reliability(sums) for name, sums in zip(names, self._sums, strict=False)},
        )


def _binned(probabilities: np.ndarray, came: np.ndarray) -> np.ndarray:
    """float64 [3, bins]: by float64 [n] probabilities of something and bool [n] whether it came, how many fell into
    each bin, their sum, and how often it came."""
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(bins, weights, BINS) for weights in (None, probabilities, came)])


def _reliability(sums: np.ndarray) -> Reliability:
    turns, predicted, observed = sums
    return Reliability(
        predicted=float(predicted.sum() / turns.sum()),
        observed=float(observed.sum() / turns.sum()),
        expected_calibration_error=float(np.abs(predicted - observed).sum() / turns.sum()),
        bins=[Bin(int(n), float(p / n), float(o / n)) for n, p, o in sums.T if n],
    )
