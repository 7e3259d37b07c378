"""Short trial runs of the real Trainer: how fast the run will be, and whether it takes the overrides."""

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
from torch.utils.data import Subset
from transformers import GPT2LMHeadModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from greylord import modeling
from greylord.corpus.windows import ScoringWindows, Window, whole_rows
from greylord.errors import UsageError, first_line
from greylord.training.config import Job
from greylord.training.hardware import device_of
from greylord.training.hf_trainer import make_trainer, training_arguments
from greylord.training.overrides import check_overrides, written
from greylord.training.plan import Pace, Plan
from greylord.training.sampling import Order

__all__ = ["Clock", "measure_pace", "try_overrides"]

FIRST_STEPS = 3
"""Of each length, in the first try; what they need once (compilation, memory) is left out of the pace."""
BUDGET_SHARE, MIN_SECONDS, MAX_SECONDS = 0.01, 3, 10
"""Of a time budget, what the second try takes for each length: what else a machine does comes and goes in seconds."""
SUSTAINED = 1.1
"""Times as long as the median step of a probe the mean step of a run takes: pauses, logging, choosing windows, and a
machine that does not keep up for minutes what it does for seconds. It was 0.98 to 1.25. A run planned too short loses
a few steps; one planned too long the end of the rate's decay, which is worth more."""
BATCHES = 4
"""Scored for the pace of an evaluation."""


class Clock(TrainerCallback):
    """When each step, the evaluation and the checkpoint were done."""

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
    """Train a copy of the model for a few steps of each length, evaluate and save it. Leaves random state and weights.

    Args:
        model: to be trained.
        arguments: of the run.
        plan: of the run, its number of steps aside.
        rows: of the training split.
        scoring: windows of an evaluation.
        folder: on the disk that checkpoints are written to.
        compiled: whether the run compiles the model's blocks.
        budget: seconds that will be planned by the pace. Then, or if compiling would pass for the pace, it takes the
            time for a second try.
    """
    batch = arguments.per_device_eval_batch_size * plan.processes
    tried = Subset(scoring, range(min(len(scoring), BATCHES * batch)))
    pace = _try(model, arguments, plan, rows, tried, folder, compiled, FIRST_STEPS)
    seconds = min(max(MIN_SECONDS, BUDGET_SHARE * (budget or 0)), MAX_SECONDS)
    # All processes must take as many steps.
    steps = [math.ceil(seconds / max(pace.short_step, pace.step))]
    broadcast_object_list(steps)
    if (budget or compiled) and steps[0] > FIRST_STEPS:
        pace = _try(model, arguments, plan, rows, tried, folder, compiled, steps[0])
    paces = [replace(pace, evaluation=pace.evaluation * len(scoring) / len(tried))]
    broadcast_object_list(paces)
    return paces[0]


def _try(
    model: GPT2LMHeadModel,
    arguments: TrainingArguments,
    plan: Plan,
    rows: Sequence[np.ndarray],
    tried: Sequence[Window],
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
        make_trainer(copy.deepcopy(model), shortened, order, tried, None, [clock], compiled).train()
    seconds = [after - before for before, after in pairwise(clock.steps)]
    # Without the first of each length: it pays for what later ones find ready.
    # One pause would spoil the mean of so few.
    full = SUSTAINED * median(seconds[total - steps :])
    return Pace(
        short_step=SUSTAINED * median(seconds[: steps - 1]) if lengths > 1 else full,
        step=full,
        evaluation=clock.evaluated - clock.steps[-1],
        checkpoint=clock.saved - clock.evaluated,
    )


SHAPE = modeling.Shape(layers=1, width=32, heads=2)
PLAN = Plan(
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
    """Train a model of one layer for two steps under a job's overrides, and resume it from the first.

    Does nothing where a job has none. Leaves torch's random state changed.

    Raises:
        UsageError: the Trainer, the optimizer or the schedule does not take them.
    """
    if not job.overrides:
        return
    check_overrides(job.overrides)
    threads = torch.get_num_threads()
    # More would wait for each other longer than a model this small computes.
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            _train(job, Path(folder), None)
            # Of several processes, each with a folder of its own, the first alone has written a checkpoint.
            if accelerate.PartialState().num_processes == 1:
                _train(job, Path(folder), "checkpoint-1")
    except Exception as error:
        # The libraries document none of the errors that they raise here.
        if should_reduce_batch_size(error) or getattr(error, "errno", None) == errno.ENOSPC:
            # Memory and disks are full whatever is overridden; the run says what to do if they still are.
            return
        given = ", ".join(starmap(written, job.overrides.items()))
        raise UsageError(f"The Trainer does not work with {given}: {first_line(error)}.") from error
    finally:
        torch.set_num_threads(threads)


def _train(job: Job, folder: Path, checkpoint: str | None) -> None:
    arguments = training_arguments(job.settings, PLAN, device_of(job), folder, job.overrides)
    # What it prints of itself would be taken for the run's.
    arguments.log_level = arguments.log_level_replica = "error"
    rows = [np.arange(PLAN.context * PLAN.max_steps, dtype=np.uint16)]
    scoring = ScoringWindows(rows, whole_rows(rows), PLAN.context, arguments.eval_batch_size * arguments.world_size)
    order = Order(rows, replace(PLAN, processes=arguments.world_size), seed=0)
    trainer = make_trainer(modeling.new_model(PLAN.context, SHAPE), arguments, order, scoring, None, [], compiled=False)
    trainer.train(resume_from_checkpoint=str(folder / checkpoint) if checkpoint else None)
