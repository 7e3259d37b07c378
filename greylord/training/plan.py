"""The plan of a run, fixed before the first step.

It holds the length, the batches, the learning-rate schedule and the evaluations.

A plan is a pure function of the settings, the corpus and, under a time budget, a measured pace. A run that is resumed
reads its plan from training_config.json.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from greylord import units
from greylord.errors import SettingError, TrainingError
from greylord.training.config import ResolvedConfig

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

WARMUP_SHARE = 0.05
"""Share of the steps in which the learning rate rises from 0 to its peak."""
DECAY = "linear"
"""Shape of the learning rate after the warm-up, an `lr_scheduler_type`: linear down to 0 at the last step."""

SHORT_SHARE = 0.5
"""Share of the steps that train on short windows, if there are any."""
SHORT_LENGTHS = 128, 256
"""Least and most tokens of a short window. It is half the context within these bounds."""

TOKENS_PER_STEP = {"cpu": 2_048, "cuda": 32_768}
"""Tokens in an optimizer step by type of device, unless a batch size is given."""
MAX_MICRO_TOKENS = {"cpu": 8_192}
"""Tokens in one forward and backward pass by type of device. More would not stay in a CPU's cache."""

CONTEXTS = {"cpu": ((1_000, 256), (6_000, 512), (math.inf, 1_024)), "cuda": ((math.inf, 1_024),)}
"""Pairs of a time in seconds and the context window for up to that much; for a CPU that computes in float32."""
CPU_BF16_SPEED = 2
"""Speed of training in bfloat16 on a CPU that has it, relative to float32."""

MAX_EVALUATIONS = 20
"""The most evaluations in a run. There is always one, at the last step."""
EVALUATION_SHARE = 0.5
"""The most that evaluations may cost in a run without a time budget, relative to training."""
BUDGETED_EVALUATION_SHARE = 0.06
"""The most that evaluations may take of a time budget."""
BACKWARD_COST = 2
"""Cost of a backward pass, relative to a forward pass."""
LONG_SECONDS = 3_600
"""A run above this gets a hint on how to end it early."""


@dataclass(frozen=True)
class Pace:
    """Measured durations, in seconds.

    Attributes:
        short_step: An optimizer step of short windows.
        step: An optimizer step of full windows.
        evaluation: One evaluation.
        checkpoint: Writing one checkpoint.
    """

    short_step: float
    step: float
    evaluation: float
    checkpoint: float


@dataclass(frozen=True)
class Plan:
    """The decisions that govern each step of a run, stored in training_config.json.

    Attributes:
        context: Tokens of a full window.
        short_length: Tokens of a window in the first `short_steps` steps; a divisor of `context`.
        micro_batch: Full windows in one forward and backward pass of a process. Passes of short windows have the same
            number of tokens.
        accumulation: Passes of a process in an optimizer step.
        processes: Processes, each with one device.
        steps_per_epoch: Optimizer steps that read the number of full windows in the training split.
        max_steps: Optimizer steps of the run.
        short_steps: Optimizer steps on short windows, at the beginning.
        warmup_steps: Optimizer steps in which the learning rate rises to its peak.
        eval_steps: Optimizer steps between two evaluations, and between two checkpoints.
        candidates: The most windows to sample each training window from. 1 in runs from before this field existed.
    """

    context: int
    short_length: int
    micro_batch: int
    accumulation: int
    processes: int
    steps_per_epoch: float
    max_steps: int
    short_steps: int
    warmup_steps: int
    eval_steps: int
    candidates: int = 1

    @property
    def windows_per_step(self) -> int:
        """Full windows in an optimizer step, over all processes."""
        return self.micro_batch * self.accumulation * self.processes

    @property
    def tokens_per_step(self) -> int:
        """Tokens in an optimizer step, over all processes."""
        return self.windows_per_step * self.context

    @property
    def evaluations(self) -> int:
        """Evaluations in a run that is not stopped. The last step always has one."""
        return math.ceil(self.max_steps / self.eval_steps)

    @property
    def samples_by_rarity(self) -> bool:
        """True if rare windows are sampled more often.

        This is the case if there are more windows of some length than the run reads.
        """
        read = (self.short_steps, self.max_steps - self.short_steps)
        return self.candidates > 1 and any(0 < steps < self.steps_per_epoch for steps in read)

    def seconds(self, pace: Pace) -> float:
        """Return the duration of the run at a pace."""
        return (
            self.short_steps * pace.short_step
            + (self.max_steps - self.short_steps) * pace.step
            + self.evaluations * (pace.evaluation + pace.checkpoint)
        )

    def scheduled(self, max_steps: int, evaluations: int) -> Plan:
        """Return this plan for another number of steps and evaluations.

        The number of steps decides the learning-rate schedule (warm-up, then decay over all remaining steps) and the
        number of steps on short windows.
        """
        return replace(
            self,
            max_steps=max_steps,
            short_steps=math.floor(SHORT_SHARE * max_steps) if self.short_length < self.context else 0,
            warmup_steps=min(math.ceil(WARMUP_SHARE * max_steps), max_steps - 1),
            eval_steps=math.ceil(max_steps / min(evaluations, max_steps)),
        )


def context_within(seconds: float, device: str, bf16: bool) -> int:
    """Return the context window that gives the best model within a time.

    Each position of the context has to be learned, so a short run is better with fewer.

    Args:
        seconds: Time to train; infinite if there is no budget.
        device: Type of the device, such as "cpu".
        bf16: Training computes in bfloat16.
    """
    float32_seconds = seconds * (CPU_BF16_SPEED if device == "cpu" and bf16 else 1)
    return next(context for limit, context in CONTEXTS.get(device, CONTEXTS["cpu"]) if float32_seconds <= limit)


def short_length(context: int) -> int:
    """Return the length of a short window in tokens.

    It is half the context within bounds, or else the whole context.
    """
    least, most = SHORT_LENGTHS
    length = min(context // 2, most)
    return length if length >= least and context % length == 0 else context


def tokens_per_step(device: str) -> int:
    """Return the default tokens in an optimizer step on a type of device."""
    return TOKENS_PER_STEP.get(device, TOKENS_PER_STEP["cpu"])


def make_plan(
    config: ResolvedConfig,
    windows: int,
    evaluation_tokens: int,
    device: str,
    processes: int,
    pretrained: bool,
    eval_steps: float | None = None,
) -> Plan:
    """Plan a run from its settings and its corpus.

    Args:
        windows: Full windows in the training split.
        evaluation_tokens: Tokens that pass through the model in one evaluation.
        device: Type of the device, "cpu" or "cuda".
        processes: Number of processes, each with one device.
        pretrained: The model has learned its positions, so it needs no short windows.
        eval_steps: Steps between two evaluations, or below 1 their share of all steps; None to have it chosen.

    Raises:
        SettingError: `micro_batch` does not divide the windows of a process.
    """
    context, micro_batch = config.context_window, config.micro_batch
    share = max(1, (config.batch_size or max(1, tokens_per_step(device) // context)) // processes)
    if micro_batch is None:
        micro_batch = largest_divisor(share, MAX_MICRO_TOKENS.get(device, share * context) // context)
    elif share % micro_batch:
        raise SettingError(
            f"micro_batch must divide the {units.count(share, 'window')} that each process trains on in an optimizer "
            f"step; {micro_batch} does not.",
            "micro_batch",
        )
    windows_per_step = share * processes
    max_steps = config.max_steps or math.ceil(config.epochs * windows / windows_per_step)
    unscheduled = Plan(
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
        candidates=config.candidates,
    )
    affordable = EVALUATION_SHARE * (1 + BACKWARD_COST) * max_steps * unscheduled.tokens_per_step / evaluation_tokens
    plan = unscheduled.scheduled(max_steps, min(max(1, round(affordable)), MAX_EVALUATIONS))
    if eval_steps is None:
        return plan
    wanted = math.ceil(eval_steps if eval_steps >= 1 else eval_steps * max_steps)
    return replace(plan, eval_steps=min(wanted, max_steps))


def plan_within(seconds: float, plan: Plan, pace: Pace) -> Plan:
    """Return the plan with the number of steps that a time allows.

    Raises:
        TrainingError: The time is too short for one step.
    """
    evaluation = pace.evaluation + pace.checkpoint
    evaluations = min(max(1, int(BUDGETED_EVALUATION_SHARE * seconds / evaluation)), MAX_EVALUATIONS)
    training = seconds - evaluations * evaluation
    # The number of steps decides how many are short, so it has to come from a mean step.
    short = SHORT_SHARE if plan.short_length < plan.context else 0
    max_steps = int(training / (short * pace.short_step + (1 - short) * pace.step))
    if max_steps < 1:
        raise TrainingError(
            f"The time budget is too short: {units.duration(seconds)} of it remain for training, "
            f"but a step takes {pace.step:.2g} s and the evaluation at the end {units.duration(evaluation)}."
        )
    return plan.scheduled(max_steps, evaluations)


def largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of a number up to a limit, or 1."""
    return next((size for size in range(min(number, limit), 1, -1) if number % size == 0), 1)


def describe_time(plan: Plan, pace: Pace) -> str:
    """Describe how long a run takes."""
    seconds = plan.seconds(pace)
    step, evaluation = f"{pace.step:.2g} s a step", f"{units.duration(pace.evaluation)} an evaluation"
    hint = "; Ctrl-C ends it early and keeps the best weights so far" if seconds > LONG_SECONDS else ""
    return f"about {units.duration(seconds)} ({step}, {evaluation}){hint}"
