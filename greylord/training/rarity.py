"""How rare, among the recordings, what stands in a window is.

A stream repeats itself: prompts are redrawn, the same blows fall again and again, and a window drawn at random holds
mostly what has been learned long ago. As words are subsampled by the root of their frequency (Mikolov et al. 2013,
arXiv:1310.4546), windows are drawn here by the mean, over their n-grams, of 1 / sqrt(occurrences).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["Rarity"]

NGRAM = 8
"""Tokens of an n-gram: a word or two, or a control sequence and what it colours."""
BUCKET_BITS = 22
"""N-grams are hashed into so many bits: 50 MB of recordings hold some hundred thousand different ones."""
COUNTED_TOKENS = 2**26
"""Tokens that are counted, about: of longer corpora whole recordings, spread evenly."""
PIECE_TOKENS = 2**20
"""Counted at once, which bounds the memory."""
MULTIPLIER = 0x9E3779B97F4A7C15
"""The golden ratio's, for hashing (Knuth, The Art of Computer Programming, vol. 3, 6.4)."""


class Rarity:
    """The n-grams of a corpus, counted.

    Args:
        rows: ids of the recordings, uint16 each.
    """

    def __init__(self, rows: Sequence[np.ndarray]) -> None:
        stride = max(1, -(-sum(map(len, rows)) // COUNTED_TOKENS))
        counts = np.zeros(1 << BUCKET_BITS, np.int64)
        for index in range(0, len(rows), stride):
            row = rows[index]
            for begin in range(0, len(row), PIECE_TOKENS):
                counts += np.bincount(_buckets(row[begin : begin + PIECE_TOKENS]), minlength=len(counts))
        self._rarity = (1 / np.sqrt(np.maximum(counts, 1))).astype(np.float32)

    def of(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """The rarity of each window, in (0, 1]: float64 [n]. Of one that is shorter than an n-gram it is 1."""
        lengths = np.array([len(window) for window in windows])
        ends = np.cumsum(lengths)
        # One pass over all windows; n-grams that reach over a window's end are left out.
        rarities = self._rarity[_buckets(np.concatenate(windows))]
        sums = np.concatenate([[0.0], np.cumsum(rarities, dtype=np.float64)])
        whole = np.maximum(lengths - NGRAM + 1, 0)
        begins = np.minimum(ends - lengths, len(rarities))
        found = sums[np.minimum(begins + whole, len(rarities))] - sums[begins]
        return np.where(whole > 0, found / np.maximum(whole, 1), 1.0)


def _buckets(ids: np.ndarray) -> np.ndarray:
    """The bucket of the n-gram that begins at each id, int64 [n - NGRAM + 1]."""
    # A polynomial modulo 2^64, put together from its halves; its upper bits depend on all ids.
    hashes = ids.astype(np.uint64) + np.uint64(1)
    for doubling in range(NGRAM.bit_length() - 1):
        length = 1 << doubling
        hashes = hashes[:-length] * np.uint64(pow(MULTIPLIER, length, 1 << 64)) + hashes[length:]
    return (hashes * np.uint64(MULTIPLIER) >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)
