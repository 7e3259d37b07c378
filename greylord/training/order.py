"""What a run reads, and in which order: a pure function of the optimizer step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greylord.corpus.windows import TrainingWindows
from greylord.training.rarity import Rarity
from greylord.training.recipe import Plan

__all__ = ["Order"]

BLOCK_WINDOWS = 256
"""Windows that are chosen together."""


class Order(Sequence[list[dict]]):
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
        self._block: tuple[tuple[int, int], list[dict]] | None = None
        self._rarity: Rarity | None = None

    def __len__(self) -> int:
        return self._plan.max_steps * self._plan.windows_per_step

    def __getitem__(self, slot: int) -> list[dict]:
        if not 0 <= slot < len(self):
            raise IndexError(slot)
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

    def _window(self, windows: TrainingWindows, number: int, needed: int) -> dict:
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

    def _candidate(self, windows: TrainingWindows, number: int) -> dict:
        """The window that is offered `number` windows after the first."""
        epoch, index = divmod(number, len(windows))
        key = windows.context, epoch
        if self._permutation is None or self._permutation[0] != key:
            order = np.random.default_rng((self._seed, *key)).permutation(len(windows))
            self._permutation = key, order
        return windows[int(self._permutation[1][index])]

    def _rarest(self, candidates: Sequence[dict], key: tuple[int, int]) -> list[dict]:
        """A block of the candidates, drawn in proportion to their rarity, none twice, and in the order given."""
        if self._rarity is None:
            self._rarity = Rarity(self._full.rows)
        rarities = self._rarity.of([window["input_ids"] for window in candidates])
        # One number more than the key of a permutation has.
        draw = np.random.default_rng((self._seed, *key, len(candidates)))
        chosen = draw.choice(len(candidates), BLOCK_WINDOWS, replace=False, p=rarities / rarities.sum())
        return [candidates[index] for index in np.sort(chosen)]
