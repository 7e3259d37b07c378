"""A run in miniature: what the Trainer refuses of a job, it refuses before the corpus is built."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import replace
from itertools import starmap
from pathlib import Path

import accelerate
import numpy as np
import torch
from accelerate.utils.memory import should_reduce_batch_size

from greylord import modeling
from greylord.corpus.windows import ScoringWindows, whole_rows
from greylord.errors import UsageError, first_line
from greylord.training.arguments import training_arguments
from greylord.training.job import Job
from greylord.training.order import Order
from greylord.training.overrides import written
from greylord.training.recipe import Plan
from greylord.training.trainer import make_trainer

__all__ = ["try_overrides"]

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
    arguments = training_arguments(job.settings, PLAN, job.device, folder, job.overrides)
    # What it prints of itself would be taken for the run's.
    arguments.log_level = arguments.log_level_replica = "error"
    rows = [np.arange(PLAN.context * PLAN.max_steps, dtype=np.uint16)]
    scoring = ScoringWindows(rows, whole_rows(rows), PLAN.context, arguments.eval_batch_size * arguments.world_size)
    order = Order(rows, replace(PLAN, processes=arguments.world_size), seed=0)
    trainer = make_trainer(modeling.fresh(PLAN.context, SHAPE), arguments, order, scoring, None, [], compiled=False)
    trainer.train(resume_from_checkpoint=str(folder / checkpoint) if checkpoint else None)
