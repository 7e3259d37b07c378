"""Training, from the folder of a dataset to the folder of a model, in four stages.

`prepare` (a module of its own) builds the corpus and the model, `plan` fixes all decisions, `run` trains, and `publish`
writes the model's folder. Each stage takes the value that the one before returns.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import accelerate
from accelerate.utils import broadcast_object_list
from transformers import Trainer, TrainerCallback, TrainingArguments

from greylord import modeling, runs
from greylord.evaluation.bits_per_byte import protocol
from greylord.generation import drafts
from greylord.progress import Progress, silent
from greylord.training.callbacks import (
    Evaluation,
    GracefulStop,
    History,
    MarkComplete,
    StopOnNaN,
    describe_end,
    no_weights_error,
)
from greylord.training.config import Job
from greylord.training.hardware import peak_memory
from greylord.training.hf_trainer import describe_plan, make_trainer, training_arguments
from greylord.training.plan import Pace, Plan, describe_time, plan_within
from greylord.training.prepare import Prepared, Say, prepare
from greylord.training.probe import measure_pace, try_overrides
from greylord.training.run_folder import (
    Summary,
    credentials,
    load_best,
    open_run,
    publish_folder,
    versions,
    write_config,
)
from greylord.training.sampling import Order

__all__ = ["Live", "Say", "TrainedRun", "train"]

CLOSING_SECONDS, CLOSING_SHARE = 2, 0.015
"""Seconds, and share of the time budget, reserved for sampling drafts and for saving."""
LATENESS = 1.1
"""Duration at which a run is stopped, relative to its time budget."""


Live = Callable[[Plan, float], TrainerCallback]
"""Makes the callback that shows training, from the plan and the payload bytes per token."""


def print_line(label: str, text: str, detail: bool = False) -> None:
    """Print a line unless it is a detail."""
    if not detail:
        print(f"{label:>8}  {text}")


def train(job: Job, say: Say = print_line, progress: Progress = silent, live: Live | None = None) -> TrainedRun | None:
    """Train a model and publish it in a new folder.

    Args:
        job: The run as it is asked for.
        say: Called for each choice that was made.
        progress: Shows the work before and after training.
        live: Makes a callback of the Trainer that shows training; None for no display.

    Returns:
        The finished run. In a group of several processes, None in all but the first.

    Raises:
        GreylordError: The job cannot be done. Complete checkpoints are kept.
    """
    try_overrides(job)
    prepared = prepare(job, say, progress)
    with open_run(job, prepared.outline, prepared.state) as folder:
        planned = plan(prepared, folder)
        trained = run(planned, live)
        return publish(trained)


@dataclass(frozen=True)
class Planned:
    """A prepared run with all decisions made, as training_config.json has them.

    Attributes:
        folder: Folder of the run.
        deadline: Time by `time.perf_counter()` at which training has to stop; None without a time budget.
    """

    prepared: Prepared
    folder: Path
    plan: Plan
    arguments: TrainingArguments
    deadline: float | None


@dataclass(frozen=True)
class Trained:
    """A planned run after its training, with the callbacks that know how it went."""

    planned: Planned
    trainer: Trainer
    history: History
    nan: StopOnNaN
    stop: GracefulStop


@dataclass(frozen=True, repr=False)
class TrainedRun:
    """A finished run.

    Attributes:
        folder: Folder of the model, models/NAME_TIME.
        summary: Content of its training_summary.json.
        evaluations: Its history, in the order of the steps.
    """

    folder: Path
    summary: Summary
    evaluations: list[Evaluation]

    def __repr__(self) -> str:
        return f"TrainedRun({str(self.folder)!r}: {self.summary.best_bits_per_byte:.3f} bits per byte)"


def plan(prepared: Prepared, folder: Path) -> Planned:
    """Measure the pace, fix the number of steps and write training_config.json.

    A resumed run keeps its plan.
    """
    job, config, device, data = prepared.job, prepared.config, prepared.device, prepared.data
    checkpoints, budget = folder / runs.CHECKPOINTS, config.budget_seconds
    final, pace = prepared.outline, None
    if not job.resume:
        arguments = training_arguments(config, final, device, checkpoints, job.overrides)
        pace = measure_pace(prepared.model, arguments, final, data.rows, data.scoring, folder, config.compile, budget)
        if budget is not None:
            remaining = [_open_seconds(budget) - (time.perf_counter() - prepared.started)]
            # Each process has its own clock, and all must plan the same number of steps.
            broadcast_object_list(remaining)
            final = plan_within(remaining[0], final, pace)
        if prepared.state.is_main_process:
            write_config(folder, job, config, final, device, data.manifest)
    arguments = training_arguments(config, final, device, checkpoints, job.overrides)
    for label, text in describe_plan(final, arguments):
        prepared.say(label, text)
    if pace:
        prepared.say("time", describe_time(final, pace))
    return Planned(prepared, folder, final, arguments, _deadline(budget, prepared.started, pace))


def run(planned: Planned, live: Live | None) -> Trained:
    """Train until the last step, a lack of improvement, a signal or the deadline."""
    prepared, folder = planned.prepared, planned.folder
    config, data, state = prepared.config, prepared.data, prepared.state
    history, nan, stop = History(folder / runs.JOURNAL, planned.plan), StopOnNaN(), GracefulStop(planned.deadline)
    callbacks: list[TrainerCallback] = [history, nan, stop, MarkComplete()]
    if live is not None and state.is_main_process:
        split = data.manifest.splits["train"]
        callbacks.append(live(planned.plan, split.payload_bytes / split.tokens))
    order = Order(data.rows, planned.plan, config.seed)
    patience = None if config.time_budget else config.patience
    trainer = make_trainer(prepared.model, planned.arguments, order, data.scoring, patience, callbacks, config.compile)
    checkpoint = _checkpoint_to_resume(prepared.job, state, prepared.say)
    with stop.handled():
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
        except KeyboardInterrupt:
            stop.stopped_at = trainer.state.global_step
    return Trained(planned, trainer, history, nan, stop)


def publish(trained: Trained) -> TrainedRun | None:
    """Write the folder of the model with its best weights.

    Does nothing in all processes but the first.
    """
    planned, history, nan, stop = trained.planned, trained.history, trained.nan, trained.stop
    prepared, final = planned.prepared, planned.plan
    job, config, data, model = prepared.job, prepared.config, prepared.data, prepared.model
    if not prepared.state.is_main_process:
        return None
    best = load_best(model, planned.folder / runs.CHECKPOINTS, history.evaluations)
    if best is None:
        raise no_weights_error(nan, stop, history.evaluations, planned.arguments, job.resume)
    steps = trained.trainer.state.global_step
    parameters, positions = modeling.parameter_counts(model)
    draft_ids = drafts.sample(model.eval(), steps * final.tokens_per_step, prepared.progress)
    total_seconds = round(time.perf_counter() - prepared.started, 1)
    summary = Summary(
        dataset=data.manifest.dataset,
        data_hash=data.manifest.content_hash,
        best_bits_per_byte=best.bits_per_byte,
        best_step=best.step,
        protocol=protocol(config.context_window),
        scored_bytes=data.scored_bytes,
        baselines=data.baselines,
        ended=describe_end(final, config, steps, nan, stop, None if job.resume else total_seconds),
        steps=steps,
        epochs=round(steps / final.steps_per_epoch, 3),
        tokens=steps * final.tokens_per_step,
        bytes_seen=round(steps / final.steps_per_epoch * data.manifest.splits["train"].payload_bytes),
        seconds=history.seconds,
        total_seconds=total_seconds,
        parameters=parameters,
        position_parameters=positions,
        peak_memory_bytes=peak_memory(prepared.device.type),
        device=prepared.device.reason,
        continued_from=str(job.model_path) if job.model_path else None,
        versions=versions(),
        credentials=credentials(job, data.manifest),
    )
    publish_folder(planned.folder, model, history.evaluations, _losses(trained.trainer), summary, draft_ids)
    return TrainedRun(planned.folder, summary, history.evaluations)


def _checkpoint_to_resume(job: Job, state: accelerate.PartialState, say: Say) -> str | None:
    """Return the newest complete checkpoint of a run to resume.

    Incomplete ones are removed.
    """
    if job.resume is None:
        return None
    checkpoint, torn = runs.resume_point(job.resume)
    for path in torn:
        say("skipped", f"{path}, which is incomplete")
    state.wait_for_everyone()
    if state.is_main_process:
        # Otherwise a checkpoint of the same step could not be written.
        for path in torn:
            shutil.rmtree(path)
    say("resume", f"from {checkpoint}" if checkpoint else "from the beginning: there is no checkpoint yet")
    return str(checkpoint) if checkpoint else None


def _deadline(budget: float | None, started: float, pace: Pace | None) -> float | None:
    """Return when training has to stop.

    The last evaluation and saving then end within the allowed lateness.
    """
    if budget is None or pace is None:
        return None
    return started + _open_seconds(budget) + (LATENESS - 1) * budget - pace.evaluation - pace.checkpoint


def _open_seconds(budget: float) -> float:
    """Return the part of a time budget that is not reserved for saving, in seconds."""
    return (1 - CLOSING_SHARE) * budget - CLOSING_SECONDS


def _losses(trainer: Trainer) -> list[tuple[int, float]]:
    """Return pairs of a step and the mean training loss since the last pair.

    The unit is bits per token.
    """
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    losses = [(int(entry["step"]), entry["loss"] / math.log(2)) for entry in logged]
    return [(step, bits) for step, bits in losses if math.isfinite(bits)]
