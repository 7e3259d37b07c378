"""Near-copies: recordings that share most of their text, whatever their names say.

A log whose beginning was cut off, whose line ends were changed or which was edited is not equal to its original, but
must not validate what the original trains. Each recording is sampled: stretches of text that begin behind a blank
chosen by the text itself, so that two recordings choose the same ones wherever they stand (winnowing, Schleimer et
al. 2003). Two recordings are near-copies if half of the samples of the shorter one stand in the other, or four fifths
where there are few.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greylord.spool import blocks

__all__ = ["clusters", "samples_of"]

STRETCH_BYTES = 256
"""The length of a sample. Sessions of different hours share few stretches as long but the greeting."""
DENSITIES = ((1 << 14, 1), (1 << 18, 8))
"""Largest payload, and of how many blanks one begins a sample there; in larger payloads one of `SPARSE` does."""
STEP = 8
SPARSE = 64
"""Each density is `STEP` times the next, a power of two: what a sparse sampling chooses, a dense one chooses too."""
SHARE, ENOUGH = 0.5, 16
"""Share of the shorter one's samples that near-copies have in common, and the least number of them."""
CLOSE_SHARE, MIN_SHARED = 0.8, 4
"""The same where there are fewer samples, or where the greeting may be half of a short recording."""
MAX_RECORDINGS = 32
"""A stretch that stands in more recordings is part of the game, and tells nothing."""
_IGNORED = bytes([*range(32), ord("*"), *range(127, 256)])
"""Line ends, controls, masked passwords and high bytes: what changes on the way."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_OFFSETS = np.arange(0, STRETCH_BYTES, 8)
_WEIGHTS = np.random.default_rng(0).integers(0, 1 << 64, len(_OFFSETS), np.uint64) | np.uint64(1)


def samples_of(payload: np.ndarray) -> np.ndarray:
    """Return the hashes of a recording's samples, uint64 [n], sorted, each once.

    Args:
        payload: uint8 [bytes].
    """
    every = next((every for size, every in DENSITIES if len(payload) <= size), SPARSE)
    found = [_samples(block.tobytes(), every) for _, block in blocks(payload, overlap=2 * STRETCH_BYTES)]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *found]))


def _samples(block: bytes, every: int) -> np.ndarray:
    text = block.translate(None, _IGNORED)
    if len(text) <= STRETCH_BYTES:
        return np.zeros(0, np.uint64)
    # At each position the eight bytes from there on as one number: a view, no copy.
    words = np.ndarray(len(text) - 7, "<u8", text, strides=(1,))
    behind = np.flatnonzero(np.frombuffer(text, np.uint8, len(text) - STRETCH_BYTES) == ord(" ")) + 1
    # Kept in the lowest bits of the hash, so that sparse samples can be told among dense ones.
    ranks = words[behind] * _MULTIPLIER >> np.uint64(64 - SPARSE.bit_length() + 1)
    chosen = ranks < SPARSE // every
    behind, ranks = behind[chosen], ranks[chosen]
    # A sum of products with odd weights, modulo 2^64, and its upper half stirred into the lower one.
    hashes = (words[behind[:, None] + _OFFSETS] * _WEIGHTS).sum(axis=1)
    hashes = (hashes ^ hashes >> np.uint64(29)) * _MULTIPLIER
    hashes ^= hashes >> np.uint64(32)
    return hashes & ~np.uint64(SPARSE - 1) | ranks


def clusters(samples: Sequence[np.ndarray]) -> list[list[int]]:
    """Group recordings of which each is a near-copy of another one of its group; only groups of two and more.

    Args:
        samples: what `samples_of` returned, recording by recording.
    """
    near = _near(range(len(samples)), [each[_ranks(each) == 0] for each in samples], SHARE)
    for _, every in DENSITIES:
        # Only those that are sampled so densely hold ranks beyond the next sparser sampling.
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
    return samples & np.uint64(SPARSE - 1)


def _near(indices: Sequence[int], samples: Sequence[np.ndarray], share: float) -> set[tuple[int, int]]:
    """The pairs of near-copies among recordings, by samples of one density, of which they share this part or more."""
    sizes = np.array([len(each) for each in samples], np.int64)
    if not sizes.sum():
        return set()
    owners = np.repeat(np.arange(len(samples)), sizes)
    hashes = np.concatenate(samples)
    # Stable, so that the owners of a hash stay in order.
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    begins = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    standing = np.diff(np.append(begins, len(hashes)))
    telling = np.bincount(owners[np.repeat(standing <= MAX_RECORDINGS, standing)], minlength=len(samples))
    shared: dict[int, int] = {}
    for number in range(2, MAX_RECORDINGS + 1):
        alike = owners[begins[standing == number][:, None] + np.arange(number)]
        left, right = np.triu_indices(number, 1)
        pairs, counts = np.unique(alike[:, left] * len(samples) + alike[:, right], return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            shared[pair] = shared.get(pair, 0) + count
    near = set()
    for pair, count in shared.items():
        one, other = divmod(pair, len(samples))
        shorter = min(telling[one], telling[other])
        if count >= max(MIN_SHARED, share * shorter, min(CLOSE_SHARE * shorter, ENOUGH)):
            near.add((indices[one], indices[other]))
    return near
