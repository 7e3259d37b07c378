"""Are the odds that a model gives to delays true? What it held likely to so many percent should come as often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from greylord import vocabulary
from greylord.evaluation.bits_per_byte import Prediction

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
    """Collects what was predicted for each delay token of a stream."""

    def __init__(self) -> None:
        self._probabilities, self._outcomes = [], []

    def add(self, prediction: Prediction) -> None:
        """Take the delay tokens of one more window."""
        places = np.flatnonzero(prediction.ids >= vocabulary.DELAY_SHORT)
        logits = prediction.logits[places].double().softmax(-1)
        self._probabilities.append(logits[:, DELAYS].cpu().numpy())
        self._outcomes.append(prediction.ids[places].astype(np.int64) - vocabulary.DELAY_SHORT)

    def report(self) -> Calibration | None:
        """None of a stream without turns."""
        probabilities, outcomes = np.concatenate(self._probabilities), np.concatenate(self._outcomes)
        if not len(outcomes):
            return None
        likeliest = probabilities.argmax(1)
        top = _reliability(probabilities.max(1), likeliest == outcomes)
        names = vocabulary.SPECIAL_TOKENS[vocabulary.DELAY_SHORT - vocabulary.PAD :]
        return Calibration(
            turns=len(outcomes),
            expected_calibration_error=top.expected_calibration_error,
            delays={name: _reliability(probabilities[:, index], outcomes == index) for index, name in enumerate(names)},
        )


def _reliability(probabilities: np.ndarray, came: np.ndarray) -> Reliability:
    """By float64 [n] probabilities of something, and bool [n] whether it came."""
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    turns = np.bincount(bins, minlength=BINS)
    predicted, observed = (np.bincount(bins, values, minlength=BINS) for values in (probabilities, came))
    return Reliability(
        predicted=float(probabilities.mean()),
        observed=float(came.mean()),
        expected_calibration_error=float(np.abs(predicted - observed).sum() / len(came)),
        bins=[Bin(int(n), float(p / n), float(o / n)) for n, p, o in zip(turns, predicted, observed, strict=True) if n],
    )
