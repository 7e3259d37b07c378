"""Find near-copies: recordings that share most of their text.

The names of the recordings do not matter.

A log that lost its beginning, has other line ends or was edited is not equal to its original, but
must not be in validation while the original is in training. So each recording is sampled: stretches of text that follow
a blank. The text itself selects the blanks, so that two recordings sample the same stretches wherever they stand
(winnowing, Schleimer et al. 2003). Two recordings are near-copies if the other one holds half of the shorter one's
samples, or four fifths where there are few.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greylord.spool import blocks

__all__ = ["find_near_copies", "samples_of"]

STRETCH_BYTES = 256
"""Length of a sample. Sessions of different hours share few stretches of this length except the greeting."""
DENSITIES = ((1 << 14, 1), (1 << 18, 8))
"""Pairs of a largest payload in bytes and its density, the blanks per sample. Larger payloads use `SPARSE`."""
STEP = 8
SPARSE = 64
"""Each density is `STEP` times the next, a power of two. A dense sampling includes every sparser one."""
SHARE, ENOUGH = 0.5, 16
"""Near-copies share at least this part of the shorter one's samples, and at least this number of them."""
CLOSE_SHARE, MIN_SHARED = 0.8, 4
"""The same for recordings with few samples, in which the greeting may be half of the text."""
MAX_RECORDINGS = 32
"""A stretch that occurs in more recordings belongs to the game, and is not evidence."""
_IGNORED = bytes([*range(32), ord("*"), *range(127, 256)])
"""Bytes that change on the way: line ends, control characters, masked passwords and high bytes."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_OFFSETS = np.arange(0, STRETCH_BYTES, 8)
_WEIGHTS = np.random.default_rng(0).integers(0, 1 << 64, len(_OFFSETS), np.uint64) | np.uint64(1)


def samples_of(payload: np.ndarray) -> np.ndarray:
    """Hash the samples of a recording.

    Args:
        payload: uint8 [bytes].

    Returns:
        uint64 [samples], sorted, each once. The lowest bits hold the sample's rank: sparser samplings keep low ranks.
    """
    every = next((every for size, every in DENSITIES if len(payload) <= size), SPARSE)
    samples = [_samples(block.tobytes(), every) for _, block in blocks(payload, overlap=2 * STRETCH_BYTES)]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *samples]))


def _samples(block: bytes, every: int) -> np.ndarray:
    text = block.translate(None, _IGNORED)
    if len(text) <= STRETCH_BYTES:
        return np.zeros(0, np.uint64)
    # The eight bytes from each position on as one number: a view, not a copy.
    words = np.ndarray(len(text) - 7, "<u8", text, strides=(1,))
    begins = np.flatnonzero(np.frombuffer(text, np.uint8, len(text) - STRETCH_BYTES) == ord(" ")) + 1
    ranks = words[begins] * _MULTIPLIER >> np.uint64(64 - SPARSE.bit_length() + 1)
    is_sampled = ranks < SPARSE // every
    begins, ranks = begins[is_sampled], ranks[is_sampled]
    # A sum of products with odd weights, modulo 2^64. Then the upper half is mixed into the lower one.
    hashes = (words[begins[:, None] + _OFFSETS] * _WEIGHTS).sum(axis=1)
    hashes = (hashes ^ hashes >> np.uint64(29)) * _MULTIPLIER
    hashes ^= hashes >> np.uint64(32)
    return hashes & ~np.uint64(SPARSE - 1) | ranks


def find_near_copies(samples: Sequence[np.ndarray]) -> list[list[int]]:
    """Group recordings that are near-copies of each other.

    Two near-copies of a third recording are in one group.

    Args:
        samples: The result of `samples_of` for each recording, uint64 [samples].

    Returns:
        Indices of the recordings of each group. A recording without near-copies is in none.
    """
    near = _near(range(len(samples)), [each[_ranks(each) == 0] for each in samples], SHARE)
    for _, every in DENSITIES:
        # Only recordings sampled at this density, or denser, hold ranks beyond those of the next sparser sampling.
        within, beyond = SPARSE // every, SPARSE // (STEP * every)
        dense = [index for index, each in enumerate(samples) if (_ranks(each) >= beyond).any()]
        share = CLOSE_SHARE if every == 1 else SHARE
        near |= _near(dense, [samples[index][_ranks(samples[index]) < within] for index in dense], share)
    roots = list(range(len(samples)))

    def root(index: int) -> int:
        while roots[index] != index:
            index = roots[index] = roots[roots[index]]
        return index

    for one, other in sorted(near):
        roots[max(root(one), root(other))] = min(root(one), root(other))
    groups: dict[int, list[int]] = {}
    for index in range(len(samples)):
        groups.setdefault(root(index), []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def _ranks(samples: np.ndarray) -> np.ndarray:
    """Return the rank of each sample, uint64 [samples]."""
    return samples & np.uint64(SPARSE - 1)


def _near(indices: Sequence[int], samples: Sequence[np.ndarray], share: float) -> set[tuple[int, int]]:
    """Find the pairs of near-copies by samples of one density.

    Args:
        indices: The recordings.
        samples: Their samples of this density, uint64 [samples] each.
        share: Smallest share of the shorter recording's samples that both hold.
    """
    sizes = np.array([len(each) for each in samples], np.int64)
    if not sizes.sum():
        return set()
    owners = np.repeat(np.arange(len(samples)), sizes)
    hashes = np.concatenate(samples)
    # Stable, so that the owners of a hash stay in order.
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    begins = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    occurrences = np.diff(np.append(begins, len(hashes)))
    is_evidence = np.repeat(occurrences <= MAX_RECORDINGS, occurrences)
    evidence = np.bincount(owners[is_evidence], minlength=len(samples))
    shared: dict[int, int] = {}
    for number in range(2, MAX_RECORDINGS + 1):
        holders = owners[begins[occurrences == number][:, None] + np.arange(number)]
        left, right = np.triu_indices(number, 1)
        pairs, counts = np.unique(holders[:, left] * len(samples) + holders[:, right], return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            shared[pair] = shared.get(pair, 0) + count
    near = set()
    for pair, count in shared.items():
        one, other = divmod(pair, len(samples))
        shorter = min(evidence[one], evidence[other])
        if count >= max(MIN_SHARED, share * shorter, min(CLOSE_SHARE * shorter, ENOUGH)):
            near.add((indices[one], indices[other]))
    return near
