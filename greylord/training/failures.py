"""The folder of a run, and what is left and said of it where the run fails."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import accelerate
from accelerate.utils import broadcast_object_list
from accelerate.utils.memory import should_reduce_batch_size

from greylord import runs, units
from greylord.errors import GreylordError
from greylord.training.job import Job
from greylord.training.overrides import written
from greylord.training.recipe import Plan, largest_divisor
from greylord.training.settings import MIN_CONTEXT, Settings, command_line

__all__ = ["run_folder"]


@contextmanager
def run_folder(job: Job, plan: Plan, state: accelerate.PartialState) -> Iterator[Path]:
    """The folder of the run, the same in all processes. If the block fails, it stays only if it has a checkpoint."""
    names = [str(job.resume or runs.new_run(job.dataset.name)) if state.is_main_process else ""]
    broadcast_object_list(names)
    run = Path(names[0])
    try:
        yield run
    except BaseException as error:
        checkpoint, _ = runs.resume_point(run)
        if checkpoint is None and job.resume is None and state.is_main_process:
            shutil.rmtree(run, ignore_errors=True)
        kept = f" Its last checkpoint is kept; go on with --resume {run}." if checkpoint else ""
        if isinstance(error, Exception) and should_reduce_batch_size(error):
            passes = f"{units.count(plan.micro_batch, 'window')} of {plan.context:,} tokens"
            raise GreylordError(f"Out of memory with {passes} in a pass; try `{_smaller(job, plan)}`.{kept}") from error
        if _disk_is_full(error, run.parent):
            raise GreylordError(f"The disk of {str(run.parent)!r} is full.{kept}") from error
        raise


def _smaller(job: Job, plan: Plan) -> str:
    """The line of the same run with half the windows a pass or, if that is one, windows of half the context."""
    settings = job.settings
    context, batch, micro_batch = plan.context, plan.windows_per_step, 1
    if plan.micro_batch > 1:
        micro_batch = largest_divisor(plan.micro_batch * plan.accumulation, plan.micro_batch // 2)
    else:
        context, batch = max(MIN_CONTEXT, context // 2), 2 * batch
    given = {name: value for name, value in asdict(settings).items() if value != getattr(Settings(), name)}
    changed = {"context_window": context, "batch_size": batch, "micro_batch": micro_batch}
    overrides = [f"--set={written(name, value)}" for name, value in job.overrides.items()]
    return command_line(
        {"data_dir": job.dataset, "model_path": job.model_path, **given, **changed},
        *overrides,
        *["--cpu"] * job.cpu,
    )


def _disk_is_full(error: BaseException, folder: Path) -> bool:
    # torch and safetensors raise errors of their own when a file cannot be written.
    return isinstance(error, Exception) and (
        getattr(error, "errno", None) == errno.ENOSPC
        or "No space left" in str(error)
        or ("write" in str(error) and shutil.disk_usage(folder).free < 1 << 20)
    )
