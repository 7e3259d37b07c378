"""The windows that a run reads, and their order: a pure function of the optimizer step.

A stream repeats itself: prompts are redrawn, the same blows fall again and again, and a window drawn at random holds
mostly what has been learned long ago. As words are subsampled by the root of their frequency (Mikolov et al. 2013,
arXiv:1310.4546), windows are drawn here by the mean, over their n-grams, of 1 / sqrt(occurrences).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greylord.corpus.windows import LazySequence, TrainingWindows, Window
from greylord.training.plan import Plan

__all__ = ["Order", "Rarity"]

BLOCK_WINDOWS = 256
"""Windows that are chosen together."""


class Order(LazySequence[list[Window]]):
    """The windows of a run, in the order of its steps.

    An item is a slot of `plan.context` tokens: while `plan.length` is the context, one window; before, as many short
    windows as fill it. `plan.windows_per_step` slots make an optimizer step, whichever process draws them. So the
    length changes where the batch is drawn, and a run that is resumed at a step reads on as if nothing had happened.

    Short windows first are sequence-length warm-up (Li et al. 2022, arXiv:2108.06084). Here they lie at random
    positions of the context: positions beyond them would stay untrained, and be learned from nothing when the windows
    grow.

    Each length goes through a permutation of all its windows, then through another. Where even the first would not be
    finished, rare windows teach more: of as many as can be offered, up to `plan.candidates` for each that is read,
    those that are read are drawn in proportion to their rarity.

    Args:
        rows: of the training split.
        plan: of the run.
        seed: of the order.
    """

    def __init__(self, rows: Sequence[np.ndarray], plan: Plan, seed: int) -> None:
        self._plan, self._seed = plan, seed
        self._full = TrainingWindows(rows, plan.context)
        self._short = TrainingWindows(rows, plan.short_length)
        self._permutation: tuple[tuple[int, int], np.ndarray] | None = None
        self._block: tuple[tuple[int, int], list[Window]] | None = None
        self._rarity: Rarity | None = None

    def __len__(self) -> int:
        return self._plan.max_steps * self._plan.windows_per_step

    def item(self, slot: int) -> list[Window]:
        plan = self._plan
        short_slots = plan.short_steps * plan.windows_per_step
        if slot >= short_slots:
            return [self._window(self._full, slot - short_slots, len(self) - short_slots)]
        count, free = plan.context // plan.short_length, plan.context - plan.short_length
        first = np.random.default_rng((self._seed, slot)).integers(0, free + 1, count)
        return [
            {
                **self._window(self._short, slot * count + index, short_slots * count),
                "first_position": int(first[index]),
            }
            for index in range(count)
        ]

    def _window(self, windows: TrainingWindows, number: int, needed: int) -> Window:
        """The window that is read `number` windows after the first, of those that are needed in all."""
        blocks = -(-needed // BLOCK_WINDOWS)
        offered = min(BLOCK_WINDOWS * self._plan.candidates, len(windows) // blocks)
        if offered <= BLOCK_WINDOWS:
            return self._candidate(windows, number)
        block, place = divmod(number, BLOCK_WINDOWS)
        key = windows.context, block
        if self._block is None or self._block[0] != key:
            candidates = [self._candidate(windows, block * offered + index) for index in range(offered)]
            self._block = key, self._rarest(candidates, key)
        return self._block[1][place]

    def _candidate(self, windows: TrainingWindows, number: int) -> Window:
        """The window that is offered `number` windows after the first."""
        epoch, index = divmod(number, len(windows))
        key = windows.context, epoch
        if self._permutation is None or self._permutation[0] != key:
            order = np.random.default_rng((self._seed, *key)).permutation(len(windows))
            self._permutation = key, order
        return windows[int(self._permutation[1][index])]

    def _rarest(self, candidates: Sequence[Window], key: tuple[int, int]) -> list[Window]:
        """A block of the candidates, drawn in proportion to their rarity, none twice, and in the order given."""
        if self._rarity is None:
            self._rarity = Rarity(self._full.rows)
        rarities = self._rarity.of([window["input_ids"] for window in candidates])
        # One number more than the key of a permutation has.
        draw = np.random.default_rng((self._seed, *key, len(candidates)))
        chosen = draw.choice(len(candidates), BLOCK_WINDOWS, replace=False, p=rarities / rarities.sum())
        return [candidates[index] for index in np.sort(chosen)]


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
