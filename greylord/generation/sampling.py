"""Temperature, top-k and top-p sampling.

It imports numpy only, so that wrong values are refused before torch loads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from greylord.errors import SettingError

__all__ = ["MAX_FRAMING_TOKENS", "Sampling"]

MAX_FRAMING_TOKENS = 1_000
"""Tokens without a payload byte after which a model is taken to have nothing more to send."""


@dataclass(frozen=True)
class Sampling:
    """The settings by which the next id is sampled from logits.

    Attributes:
        temperature: Divides the logits; at 0 the likeliest id is taken.
        top_k: Number of likeliest ids to sample from; 0 for all.
        top_p: Sample from the likeliest ids that together reach this probability (Holtzman et al. 2020).

    Raises:
        SettingError: A value is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise SettingError(f"temperature must be 0 or more, not {self.temperature}.", "temperature")
        if self.top_k < 0:
            raise SettingError(f"top_k must be 0 (for all) or more, not {self.top_k}.", "top_k")
        if not 0 < self.top_p <= 1:
            raise SettingError(f"top_p must be above 0 and at most 1, not {self.top_p}.", "top_p")

    def draw(self, logits: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Sample an id from each row of logits.

        Args:
            logits: float32 [m, vocabulary]; -inf for ids that must not be sampled.
            uniforms: float64 [m], random numbers from [0, 1).

        Returns:
            int64 [m], the ids.
        """
        if not self.temperature:
            return logits.argmax(-1)
        scaled = logits.astype(np.float64)
        scaled -= scaled.max(-1, keepdims=True)
        scaled /= self.temperature
        if 0 < self.top_k < scaled.shape[-1]:
            least = np.partition(scaled, -self.top_k)[:, -self.top_k, None]
            scaled[scaled < least] = -np.inf
        weights = np.exp(scaled)
        if self.top_p < 1:
            order = np.argsort(-weights, kind="stable")
            ranked = np.take_along_axis(weights, order, -1)
            before = np.cumsum(ranked, -1) - ranked
            ranked[before >= self.top_p * ranked.sum(-1, keepdims=True)] = 0
            np.put_along_axis(weights, order, ranked, -1)
        reached = np.cumsum(weights, -1)
        return (reached <= uniforms[:, None] * reached[:, -1:]).sum(-1)
