"""Trial runs of the Trainer, to measure a run's pace and to check its overrides."""

from __future__ import annotations

import copy
import errno
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, starmap
from pathlib import Path
from statistics import median
from typing import Any

import accelerate
import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from accelerate.utils.memory import should_reduce_batch_size
from transformers import GPT2LMHeadModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from greylord import modeling
from greylord.corpus.windows import ScoringWindows, Window, whole_rows
from greylord.errors import OverrideError, first_line
from greylord.training.config import Job
from greylord.training.hardware import device_of
from greylord.training.hf_trainer import make_trainer, training_arguments
from greylord.training.overrides import check_overrides, format_assignment
from greylord.training.plan import Pace, Plan
from greylord.training.sampling import Order

__all__ = ["Clock", "measure_pace", "try_overrides"]

FIRST_STEPS = 3
"""Steps of each length in the first trial. One-off costs such as compilation and memory fall into them."""
BUDGET_SHARE, MIN_SECONDS, MAX_SECONDS = 0.01, 3, 10
"""Share of the time budget for each length in the second trial, within bounds in seconds. The load of a machine varies
within seconds."""
SUSTAINED = 1.1
"""Mean step of a run, relative to the median step of a trial: it includes pauses, logging and sampling. Measured values
are 0.98 to 1.25. Too high a value loses a few steps. Too low a value loses the end of the learning rate's decay, which
costs more."""
EVALUATED_BATCHES = 4
"""Batches that are scored to measure the pace of an evaluation."""


class Clock(TrainerCallback):
    """Records the times of steps, of the last evaluation and of the last checkpoint.

    They are values of `time.perf_counter()`.
    """

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.evaluated = self.saved = 0.0

    def _now(self, args: TrainingArguments) -> float:
        if args.device.type == "cuda":
            torch.cuda.synchronize(args.device)
        return time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.steps.append(self._now(args))

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.evaluated = self._now(args)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.saved = self._now(args)


def measure_pace(
    model: GPT2LMHeadModel,
    arguments: TrainingArguments,
    plan: Plan,
    rows: Sequence[np.ndarray],
    scoring: Sequence[Window],
    folder: Path,
    compiled: bool,
    budget: float | None,
) -> Pace:
    """Measure the pace of a run.

    Train a copy of the model for a few steps of each length, evaluate it and save it. The model and the random state
    stay as they are.

    Args:
        plan: Plan of the run. The number of steps does not matter.
        rows: Recordings of the training split, uint16 [tokens] each.
        scoring: Windows of an evaluation.
        folder: A folder on the disk of the checkpoints.
        compiled: The run compiles the model's blocks.
        budget: Time budget in seconds, if there is one. With a budget, or if compilation would distort the pace, a
            second trial of more steps follows the first.
    """
    batch = arguments.per_device_eval_batch_size * plan.processes
    sample = scoring[: EVALUATED_BATCHES * batch]
    pace = _try(model, arguments, plan, rows, sample, folder, compiled, FIRST_STEPS)
    seconds = min(max(MIN_SECONDS, BUDGET_SHARE * (budget or 0)), MAX_SECONDS)
    # All processes must take the same number of steps.
    steps = [math.ceil(seconds / max(pace.short_step, pace.step))]
    broadcast_object_list(steps)
    if (budget or compiled) and steps[0] > FIRST_STEPS:
        pace = _try(model, arguments, plan, rows, sample, folder, compiled, steps[0])
    paces = [replace(pace, evaluation=pace.evaluation * len(scoring) / len(sample))]
    broadcast_object_list(paces)
    return paces[0]


def _try(
    model: GPT2LMHeadModel,
    arguments: TrainingArguments,
    plan: Plan,
    rows: Sequence[np.ndarray],
    sample: Sequence[Window],
    folder: Path,
    compiled: bool,
    steps: int,
) -> Pace:
    lengths = 2 if plan.short_length < plan.context else 1
    total = lengths * steps
    short_plan = replace(
        plan, max_steps=total, short_steps=total - steps, warmup_steps=1, eval_steps=total, candidates=1
    )
    clock = Clock()
    with (
        torch.random.fork_rng(devices=[arguments.device] if arguments.device.type == "cuda" else []),
        tempfile.TemporaryDirectory(dir=folder, prefix=".probe-", ignore_cleanup_errors=True) as output,
    ):
        shortened = copy.copy(arguments)
        shortened.output_dir = output
        shortened.max_steps = shortened.eval_steps = shortened.save_steps = total
        order = Order(rows, short_plan, 0)
        make_trainer(copy.deepcopy(model), shortened, order, sample, None, [clock], compiled).train()
    seconds = [after - before for before, after in pairwise(clock.steps)]
    # The first step of each length is left out because it includes one-off costs.
    # A median, because one pause would distort the mean of so few.
    full = SUSTAINED * median(seconds[total - steps :])
    return Pace(
        short_step=SUSTAINED * median(seconds[: steps - 1]) if lengths > 1 else full,
        step=full,
        evaluation=clock.evaluated - clock.steps[-1],
        checkpoint=clock.saved - clock.evaluated,
    )


_SHAPE = modeling.Shape(layers=1, width=32, heads=2)
_PLAN = Plan(
    context=16,
    short_length=16,
    micro_batch=1,
    accumulation=1,
    processes=1,
    steps_per_epoch=2,
    max_steps=2,
    short_steps=0,
    warmup_steps=1,
    eval_steps=1,
)


def try_overrides(job: Job) -> None:
    """Try a job's overrides on a model of one layer.

    The model is trained for two steps and resumed from the first. Does nothing for a job without overrides. Changes
    torch's random state.

    Raises:
        OverrideError: The Trainer, the optimizer or the schedule does not take them.
    """
    if not job.overrides:
        return
    check_overrides(job.overrides)
    threads = torch.get_num_threads()
    # For a model this small, more threads would wait longer than they compute.
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            _train(job, Path(folder), None)
            # In a group, each process has its own folder here, and only the first writes checkpoints.
            if accelerate.PartialState().num_processes == 1:
                _train(job, Path(folder), "checkpoint-1")
    except Exception as error:
        # The errors that the libraries raise here are not documented.
        if should_reduce_batch_size(error) or getattr(error, "errno", None) == errno.ENOSPC:
            # This is not the fault of the overrides. If it persists, the run itself reports it.
            return
        given = ", ".join(starmap(format_assignment, job.overrides.items()))
        raise OverrideError(f"The Trainer does not work with {given}: {first_line(error)}.") from error
    finally:
        torch.set_num_threads(threads)


def _train(job: Job, folder: Path, checkpoint: str | None) -> None:
    arguments = training_arguments(job.config, _PLAN, device_of(job), folder, job.overrides)
    # Its messages would be mistaken for the run's.
    arguments.log_level = arguments.log_level_replica = "error"
    rows = [np.arange(_PLAN.context * _PLAN.max_steps, dtype=np.uint16)]
    scoring = ScoringWindows(rows, whole_rows(rows), _PLAN.context, arguments.eval_batch_size * arguments.world_size)
    order = Order(rows, replace(_PLAN, processes=arguments.world_size), seed=0)
    model = modeling.new_model(_PLAN.context, _SHAPE)
    trainer = make_trainer(model, arguments, order, scoring, None, [], compiled=False)
    trainer.train(resume_from_checkpoint=str(folder / checkpoint) if checkpoint else None)
