"""Hashes of all n-grams of a stream, to count them or to look them up."""

from __future__ import annotations

import numpy as np

__all__ = ["MULTIPLIER", "ngram_hashes"]

MULTIPLIER = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio, for multiplicative hashing (Knuth, The Art of Computer Programming, vol. 3, 6.4)."""


def ngram_hashes(ids: np.ndarray, length: int) -> np.ndarray:
    """Hash each n-gram of a stream by a polynomial modulo 2^64.

    The upper bits depend on all ids of an n-gram, the lowest ones on few.

    Args:
        ids: Unsigned integers, [tokens].
        length: Ids in an n-gram, at least 1.

    Returns:
        uint64 [tokens - length + 1], the hash of the n-gram that begins at each id; empty for a shorter stream.
    """
    if len(ids) < length:
        return np.empty(0, np.uint64)
    digits = ids.astype(np.uint64) + np.uint64(1)
    # By the binary digits of the length: from n to 2n ids by joining two halves, from n to n + 1 by adding an id.
    hashes, size = digits, 1
    for digit in f"{length:b}"[1:]:
        hashes = hashes[:-size] * np.uint64(pow(MULTIPLIER, size, 1 << 64)) + hashes[size:]
        size *= 2
        if digit == "1":
            hashes = hashes[:-1] * np.uint64(MULTIPLIER) + digits[size:]
            size += 1
    return hashes
