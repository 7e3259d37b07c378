"""What happens at the Trainer's steps besides training: the record of figures, stopping, and refusing NaN."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from greylord import runs, units
from greylord.files import write_file
from greylord.signals import ending_signals
from greylord.training.config import TrainingConfig
from greylord.training.plan import Plan

__all__ = [
    "Evaluation",
    "GracefulStop",
    "History",
    "LogAtEvaluation",
    "MarkComplete",
    "StopOnNaN",
    "why_it_ended",
    "why_nothing_was_saved",
]

PUNCTUAL_SHARE = 0.9
"""Of its time budget that a run takes at least, if it goes as planned."""
VOTES_PER_EVALUATION = 20
"""How often processes agree whether to stop, from one evaluation to the next. Each vote waits for the slowest."""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation, and the training since the one before it."""

    step: int
    epoch: float
    tokens: int
    """Tokens trained on so far, padding included."""
    seconds: float
    """Since training began."""
    train_bits_per_token: float
    """Mean of the training loss since the last evaluation."""
    bits_per_byte: float
    """On the validation sample."""
    learning_rate: float
    label_smoothing: float = 0.0
    """Share of a uniform target in the training loss; above 0, `train_bits_per_token` is not the cross-entropy."""


class LogAtEvaluation(TrainerCallback):
    """Has the loss logged at each evaluation, so that the two can stand side by side, and not just before or after it:
    the mean of a few steps is noise."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        since = state.global_step % state.eval_steps
        left = min(state.eval_steps - since, state.max_steps - state.global_step)
        control.should_log &= min(since, left) >= state.logging_steps / 2
        control.should_log |= control.should_evaluate


class History(TrainerCallback):
    """Collects an `Evaluation` at each evaluation and adds it to a JSONL file at once.

    Where a run is resumed the file is cut back to the step from which it goes on.
    """

    def __init__(self, journal: Path, plan: Plan) -> None:
        self.evaluations: list[Evaluation] = []
        self._journal, self._plan = journal, plan
        self._losses: list[tuple[int, float]] = []
        self._learning_rate = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        before = [Evaluation(**line) for line in runs.read_journal(self._journal)]
        self.evaluations = [evaluation for evaluation in before if evaluation.step <= state.global_step]
        if state.is_world_process_zero:
            write_file(self._journal, "".join(map(_line, self.evaluations)))
        self._last_logged = state.global_step
        self._began = time.perf_counter() - (self.evaluations[-1].seconds if self.evaluations else 0)

    @property
    def seconds(self) -> float:
        """Of training so far, without the time between breaking off and going on."""
        return round(time.perf_counter() - self._began, 3)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict, **_: Any
    ) -> None:
        if "loss" in logs:
            self._losses.append((state.global_step - self._last_logged, logs["loss"]))
            self._last_logged = state.global_step
            self._learning_rate = logs["learning_rate"]

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict, **_: Any
    ) -> None:
        steps = sum(steps for steps, _ in self._losses)
        nats = sum(steps * loss for steps, loss in self._losses) / steps if steps else math.nan
        self._losses = []
        evaluation = Evaluation(
            step=state.global_step,
            epoch=round(state.global_step / self._plan.steps_per_epoch, 4),
            tokens=state.global_step * self._plan.tokens_per_step,
            seconds=self.seconds,
            train_bits_per_token=nats / math.log(2),
            bits_per_byte=metrics["eval_bits_per_byte"],
            learning_rate=self._learning_rate,
            label_smoothing=args.label_smoothing_factor,
        )
        self.evaluations.append(evaluation)
        if state.is_world_process_zero:
            with self._journal.open("a", encoding="utf-8") as file:
                file.write(_line(evaluation))


def _line(evaluation: Evaluation) -> str:
    return json.dumps(asdict(evaluation)) + "\n"


class MarkComplete(TrainerCallback):
    """Marks a checkpoint when all of it is written: one without the mark was torn."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if args.world_size > 1:
            # Each process writes a file of its own.
            torch.distributed.barrier()
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / runs.COMPLETE).touch()


class StopOnNaN(TrainerCallback):
    """Stops at a loss or figure that is no number, before it is saved."""

    def __init__(self) -> None:
        self.diverged_at: int | None = None

    def _check(self, value: float, state: TrainerState, control: TrainerControl) -> None:
        if not math.isfinite(value):
            self.diverged_at = state.global_step
            control.should_training_stop = True
            control.should_evaluate = control.should_save = False

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict, **_: Any
    ) -> None:
        self._check(logs.get("loss", 0.0), state, control)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict, **_: Any
    ) -> None:
        self._check(metrics["eval_bits_per_byte"], state, control)


class GracefulStop(TrainerCallback):
    """Ctrl-C, SIGTERM, a closed terminal or a deadline end training at the next step: evaluated, saved, and with the
    best weights kept.

    A second Ctrl-C raises KeyboardInterrupt at once. Processes agree on the step, or one would wait for the others.

    Args:
        deadline: a `time.perf_counter()`, or None.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.stopped_at: int | None = None
        self.late = False
        self._asked, self._deadline = False, deadline

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Within it the signals are ours."""
        signals = ending_signals()
        before = [signal.signal(number, self._on_signal) for number in signals]
        try:
            yield
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # A launcher sends SIGTERM after every Ctrl-C.
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        late = self._deadline is not None and time.perf_counter() > self._deadline
        asked = self._asked or late
        if args.world_size > 1:
            if state.global_step % max(1, state.eval_steps // VOTES_PER_EVALUATION):
                return
            vote = torch.tensor(float(asked), device=args.device)
            torch.distributed.all_reduce(vote)
            asked = vote.item() > 0
        if asked and self.stopped_at is None:
            self.stopped_at, self.late = state.global_step, late and not self._asked
            control.should_evaluate = control.should_save = control.should_training_stop = True


def why_it_ended(
    plan: Plan,
    steps: int,
    guard: StopOnNaN,
    interruption: GracefulStop,
    settings: TrainingConfig,
    seconds: float | None,
) -> str:
    """Why training ended, after so many seconds in all, if they are those of one time budget."""
    if guard.diverged_at is not None:
        return f"the loss was no number any more at step {guard.diverged_at:,}"
    if interruption.late:
        return f"the time budget was over at step {steps:,} of {plan.max_steps:,}: the decay of the rate was cut short"
    if interruption.stopped_at is not None:
        return f"stopped by hand at step {interruption.stopped_at:,}"
    if steps < plan.max_steps:
        return f"no better figure in {units.count(settings.patience, 'evaluation')}"
    if settings.time_budget and seconds and seconds < PUNCTUAL_SHARE * units.parse_duration(settings.time_budget):
        return "all steps done before the time was over: they went faster than those that the plan was measured by"
    return "all steps done"


def why_nothing_was_saved(
    guard: StopOnNaN,
    interruption: GracefulStop,
    evaluations: Sequence[Evaluation],
    arguments: TrainingArguments,
    resumed: Path | None,
) -> str:
    """Why a run has no weights to publish, and what to do."""
    if guard.diverged_at is not None:
        return (
            f"The loss was NaN or infinite at step {guard.diverged_at:,}, before the first evaluation; nothing was "
            f"saved. Try a lower --learning-rate than {arguments.learning_rate:g}."
        )
    if interruption.stopped_at is not None:
        if resumed is not None:
            return f"Interrupted before training went on; start it again with --resume {resumed}."
        return "Interrupted before the first evaluation was saved; there is nothing to keep."
    if not evaluations:
        return "No evaluation took place, so no weights were saved; leave out --set, or give a smaller eval_steps."
    return (
        f"The checkpoints of {units.count(len(evaluations), 'evaluation')} are gone from {arguments.output_dir!r}, so "
        "there are no weights to publish; train again."
    )
