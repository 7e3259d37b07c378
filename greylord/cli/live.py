"""The live view of training: a progress bar, and a line for each evaluation.

The bar is drawn on a terminal only.
"""

from __future__ import annotations

import math
import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from greylord import units
from greylord.cli import console
from greylord.training.plan import Plan

__all__ = ["Live"]


class Live(TrainerCallback):
    """Shows steps, losses, payload bytes per second, and the time left.

    The time left includes evaluations.

    Args:
        plan: The plan of the run.
        density: Payload bytes per token.
    """

    def __init__(self, plan: Plan, density: float) -> None:
        self._plan, self._density = plan, density
        self._training = self._validation = ""
        self._evaluation_seconds = 0.0
        self._evaluated = 0
        self._bars = console.bars(
            TextColumn("{task.description:>8}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began, self._first_step = time.perf_counter(), state.global_step
        self._bars.start()
        self._steps = self._bars.add_task("steps", total=self._plan.max_steps, completed=state.global_step, text="")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._bars.stop()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        if "loss" in (logs := given["logs"]):
            smoothed = " (label smoothing)" if args.label_smoothing_factor else ""
            self._training = f"training loss {logs['loss'] / math.log(2):.3f} bits per token{smoothed}"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._bars.update(self._steps, completed=state.global_step, text=self._text(state))

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        if not self._evaluated:
            self._evaluation_began = time.perf_counter()
            self._bar = self._bars.add_task("evaluate", total=len(given["eval_dataloader"]), text="")
        self._evaluated += 1
        self._bars.advance(self._bar)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        self._evaluated = 0
        self._bars.remove_task(self._bar)
        self._evaluation_seconds += time.perf_counter() - self._evaluation_began
        figure = given["metrics"]["eval_bits_per_byte"]
        best = " (best so far)" if state.best_metric is None or figure < state.best_metric else ""
        self._validation = f"{figure:.3f} bits per byte{best}"
        console.say("step", f"{state.global_step:,} of {self._plan.max_steps:,} · {self._text(state)}")
        self._validation = f"validation {figure:.3f}"

    def _text(self, state: TrainerState) -> str:
        """Return losses, speed and time left on one line."""
        steps = state.global_step - self._first_step
        seconds = time.perf_counter() - self._began
        step_seconds = (seconds - self._evaluation_seconds) / max(1, steps)
        left = (self._plan.max_steps - state.global_step) * step_seconds
        done = state.global_step // self._plan.eval_steps
        if done and left:
            left += (self._plan.evaluations - done) * self._evaluation_seconds / done
        speed = f"{units.size(self._plan.tokens_per_step * self._density / step_seconds)}/s"
        parts = [self._validation, self._training, speed, f"{units.duration(left)} left" if left else ""]
        return " · ".join(part for part in parts if part)
