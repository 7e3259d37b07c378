"""What a run reads, and in which order: a pure function of the optimizer step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from greylord.corpus.windows import TrainingWindows
from greylord.training.recipe import Plan

__all__ = ["Order"]


class Order(Sequence[list[dict]]):
    """The windows of a run, in the order of its steps.

    An item is a slot of `plan.context` tokens: while `plan.length` is the context, one window; before, as many short
    windows as fill it. `plan.windows_per_step` slots make an optimizer step, whichever process draws them. So the
    length changes where the batch is drawn, and a run that is resumed at a step reads on as if nothing had happened.

    Short windows first are sequence-length warm-up (Li et al. 2022, arXiv:2108.06084). Here they lie at random
    positions of the context: positions beyond them would stay untrained, and be learned from nothing when the windows
    grow.

    Each length goes through a permutation of all its windows, then through another.
    """

    def __init__(self, rows: Sequence[np.ndarray], plan: Plan, seed: int) -> None:
        self._plan, self._seed = plan, seed
        self._full = TrainingWindows(rows, plan.context)
        self._short = TrainingWindows(rows, plan.short_length)
        self._permutation: tuple[tuple[int, int], np.ndarray] | None = None

    def __len__(self) -> int:
        return self._plan.max_steps * self._plan.windows_per_step

    def __getitem__(self, slot: int) -> list[dict]:
        if not 0 <= slot < len(self):
            raise IndexError(slot)
        short_slots = self._plan.short_steps * self._plan.windows_per_step
        if slot >= short_slots:
            return [self._window(self._full, slot - short_slots)]
        count = self._plan.context // self._plan.short_length
        free = self._plan.context - self._plan.short_length
        first = np.random.default_rng((self._seed, slot)).integers(0, free + 1, count)
        return [
            {**self._window(self._short, slot * count + index), "first_position": int(first[index])}
            for index in range(count)
        ]

    def _window(self, windows: TrainingWindows, number: int) -> dict:
        """The window that is drawn `number` windows after the first."""
        epoch, index = divmod(number, len(windows))
        key = windows.context, epoch
        if self._permutation is None or self._permutation[0] != key:
            order = np.random.default_rng((self._seed, *key)).permutation(len(windows))
            self._permutation = key, order
        return windows[int(self._permutation[1][index])]
