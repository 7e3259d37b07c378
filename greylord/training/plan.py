"""How long, how fast and when: fixed before the first step, by the settings, the corpus and a measured pace."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from greylord import units
from greylord.errors import GreylordError, UsageError
from greylord.training.config import TrainingConfig

__all__ = [
    "MAX_MICRO_TOKENS",
    "Pace",
    "Plan",
    "context_within",
    "describe_time",
    "largest_divisor",
    "make_plan",
    "plan_within",
    "short_length",
    "tokens_per_step",
]

TOKENS_PER_STEP = {"cpu": 2_048, "cuda": 32_768}
"""Of an optimizer step, if no batch size is asked for."""
MAX_MICRO_TOKENS = {"cpu": 8_192}
"""Tokens in one forward and backward pass. More would not stay in a CPU's cache."""
CONTEXTS = {"cpu": ((1_000, 256), (6_000, 512), (math.inf, 1_024)), "cuda": ((math.inf, 1_024),)}
"""The context by the seconds that a time budget has at most; of a CPU that computes in float32."""
CPU_BF16_SPEED = 2
"""Times as fast one trains that computes in bfloat16."""
SHORT_LENGTHS, SHORT_SHARE = (128, 256), 0.5
"""Tokens of a window in the first steps, half the context within these bounds; and the share of the steps."""
WARMUP_SHARE = 0.05
"""Of the steps, in which the rate rises; it then falls to nothing at the last step."""
EVALUATION_SHARE = 0.5
"""What evaluations may cost beside training, as long as there is at least one."""
BUDGETED_EVALUATION_SHARE = 0.06
"""The same of a time budget: it is for training."""
MAX_EVALUATIONS = 20
BACKWARD_COST = 2
"""A backward pass costs two forward passes."""
LONG_SECONDS = 3_600


@dataclass(frozen=True)
class Pace:
    """Measured seconds: of an optimizer step of short and of full windows, of an evaluation and a checkpoint."""

    short_step: float
    step: float
    evaluation: float
    checkpoint: float


@dataclass(frozen=True)
class Plan:
    """What decides a run, frozen in its training_config.json before the first step."""

    context: int
    """Tokens."""
    short_length: int
    """Tokens of the windows in the first `short_steps` optimizer steps; a divisor of the context."""
    micro_batch: int
    """Windows of one device in one forward and backward pass; of short ones, as many as have the same tokens."""
    accumulation: int
    """Passes an optimizer step."""
    processes: int
    steps_per_epoch: float
    max_steps: int
    short_steps: int
    warmup_steps: int
    eval_steps: int
    """Optimizer steps from one evaluation, and checkpoint, to the next."""
    candidates: int = 1
    """Windows offered at most for each that is read, where there are more than are read. Older runs had no choice."""

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

    @property
    def samples_by_rarity(self) -> bool:
        """Whether there are more windows of a length than are read of it."""
        read = (self.short_steps, self.max_steps - self.short_steps)
        return self.candidates > 1 and any(0 < steps < self.steps_per_epoch for steps in read)

    def length(self, step: int) -> int:
        """Tokens of the windows of the optimizer step after `step` others."""
        return self.short_length if step < self.short_steps else self.context

    def seconds(self, pace: Pace) -> float:
        """What the run takes at a pace."""
        return (
            self.short_steps * pace.short_step
            + (self.max_steps - self.short_steps) * pace.step
            + self.evaluations * (pace.evaluation + pace.checkpoint)
        )

    def scheduled(self, max_steps: int, evaluations: int) -> Plan:
        """The same for another number of steps."""
        return replace(
            self,
            max_steps=max_steps,
            short_steps=math.floor(SHORT_SHARE * max_steps) if self.short_length < self.context else 0,
            warmup_steps=min(math.ceil(WARMUP_SHARE * max_steps), max_steps - 1),
            eval_steps=math.ceil(max_steps / min(evaluations, max_steps)),
        )


def context_within(seconds: float, device: str, bf16: bool) -> int:
    """The context that a model learns best in a time, on a type of device and in bfloat16 or float32: positions have
    to be learned too, each by itself."""
    worth = seconds * (CPU_BF16_SPEED if device == "cpu" and bf16 else 1)
    return next(context for limit, context in CONTEXTS.get(device, CONTEXTS["cpu"]) if worth <= limit)


def short_length(context: int) -> int:
    """Tokens of a window in the first steps of a fresh model; the context where that cannot be divided into such."""
    least, most = SHORT_LENGTHS
    length = min(context // 2, most)
    return length if length >= least and context % length == 0 else context


def tokens_per_step(device: str) -> int:
    """Of an optimizer step on a type of device, if no batch size is asked for."""
    return TOKENS_PER_STEP.get(device, TOKENS_PER_STEP["cpu"])


def make_plan(
    settings: TrainingConfig,
    windows: int,
    evaluation_tokens: int,
    device: str,
    processes: int,
    pretrained: bool,
    eval_steps: float | None = None,
) -> Plan:
    """Plan a run over `windows` training windows. Raises UsageError for a micro-batch that does not fit the batch.

    Args:
        settings: what was asked for.
        windows: in the training split, of the settings' context.
        evaluation_tokens: that one evaluation passes through the model, context included.
        device: type of the device, "cpu" or "cuda".
        processes: each with one device.
        pretrained: whether the model knows its positions already; short windows are for one that does not.
        eval_steps: from one evaluation to the next, or their share of all steps if under 1; None to have it chosen.
    """
    context = settings.context_window
    share = max(1, (settings.batch_size or max(1, tokens_per_step(device) // context)) // processes)
    micro_batch = settings.micro_batch
    if micro_batch is None:
        micro_batch = largest_divisor(share, MAX_MICRO_TOKENS.get(device, share * context) // context)
    elif share % micro_batch:
        raise UsageError(
            f"--micro-batch, or micro_batch of config.json, must divide the {units.count(share, 'window')} that a "
            f"process has of an optimizer step; {micro_batch} does not."
        )
    windows_per_step = share * processes
    max_steps = settings.max_steps or math.ceil(settings.epochs * windows / windows_per_step)
    shape = Plan(
        context=context,
        short_length=context if pretrained else short_length(context),
        micro_batch=micro_batch,
        accumulation=share // micro_batch,
        processes=processes,
        steps_per_epoch=windows / windows_per_step,
        max_steps=max_steps,
        short_steps=0,
        warmup_steps=0,
        eval_steps=max_steps,
        candidates=settings.candidates,
    )
    affordable = EVALUATION_SHARE * (1 + BACKWARD_COST) * max_steps * shape.tokens_per_step / evaluation_tokens
    plan = shape.scheduled(max_steps, min(max(1, round(affordable)), MAX_EVALUATIONS))
    if eval_steps is None:
        return plan
    asked = math.ceil(eval_steps if eval_steps >= 1 else eval_steps * max_steps)
    return replace(plan, eval_steps=min(asked, max_steps))


def plan_within(seconds: float, plan: Plan, pace: Pace) -> Plan:
    """The plan of as many steps as can be done in a time. Raises GreylordError if not even one can."""
    evaluation = pace.evaluation + pace.checkpoint
    evaluations = min(max(1, int(BUDGETED_EVALUATION_SHARE * seconds / evaluation)), MAX_EVALUATIONS)
    left = seconds - evaluations * evaluation
    # With two lengths a mean step; their number decides how many are short, and not the other way round.
    short = SHORT_SHARE if plan.short_length < plan.context else 0
    max_steps = int(left / (short * pace.short_step + (1 - short) * pace.step))
    if max_steps < 1:
        raise GreylordError(
            f"--time-budget is too short: {units.duration(seconds)} of it are left to train in, "
            f"but a step takes {pace.step:.2g} s and the evaluation at the end {units.duration(evaluation)}."
        )
    return plan.scheduled(max_steps, evaluations)


def largest_divisor(share: int, limit: int) -> int:
    """The largest micro-batch up to `limit`, or 1, that divides a process's share of a step's windows."""
    return next((size for size in range(min(share, limit), 1, -1) if share % size == 0), 1)


def describe_time(plan: Plan, pace: Pace) -> str:
    seconds = plan.seconds(pace)
    text = (
        f"about {units.duration(seconds)}: {pace.step:.2g} s a step and {units.duration(pace.evaluation)} an evaluation"
    )
    if seconds > LONG_SECONDS:
        text += ". Shorten it with --time-budget 10m, or stop it with Ctrl-C, which keeps the best so far"
    return text
