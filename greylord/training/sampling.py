"""The order of the training windows: a pure function of the optimizer step.

A stream repeats itself: prompts are redrawn, the same blows land again and again, and most of a random window is
already learned. Words are often subsampled by the square root of their frequency (Mikolov et al. 2013,
arXiv:1310.4546). Likewise, windows are sampled here in proportion to the mean, over their n-grams, of
1 / sqrt(occurrences).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greylord.corpus.windows import LazySequence, TrainingWindows, Window
from greylord.stream.ngrams import MULTIPLIER, ngram_hashes
from greylord.training.plan import Plan

__all__ = ["Order", "Rarity"]

BLOCK_WINDOWS = 256
"""Windows that are sampled together."""


class Order(LazySequence[list[Window]]):
    """The windows of a run, in the order of its steps.

    An item is a slot of `plan.context` tokens. In the first `plan.short_steps` steps it holds as many short windows as
    fill the slot, afterwards one full window. An optimizer step reads `plan.windows_per_step` slots, whichever process
    draws them. A run that is resumed at a step reads the same windows as one that was not interrupted.

    Short windows first are sequence-length warm-up (Li et al. 2022, arXiv:2108.06084). They lie at random positions of
    the context, because positions that short windows never reach would be untrained when the windows grow.

    Each length passes through a permutation of all its windows, then through another. If the run does not complete the
    first one, windows are sampled instead: each block of windows comes from up to `plan.candidates` times as many, in
    proportion to their rarity and without replacement.

    Args:
        rows: Recordings of the training split, uint16 [tokens] each.
        seed: Seed of the permutations, samples and positions.
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

    def item(self, index: int) -> list[Window]:
        plan = self._plan
        short_slots = plan.short_steps * plan.windows_per_step
        if index >= short_slots:
            return [self._window(self._full, index - short_slots, len(self) - short_slots)]
        count, room = plan.context // plan.short_length, plan.context - plan.short_length
        positions = np.random.default_rng((self._seed, index)).integers(0, room + 1, count)
        return [
            {
                **self._window(self._short, index * count + place, short_slots * count),
                "first_position": int(positions[place]),
            }
            for place in range(count)
        ]

    def _window(self, windows: TrainingWindows, number: int, needed: int) -> Window:
        """Return the window that the run reads after `number` others of its length.

        The run reads `needed` windows of that length.
        """
        blocks = -(-needed // BLOCK_WINDOWS)
        candidates = min(BLOCK_WINDOWS * self._plan.candidates, len(windows) // blocks)
        if candidates <= BLOCK_WINDOWS:
            return self._candidate(windows, number)
        block, place = divmod(number, BLOCK_WINDOWS)
        key = windows.context, block
        if self._block is None or self._block[0] != key:
            numbers = range(block * candidates, (block + 1) * candidates)
            self._block = key, self._sample([self._candidate(windows, each) for each in numbers], key)
        return self._block[1][place]

    def _candidate(self, windows: TrainingWindows, number: int) -> Window:
        """Return the window at place `number` of the permutations of a length."""
        epoch, index = divmod(number, len(windows))
        key = windows.context, epoch
        if self._permutation is None or self._permutation[0] != key:
            order = np.random.default_rng((self._seed, *key)).permutation(len(windows))
            self._permutation = key, order
        return windows[int(self._permutation[1][index])]

    def _sample(self, candidates: Sequence[Window], key: tuple[int, int]) -> list[Window]:
        """Sample a block of the candidates by their rarity, without replacement.

        The sample keeps their order.
        """
        if self._rarity is None:
            self._rarity = Rarity(self._full.rows)
        rarities = self._rarity.of([window["input_ids"] for window in candidates])
        # One number more than the seed of a permutation has.
        random = np.random.default_rng((self._seed, *key, len(candidates)))
        chosen = random.choice(len(candidates), BLOCK_WINDOWS, replace=False, p=rarities / rarities.sum())
        return [candidates[index] for index in np.sort(chosen)]


NGRAM = 8
"""Tokens of an n-gram: a word or two, or a control sequence and the text that it colours."""
BUCKET_BITS = 22
"""Bits of an n-gram's bucket. 50 MB of recordings have some hundred thousand different n-grams."""
COUNTED_TOKENS = 2**26
"""Tokens to count, approximately. Of a longer corpus every second, third, ... recording is counted."""
PIECE_TOKENS = 2**20
"""Tokens that are counted at once, which bounds the memory."""


class Rarity:
    """The rarity of n-grams in a corpus.

    Args:
        rows: Recordings, uint16 [tokens] each.
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
        """Return the mean rarity of the n-grams of each window.

        Args:
            windows: uint16 [tokens] each.

        Returns:
            float64 [windows], in (0, 1]; 1 for a window that is shorter than an n-gram.
        """
        lengths = np.array([len(window) for window in windows])
        ends = np.cumsum(lengths)
        # One pass over all windows; n-grams that cross the end of a window are left out.
        rarities = self._rarity[_buckets(np.concatenate(windows))]
        sums = np.concatenate([[0.0], np.cumsum(rarities, dtype=np.float64)])
        ngrams = np.maximum(lengths - NGRAM + 1, 0)
        begins = np.minimum(ends - lengths, len(rarities))
        totals = sums[np.minimum(begins + ngrams, len(rarities))] - sums[begins]
        return np.where(ngrams > 0, totals / np.maximum(ngrams, 1), 1.0)


def _buckets(ids: np.ndarray) -> np.ndarray:
    """Return the bucket of each n-gram, int64 [tokens - NGRAM + 1]."""
    hashes = ngram_hashes(ids, NGRAM)
    return (hashes * np.uint64(MULTIPLIER) >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)
