"""`greylord train`: from the folder of a dataset to the folder of a model."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import accelerate
import transformers
from accelerate.utils import broadcast_object_list
from transformers import GPT2LMHeadModel, Trainer, TrainerCallback

from greylord import modeling, runs, units
from greylord.corpus.batching import batch_size
from greylord.corpus.build import build_corpus
from greylord.corpus.manifest import Manifest, describe_corpus
from greylord.corpus.windows import Rows, ScoringWindows, TrainingWindows, sample_spans
from greylord.errors import GreylordError, UsageError
from greylord.evaluation import baselines
from greylord.evaluation.bits_per_byte import payload_bytes, protocol, stream_of
from greylord.generation import drafts
from greylord.progress import Progress
from greylord.training.callbacks import (
    Evaluation,
    GracefulStop,
    History,
    MarkComplete,
    StopOnNaN,
    why_it_ended,
    why_nothing_was_saved,
)
from greylord.training.config import Job, TrainingConfig
from greylord.training.hardware import (
    Device,
    choose_attention,
    choose_compilation,
    device_of,
    keep_freed_memory,
    missing_cuda,
    peak_memory,
)
from greylord.training.hf_trainer import describe_smoothing, describe_steps, make_trainer, training_arguments
from greylord.training.plan import Pace, Plan, context_within, describe_time, make_plan, plan_within
from greylord.training.probe import measure_pace, try_overrides
from greylord.training.run_folder import (
    Summary,
    credentials,
    freeze,
    frozen,
    frozen_plan,
    load_best,
    open_run,
    publish,
    versions,
)
from greylord.training.sampling import Order

__all__ = ["Outcome", "train"]

CLOSING_SECONDS, CLOSING_SHARE = 2, 0.015
"""Of a time budget: the model's folder is written in them, and what it says for drafts is said."""
LATENESS = 1.1
"""A run that takes this much of its time budget is stopped."""


@dataclass(frozen=True)
class Outcome:
    """A run that has been published."""

    run: Path
    summary: Summary
    evaluations: list[Evaluation]


def train(
    job: Job,
    say: Callable[[str, str], object],
    progress: Progress,
    live: Callable[[Plan, float], TrainerCallback],
) -> Outcome | None:
    """Train and publish a model. Returns None in all processes but the first.

    Args:
        job: what to do.
        say: called with a subject and a sentence for each choice that has been made.
        progress: shows the work before and after training.
        live: makes the callback that shows training, from the plan and the payload bytes in a token.

    Raises:
        GreylordError: the job cannot be done, and why. Whatever is complete is kept.
    """
    try_overrides(job)
    device = device_of(job)
    state = accelerate.PartialState(cpu=device.type == "cpu")
    if not state.is_main_process:
        say = _say_nothing
    if advice := missing_cuda():
        say("card", advice)
    settings = _with_context(job, device)
    transformers.set_seed(settings.seed)
    model, origin = _model(job, settings)
    with state.main_process_first():
        built = build_corpus(job.dataset, val_split=settings.val_split, progress=progress)
    began = time.perf_counter()
    corpus, manifest = built.folder, built.manifest
    say("corpus", describe_corpus(corpus, manifest, built.is_new))
    say("model", modeling.describe(model, origin))
    say("device", device.reason + f", {state.num_processes} processes" * (state.num_processes > 1))
    if why := keep_freed_memory(device.type):
        say("memory", why)
    attention, why = choose_attention(settings.attention, device)
    model.set_attn_implementation(attention)
    say("kernel", why)
    compiled, why = choose_compilation(settings.compile, device.type)
    say("compile", why)
    # Frozen with the rest: a run that is resumed is to compute as it did.
    settings = settings.changed({"attention": attention, "compile": compiled})
    training, validation = Rows(corpus, "train"), Rows(corpus, "validation")
    spans = sample_spans(validation)
    scored = payload_bytes(validation, spans)
    figures = {}
    if state.is_main_process:
        figures["order 2"] = baselines.measure_order_2(training, validation, spans, scored, progress)
        figures |= baselines.measure_compressors(stream_of(validation, spans), scored, progress)
    context = settings.context_window
    scoring = ScoringWindows(validation, spans, context, batch_size(device.type, context) * state.num_processes)

    if job.resume:
        plan = _frozen_plan(job.resume, manifest, state)
    else:
        plan = make_plan(
            settings,
            len(TrainingWindows(training, context)),
            context * len(scoring),
            device.type,
            state.num_processes,
            pretrained=job.model_path is not None,
            eval_steps=job.overrides.get("eval_steps"),
        )

    with open_run(job, plan, state) as run:
        checkpoints, pace = run / runs.CHECKPOINTS, None
        if not job.resume:
            arguments = training_arguments(settings, plan, device, checkpoints, job.overrides)
            budget = units.parse_duration(settings.time_budget) if settings.time_budget else None
            pace = measure_pace(model, arguments, plan, training, scoring, run, compiled, budget)
            if settings.time_budget:
                left = [_open_seconds(settings.time_budget) - (time.perf_counter() - began)]
                # Each process has a clock of its own, and all must plan as many steps.
                broadcast_object_list(left)
                plan = plan_within(left[0], plan, pace)
            if state.is_main_process:
                freeze(run, frozen(job, settings, plan, device, manifest))
        arguments = training_arguments(settings, plan, device, checkpoints, job.overrides)
        say("steps", describe_steps(plan, arguments))
        if sentence := describe_smoothing(arguments.label_smoothing_factor):
            say("loss", sentence)
        if pace:
            say("time", describe_time(plan, pace))
        history = History(run / runs.JOURNAL, plan)
        guard, interruption = StopOnNaN(), GracefulStop(_deadline(settings, began, pace))
        callbacks = [history, guard, interruption, MarkComplete()]
        if state.is_main_process:
            callbacks.append(live(plan, manifest.splits["train"].payload_bytes / manifest.splits["train"].tokens))
        order = Order(training, plan, settings.seed)
        patience = None if settings.time_budget else settings.patience
        trainer = make_trainer(model, arguments, order, scoring, patience, callbacks, compiled)
        _run(trainer, interruption, _checkpoint_to_resume(job, state, say))
        if not state.is_main_process:
            return None

        best = load_best(trainer.model, checkpoints, history.evaluations)
        if best is None:
            raise GreylordError(why_nothing_was_saved(guard, interruption, history.evaluations, arguments, job.resume))
        steps = trainer.state.global_step
        parameters, positions = modeling.parameter_counts(trainer.model)
        said = drafts.sample(trainer.model.eval(), steps * plan.tokens_per_step, progress)
        total_seconds = round(time.perf_counter() - began, 1)
        summary = Summary(
            dataset=manifest.dataset,
            data_hash=manifest.content_hash,
            best_bits_per_byte=best.bits_per_byte,
            best_step=best.step,
            protocol=protocol(context),
            scored_bytes=scored,
            baselines=figures,
            ended=why_it_ended(plan, steps, guard, interruption, settings, None if job.resume else total_seconds),
            steps=steps,
            epochs=round(steps / plan.steps_per_epoch, 3),
            tokens=steps * plan.tokens_per_step,
            bytes_seen=round(steps / plan.steps_per_epoch * manifest.splits["train"].payload_bytes),
            seconds=history.seconds,
            total_seconds=total_seconds,
            parameters=parameters,
            position_parameters=positions,
            peak_memory_bytes=peak_memory(device.type),
            device=device.reason,
            continued_from=str(job.model_path) if job.model_path else None,
            versions=versions(),
            credentials=credentials(job, manifest),
        )
        publish(run, trainer.model, history.evaluations, _losses(trainer), summary, said)
    return Outcome(run, summary, history.evaluations)


def _with_context(job: Job, device: Device) -> TrainingConfig:
    """The settings with a context: that of the model to continue from, else one that the time is enough for."""
    settings = job.settings
    if settings.context_window is not None:
        return settings
    if job.model_path is not None:
        return settings.changed({"context_window": modeling.read_config(job.model_path).n_positions})
    seconds = units.parse_duration(settings.time_budget) if settings.time_budget else math.inf
    return settings.changed({"context_window": context_within(seconds, device.type, device.bf16)})


def _frozen_plan(run: Path, manifest: Manifest, state: accelerate.PartialState) -> Plan:
    """The plan of a run that broke off. Raises GreylordError where it cannot be followed any more."""
    config, plan = runs.read_run(run).config, frozen_plan(run)
    start_anew = f"Start a new run, from its last checkpoint with --model-path {run / runs.CHECKPOINTS}/checkpoint-N."
    if config["data_hash"] != manifest.content_hash:
        raise GreylordError(
            f"The recordings of {manifest.dataset!r} have changed since {str(run)!r} began. {start_anew}"
        )
    if plan.processes != state.num_processes:
        raise GreylordError(
            f"{str(run)!r} began with {units.count(plan.processes, 'process', 'processes')}, "
            f"not {state.num_processes}; resume it with as many."
        )
    return plan


def _checkpoint_to_resume(job: Job, state: accelerate.PartialState, say: Callable[[str, str], object]) -> str | None:
    if job.resume is None:
        return None
    checkpoint, torn = runs.resume_point(job.resume)
    for path in torn:
        say("skipped", f"{path}, which was torn")
    state.wait_for_everyone()
    if state.is_main_process:
        # A later checkpoint of the same step could not take its place.
        for path in torn:
            shutil.rmtree(path)
    say("resume", f"from {checkpoint}" if checkpoint else "from the beginning: there is no checkpoint yet")
    return str(checkpoint) if checkpoint else None


def _deadline(settings: TrainingConfig, began: float, pace: Pace | None) -> float | None:
    """When a run under a time budget has to stop, so that evaluating and saving it end in time."""
    if settings.time_budget is None or pace is None:
        return None
    late = (LATENESS - 1) * units.parse_duration(settings.time_budget)
    return began + _open_seconds(settings.time_budget) + late - pace.evaluation - pace.checkpoint


def _open_seconds(time_budget: str) -> float:
    """Of a time budget, up to its closing."""
    return (1 - CLOSING_SHARE) * units.parse_duration(time_budget) - CLOSING_SECONDS


def _say_nothing(subject: str, sentence: str) -> None:
    del subject, sentence


def _model(job: Job, settings: TrainingConfig) -> tuple[GPT2LMHeadModel, str]:
    """The model to train, and where it comes from in words."""
    context = settings.context_window
    if job.model_path is None:
        model = modeling.new_model(context, modeling.preset(job.settings.preset))
        origin = "fresh"
    else:
        model = modeling.load_model(job.model_path)
        _check_preset(job.settings.preset, job.model_path, modeling.shape_of(model.config))
        before = model.config.n_positions
        model = modeling.extend_context(model, context)
        origin = f"from {job.model_path}"
        if context > before:
            origin += f", its position table lengthened from {before:,} to {context:,}"
    model.config.use_cache = False
    return model, origin


def _check_preset(preset: str | None, path: Path, shape: modeling.Shape) -> None:
    if preset is not None and modeling.preset(preset) != shape:
        raise UsageError(
            f"--preset {preset} is {modeling.preset(preset)}, but {str(path)!r} has {shape}; leave out --preset or "
            "--model-path."
        )


def _run(trainer: Trainer, interruption: GracefulStop, checkpoint: str | None) -> None:
    with interruption.handled():
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
        except KeyboardInterrupt:
            interruption.stopped_at = trainer.state.global_step


def _losses(trainer: Trainer) -> list[tuple[int, float]]:
    """Steps at which the training loss was logged, and its mean since the one before, in bits per token."""
    logged = [(entry["step"], entry["loss"] / math.log(2)) for entry in trainer.state.log_history if "loss" in entry]
    return [(step, bits) for step, bits in logged if math.isfinite(bits)]
