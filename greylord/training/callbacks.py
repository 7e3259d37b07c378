"""Callbacks of the Trainer: history, complete checkpoints, reasons to stop."""

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
from greylord.errors import TrainingError
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
    "describe_end",
    "no_weights_error",
]

PUNCTUAL_SHARE = 0.9
"""The smallest share of its time budget that a run as planned takes."""
VOTES_PER_EVALUATION = 20
"""Votes of all processes on stopping between two evaluations. Each vote waits for the slowest process."""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation, and the training since the last one.

    Attributes:
        tokens: Tokens trained on so far, padding included.
        seconds: Time since training began.
        train_bits_per_token: Mean training loss since the last evaluation.
        bits_per_byte: Figure on the validation sample.
        label_smoothing: Share of a uniform target in the training loss. Above 0, `train_bits_per_token` is not the
            cross-entropy.
    """

    step: int
    epoch: float
    tokens: int
    seconds: float
    train_bits_per_token: float
    bits_per_byte: float
    learning_rate: float
    label_smoothing: float = 0.0


class LogAtEvaluation(TrainerCallback):
    """Logs the loss at each evaluation, so that both figures belong to the same step.

    A log shortly before or after is skipped, because the mean of a few steps is noise.
    """

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        since = state.global_step % state.eval_steps
        left = min(state.eval_steps - since, state.max_steps - state.global_step)
        control.should_log &= min(since, left) >= state.logging_steps / 2
        control.should_log |= control.should_evaluate


class History(TrainerCallback):
    """Records an `Evaluation` at each evaluation, in memory and in a JSONL file.

    The file is written at once. When a run is resumed, the evaluations after its checkpoint are dropped from the file.
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
        """Time of training so far, without the pause between an interruption and resuming."""
        return round(time.perf_counter() - self._began, 3)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if "loss" in logs:
            self._losses.append((state.global_step - self._last_logged, logs["loss"]))
            self._last_logged = state.global_step
            self._learning_rate = logs["learning_rate"]

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        steps = sum(steps for steps, _ in self._losses)
        nats = sum(steps * loss for steps, loss in self._losses) / steps if steps else math.nan
        self._losses = []
        evaluation = Evaluation(
            step=state.global_step,
            epoch=round(state.global_step / self._plan.steps_per_epoch, 4),
            tokens=state.global_step * self._plan.tokens_per_step,
            seconds=self.seconds,
            train_bits_per_token=nats / math.log(2),
            bits_per_byte=kwargs["metrics"]["eval_bits_per_byte"],
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
    """Marks a checkpoint once all of its files are written.

    A checkpoint without the mark is incomplete.
    """

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if args.world_size > 1:
            # Each process writes its own file.
            torch.distributed.barrier()
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / runs.COMPLETE).touch()


class StopOnNaN(TrainerCallback):
    """Stops training at a loss or a figure that is NaN or infinite.

    It stops before such weights are saved.

    Attributes:
        diverged_at: The step at which it stopped; None if it did not.
    """

    def __init__(self) -> None:
        self.diverged_at: int | None = None

    def _check(self, value: float, state: TrainerState, control: TrainerControl) -> None:
        if not math.isfinite(value):
            self.diverged_at = state.global_step
            control.should_training_stop = True
            control.should_evaluate = control.should_save = False

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._check(kwargs["logs"].get("loss", 0.0), state, control)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._check(kwargs["metrics"]["eval_bits_per_byte"], state, control)


class GracefulStop(TrainerCallback):
    """Stops training at the next step, after a signal or past a deadline.

    The step gets an evaluation and a checkpoint.

    The signals are Ctrl-C, SIGTERM and the one of a closed terminal. A second Ctrl-C raises KeyboardInterrupt at once.
    Several processes agree on the step: one that stopped alone would leave the others waiting.

    Args:
        deadline: A time by `time.perf_counter()`; None for no deadline.

    Attributes:
        stopped_at: The step at which it stopped; None if it did not.
        late: It stopped at the deadline.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.stopped_at: int | None = None
        self.late = False
        self._signalled, self._deadline = False, deadline

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals within the block."""
        signals = ending_signals()
        before = [signal.signal(number, self._on_signal) for number in signals]
        try:
            yield
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # A launcher sends SIGTERM after every Ctrl-C.
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signalled = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        late = self._deadline is not None and time.perf_counter() > self._deadline
        stops = self._signalled or late
        if args.world_size > 1:
            if state.global_step % max(1, state.eval_steps // VOTES_PER_EVALUATION):
                return
            vote = torch.tensor(float(stops), device=args.device)
            torch.distributed.all_reduce(vote)
            stops = vote.item() > 0
        if stops and self.stopped_at is None:
            self.stopped_at, self.late = state.global_step, late and not self._signalled
            control.should_evaluate = control.should_save = control.should_training_stop = True


def describe_end(
    plan: Plan, config: TrainingConfig, steps: int, nan: StopOnNaN, stop: GracefulStop, seconds: float | None
) -> str:
    """Describe why training ended.

    Args:
        steps: Optimizer steps that were done.
        seconds: Duration of the whole run; None for a resumed run, because it has no time budget.
    """
    if nan.diverged_at is not None:
        return f"the loss was NaN or infinite at step {nan.diverged_at:,}"
    if stop.late:
        return f"time budget over at step {steps:,} of {plan.max_steps:,}, before the learning rate had decayed to 0"
    if stop.stopped_at is not None:
        return f"stopped by hand at step {stop.stopped_at:,}"
    if steps < plan.max_steps:
        return f"no improvement in {units.count(config.patience, 'evaluation')}"
    budget = config.budget_seconds
    if budget and seconds and seconds < PUNCTUAL_SHARE * budget:
        return "all steps done before the time was over (they were faster than the measured pace)"
    return "all steps done"


def no_weights_error(
    nan: StopOnNaN,
    stop: GracefulStop,
    evaluations: Sequence[Evaluation],
    arguments: TrainingArguments,
    resumed: Path | None,
) -> TrainingError:
    """Make the error for a run that has no weights to publish: why, and what to do.

    Args:
        resumed: Folder of the run if it was resumed.
    """
    if nan.diverged_at is not None:
        return TrainingError(
            f"The loss was NaN or infinite at step {nan.diverged_at:,}, before the first evaluation; nothing was "
            f"saved. Try a lower learning_rate than {arguments.learning_rate:g}.",
            "learning_rate",
        )
    if stop.stopped_at is not None:
        if resumed is not None:
            return TrainingError("Interrupted before training continued.", resumable=resumed)
        return TrainingError("Interrupted before the first evaluation was saved; there is nothing to keep.")
    if not evaluations:
        return TrainingError("There was no evaluation, so no weights were saved; use a smaller eval_steps.")
    return TrainingError(
        f"The checkpoints of {units.count(len(evaluations), 'evaluation')} are missing from {arguments.output_dir!r}, "
        "so there are no weights to publish; train again."
    )
