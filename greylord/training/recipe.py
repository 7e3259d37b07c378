"""How long, how fast and when: functions of the settings and the corpus, fixed before the first step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from greylord import units
from greylord.errors import UsageError
from greylord.training.settings import Settings

__all__ = ["MAX_MICRO_TOKENS", "Plan", "largest_divisor", "make_plan"]

WARMUP_SHARE = 0.05
"""Of the steps, in which the rate rises; it then falls to nothing at the last step."""
MAX_MICRO_TOKENS = {"cpu": 8_192}
"""Tokens in one forward and backward pass. More would not stay in a CPU's cache."""
EVALUATION_SHARE = 0.5
"""What evaluations may cost beside training, as long as there is at least one."""
MAX_EVALUATIONS = 20
BACKWARD_COST = 2
"""A backward pass costs two forward passes."""


@dataclass(frozen=True)
class Plan:
    """What decides a run, frozen in its training_config.json before the first step."""

    context: int
    """Tokens."""
    micro_batch: int
    """Windows of one device in one forward and backward pass."""
    accumulation: int
    """Passes an optimizer step."""
    processes: int
    steps_per_epoch: int
    max_steps: int
    warmup_steps: int
    eval_steps: int
    """Optimizer steps from one evaluation, and checkpoint, to the next."""

    @property
    def windows_per_step(self) -> int:
        return self.micro_batch * self.accumulation * self.processes

    @property
    def tokens_per_step(self) -> int:
        return self.windows_per_step * self.context

    @property
    def evaluations(self) -> int:
        """Evaluations in a run that is not stopped; the last step always has one."""
        return math.ceil(self.max_steps / self.eval_steps)


def make_plan(
    settings: Settings,
    windows: int,
    evaluation_tokens: int,
    device: str,
    processes: int,
    eval_steps: float | None = None,
) -> Plan:
    """Plan a run over `windows` training windows. Raises UsageError for a micro-batch that does not fit the batch.

    Args:
        settings: what was asked for.
        windows: in the training split, of the settings' context.
        evaluation_tokens: that one evaluation passes through the model, context included.
        device: type of the device, "cpu" or "cuda".
        processes: each with one device.
        eval_steps: from one evaluation to the next, or their share of all steps if under 1; None to have it chosen.
    """
    context = settings.context_window
    share = max(1, settings.batch_size // processes)
    micro_batch = settings.micro_batch
    if micro_batch is None:
        micro_batch = largest_divisor(share, MAX_MICRO_TOKENS.get(device, share * context) // context)
    elif share % micro_batch:
        raise UsageError(
            f"--micro-batch, or micro_batch of config.json, must divide the {units.count(share, 'window')} that a "
            f"process has of --batch-size {settings.batch_size}; {micro_batch} does not."
        )
    accumulation = share // micro_batch
    steps_per_epoch = math.ceil(math.ceil(windows / (micro_batch * processes)) / accumulation)
    max_steps = settings.max_steps or settings.epochs * steps_per_epoch
    if eval_steps is not None:
        eval_steps = min(math.ceil(eval_steps if eval_steps >= 1 else eval_steps * max_steps), max_steps)
    else:
        eval_steps = _affordable_eval_steps(max_steps, max_steps * share * processes * context, evaluation_tokens)
    return Plan(
        context=context,
        micro_batch=micro_batch,
        accumulation=accumulation,
        processes=processes,
        steps_per_epoch=steps_per_epoch,
        max_steps=max_steps,
        warmup_steps=min(math.ceil(WARMUP_SHARE * max_steps), max_steps - 1),
        eval_steps=eval_steps,
    )


def largest_divisor(share: int, limit: int) -> int:
    """The largest micro-batch up to `limit`, or 1, that divides a process's share of a step's windows."""
    return next((size for size in range(min(share, limit), 1, -1) if share % size == 0), 1)


def _affordable_eval_steps(max_steps: int, training_tokens: int, evaluation_tokens: int) -> int:
    affordable = EVALUATION_SHARE * (1 + BACKWARD_COST) * training_tokens / evaluation_tokens
    return math.ceil(max_steps / min(max(1, round(affordable)), MAX_EVALUATIONS, max_steps))
