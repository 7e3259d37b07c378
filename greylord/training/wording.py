"""What a run says of itself."""

from __future__ import annotations

from pathlib import Path

from transformers import GPT2LMHeadModel

from greylord import model as models
from greylord import units
from greylord.corpus.manifest import Manifest
from greylord.training.callbacks import Guard, Interruption
from greylord.training.recipe import Pace, Plan
from greylord.training.settings import Settings

__all__ = ["describe_corpus", "describe_model", "describe_steps", "describe_time", "why_it_ended"]

LONG_SECONDS = 3_600
PUNCTUAL_SHARE = 0.9
"""Of its time budget that a run takes at least, if it goes as planned."""


def describe_model(model: GPT2LMHeadModel, origin: str) -> str:
    weights, positions = models.parameter_counts(model)
    shape = f"GPT-2, {models.shape_of(model.config)}"
    return f"{shape}, {weights / 1e6:.2f} M weights and {positions / 1e6:.2f} M for positions; {origin}"


def describe_corpus(corpus: Path, manifest: Manifest, built: bool) -> str:
    sides = ", ".join(
        f"{name} {units.size(counts.payload_bytes)} of {units.count(counts.recordings, 'recording')}"
        for name, counts in manifest.splits.items()
    )
    cut = f", each cut in two: only {units.count(manifest.groups, 'time group')}" if manifest.cut else ""
    kept = "; PASSWORDS STAND IN IT: share neither it nor the model" if manifest.settings.keep_credentials else ""
    return f"{corpus} ({'built' if built else 'up to date'}): {sides}{cut}{kept}"


def describe_steps(plan: Plan, settings: Settings) -> str:
    rare = ", rare windows likelier" if plan.chooses else ""
    short = ""
    if plan.short_steps:
        short = f"the first {plan.short_steps:,} in windows of {plan.short_length} at random positions, "
    return (
        f"{plan.max_steps:,} of {plan.windows_per_step} x {plan.context:,} tokens "
        f"({plan.max_steps / plan.steps_per_epoch:.3g} epochs{rare}), {short}"
        f"rate up to {settings.learning_rate:g} in {plan.warmup_steps:,} and down to 0, "
        f"{units.count(plan.evaluations, 'evaluation')}"
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
