"""What a run says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import GPT2LMHeadModel, TrainingArguments

from greylord import modeling, units
from greylord.corpus.manifest import Manifest
from greylord.training.callbacks import Evaluation, Guard, Interruption
from greylord.training.recipe import Pace, Plan
from greylord.training.settings import Settings

__all__ = [
    "describe_corpus",
    "describe_model",
    "describe_smoothing",
    "describe_steps",
    "describe_time",
    "why_it_ended",
    "why_nothing_was_saved",
]

LONG_SECONDS = 3_600
PUNCTUAL_SHARE = 0.9
"""Of its time budget that a run takes at least, if it goes as planned."""


def describe_model(model: GPT2LMHeadModel, origin: str) -> str:
    weights, positions = modeling.parameter_counts(model)
    shape = f"GPT-2, {modeling.shape_of(model.config)}"
    return f"{shape}, {weights / 1e6:.2f} M weights and {positions / 1e6:.2f} M for positions; {origin}"


def describe_corpus(corpus: Path, manifest: Manifest, built: bool) -> str:
    sides = ", ".join(
        f"{name} {units.size(counts.payload_bytes)} of {units.count(counts.recordings, 'recording')}"
        for name, counts in manifest.splits.items()
    )
    cut = f", each cut in two: only {units.count(manifest.groups, 'time group')}" if manifest.cut else ""
    kept = "; PASSWORDS STAND IN IT: share neither it nor the model" if manifest.settings.keep_credentials else ""
    missing = len(manifest.left_out) + len(manifest.skipped)
    without = f"; {units.count(missing, 'file')} left out" if missing else ""
    changed = len(set().union(*manifest.signs.values()))
    marked = f"; {units.count(changed, 'recording')} changed since they were recorded" if changed else ""
    why = " (`greylord data show` tells why)" if missing or changed else ""
    return f"{corpus} ({'built' if built else 'up to date'}): {sides}{cut}{without}{marked}{why}{kept}"


def describe_steps(plan: Plan, arguments: TrainingArguments) -> str:
    """Length, order, learning rate and evaluations of a run, as the Trainer gets them."""
    rare = ", rare windows likelier" if plan.chooses else ""
    short = ""
    if plan.short_steps:
        short = f"the first {plan.short_steps:,} in windows of {plan.short_length} at random positions, "
    return (
        f"{plan.max_steps:,} of {plan.windows_per_step} x {plan.context:,} tokens "
        f"({plan.max_steps / plan.steps_per_epoch:.3g} epochs{rare}), {short}"
        f"{_describe_schedule(plan, arguments)}, {units.count(plan.evaluations, 'evaluation')}"
    )


def _describe_schedule(plan: Plan, arguments: TrainingArguments) -> str:
    schedule = arguments.lr_scheduler_type.value
    if schedule == "constant":
        return f"lr {arguments.learning_rate:g} throughout"
    then = {"linear": "decays to 0", "constant_with_warmup": "stays there"}.get(schedule, f"follows {schedule}")
    warmup = units.count(arguments.get_warmup_steps(plan.max_steps), "step")
    return f"lr warms up to {arguments.learning_rate:g} over {warmup}, then {then}"


def describe_smoothing(factor: float) -> str | None:
    """What label smoothing does to the training loss; None where there is none."""
    if not factor:
        return None
    return (
        f"label smoothing {factor:g}: the training loss counts a uniform target too, so it is not the cross-entropy of "
        "the tokens; compare it with itself only. Bits per byte are not smoothed"
    )


def describe_time(plan: Plan, pace: Pace) -> str:
    seconds = plan.seconds(pace)
    text = (
        f"about {units.duration(seconds)}: {pace.step:.2g} s a step and {units.duration(pace.evaluation)} an evaluation"
    )
    if seconds > LONG_SECONDS:
        text += ". Shorten it with --time-budget 10m, or stop it with Ctrl-C, which keeps the best so far"
    return text


def why_it_ended(
    plan: Plan, steps: int, guard: Guard, interruption: Interruption, settings: Settings, seconds: float | None
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
    guard: Guard,
    interruption: Interruption,
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
