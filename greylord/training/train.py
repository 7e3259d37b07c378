"""`greylord train`: from the folder of a dataset to the folder of a model."""

from __future__ import annotations

import errno
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import accelerate
import torch
import transformers
from accelerate.utils import broadcast_object_list
from transformers import GPT2LMHeadModel, Trainer, TrainerCallback

from greylord import model as models
from greylord import runs, units
from greylord.corpus import build
from greylord.corpus.manifest import Manifest
from greylord.corpus.windows import Rows, ScoringWindows, TrainingWindows, sample_spans
from greylord.errors import GreylordError
from greylord.evaluation import baselines
from greylord.evaluation.bits_per_byte import batch_size, payload_bytes, protocol, stream_of
from greylord.progress import Progress
from greylord.training import report
from greylord.training.arguments import training_arguments
from greylord.training.callbacks import Evaluation, Guard, History, Interruption
from greylord.training.device import Device, choose_device, missing_cuda, peak_memory
from greylord.training.recipe import Plan, make_plan
from greylord.training.report import Summary
from greylord.training.settings import Settings
from greylord.training.trainer import Pace, make_trainer, measure_pace

__all__ = ["Job", "Outcome", "train"]

LONG_SECONDS, SHORT_SECONDS = 3_600, 600


@dataclass(frozen=True)
class Job:
    """What `train` is asked to do."""

    dataset: Path
    """The folder of the recordings; its corpus is built first if need be."""
    settings: Settings
    overrides: Mapping[str, Any]
    """Further fields of `TrainingArguments`."""
    model_path: Path | None
    """The folder of the model to continue from."""
    cpu: bool
    """Use no GPU."""


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
    settings, device = job.settings, choose_device(job.cpu)
    state = accelerate.PartialState(cpu=device.type == "cpu")
    if not state.is_main_process:
        say = _say_nothing
    if advice := missing_cuda():
        say("card", advice)
    transformers.set_seed(settings.seed)
    model, origin = _model(job)
    with state.main_process_first():
        manifest, built = build.refresh(job.dataset, val_split=settings.val_split, progress=progress)
    corpus = build.corpus_of(job.dataset)
    say("corpus", _describe_corpus(corpus, manifest, built))
    say("model", _describe_model(model, origin))
    training, validation = Rows(corpus, "train"), Rows(corpus, "validation")
    context = settings.context_window
    spans = sample_spans(validation)
    windows = TrainingWindows(training, context)
    scoring = ScoringWindows(validation, spans, context, batch_size(device.type, context) * state.num_processes)
    plan = make_plan(
        settings,
        len(windows),
        context * len(scoring),
        device.type,
        state.num_processes,
        job.overrides.get("eval_steps"),
    )
    say("device", device.reason + f", {plan.processes} processes" * (plan.processes > 1))
    say("steps", _describe_steps(plan, settings))

    with _run_folder(job.dataset.name, state) as run:
        if state.is_main_process:
            report.freeze(run, _frozen(job, plan, device, manifest))
        arguments = training_arguments(settings, plan, device, run / report.CHECKPOINTS, job.overrides)
        history = History(run / report.JOURNAL, plan.tokens_per_step)
        guard, interruption = Guard(), Interruption()
        density = manifest.splits["train"].payload_bytes / manifest.splits["train"].tokens
        callbacks = [history, guard, interruption]
        if state.is_main_process:
            callbacks.append(live(plan, density))
        trainer = make_trainer(model, arguments, windows, scoring, context, settings.patience, callbacks)
        say("time", _describe_time(plan, measure_pace(trainer, plan)))
        seconds = _run(trainer, interruption)
        _check_best(trainer, guard, settings)
        if not state.is_main_process:
            return None

        scored = payload_bytes(validation, spans)
        figures = {"order 2": baselines.order_2(training, validation, spans, scored, progress)}
        figures |= baselines.compressed(stream_of(validation, spans), scored, progress)
        steps = trainer.state.global_step
        parameters, positions = models.parameter_counts(trainer.model)
        summary = Summary(
            dataset=manifest.dataset,
            data_hash=manifest.content_hash,
            best_bits_per_byte=trainer.state.best_metric,
            best_step=trainer.state.best_global_step,
            protocol=protocol(context),
            scored_bytes=scored,
            baselines=figures,
            ended=_why_it_ended(plan, steps, guard, interruption, settings),
            steps=steps,
            epochs=round(steps / plan.steps_per_epoch, 3),
            tokens=steps * plan.tokens_per_step,
            bytes_seen=round(steps / plan.steps_per_epoch * manifest.splits["train"].payload_bytes),
            seconds=round(seconds, 1),
            parameters=parameters,
            position_parameters=positions,
            peak_memory_bytes=peak_memory(device.type),
            device=device.reason,
            continued_from=str(job.model_path) if job.model_path else None,
            versions=report.versions(),
        )
        report.publish(run, trainer.model, history.evaluations, summary)
    return Outcome(run, summary, history.evaluations)


def _say_nothing(subject: str, sentence: str) -> None:
    del subject, sentence


def _model(job: Job) -> tuple[GPT2LMHeadModel, str]:
    """The model to train, and where it comes from in words."""
    context = job.settings.context_window
    if job.model_path is None:
        model = models.fresh(context)
        origin = "fresh"
    else:
        model = models.load(job.model_path)
        before = model.config.n_positions
        model = models.with_context(model, context)
        origin = f"from {job.model_path}"
        if context > before:
            origin += f", its position table lengthened from {before:,} to {context:,}"
    model.config.use_cache = False
    return model, origin


def _describe_model(model: GPT2LMHeadModel, origin: str) -> str:
    weights, positions = models.parameter_counts(model)
    shape = f"GPT-2, {model.config.n_layer} layers of {model.config.n_embd}, {model.config.n_head} heads"
    return f"{shape}, {weights / 1e6:.2f} M weights and {positions / 1e6:.2f} M for positions; {origin}"


def _describe_corpus(corpus: Path, manifest: Manifest, built: bool) -> str:
    sides = ", ".join(
        f"{name} {units.size(counts.payload_bytes)} of {units.count(counts.recordings, 'recording')}"
        for name, counts in manifest.splits.items()
    )
    cut = f", each cut in two: only {units.count(manifest.groups, 'time group')}" if manifest.cut else ""
    return f"{corpus} ({'built' if built else 'up to date'}): {sides}{cut}"


def _describe_steps(plan: Plan, settings: Settings) -> str:
    epochs = plan.max_steps / plan.steps_per_epoch
    return (
        f"{plan.max_steps:,} of {plan.windows_per_step} x {plan.context:,} tokens ({epochs:.3g} epochs), "
        f"rate up to {settings.learning_rate:g} in {plan.warmup_steps:,} and down to 0, "
        f"{units.count(plan.evaluations, 'evaluation')}"
    )


def _describe_time(plan: Plan, pace: Pace) -> str:
    seconds = plan.max_steps * pace.step + plan.evaluations * pace.evaluation
    text = (
        f"about {units.duration(seconds)}: {pace.step:.2g} s a step and {units.duration(pace.evaluation)} an evaluation"
    )
    if seconds > LONG_SECONDS:
        short = max(1, math.floor((SHORT_SECONDS - pace.evaluation) / pace.step))
        text += (
            f". Shorten it with --max-steps {short} (about {units.duration(short * pace.step + pace.evaluation)}), "
            "or stop it with Ctrl-C, which keeps the best so far"
        )
    return text


def _frozen(job: Job, plan: Plan, device: Device, manifest: Manifest) -> dict[str, Any]:
    return {
        "dataset": manifest.dataset,
        "dataset_folder": str(job.dataset),
        "data_hash": manifest.content_hash,
        "settings": asdict(job.settings),
        "plan": asdict(plan),
        "training_arguments": dict(job.overrides),
        "device": asdict(device),
        "continued_from": str(job.model_path) if job.model_path else None,
        "versions": report.versions(),
        "pauses": manifest.pauses,
        # What the model has read, so that an evaluation on other data can leave it out.
        "trained_on": sorted(entry.sha256 for entry in manifest.recordings if entry.split != "validation"),
    }


@contextmanager
def _run_folder(name: str, state: accelerate.PartialState) -> Iterator[Path]:
    """The folder of a new run, the same in all processes. If the block fails, it stays only if it has a checkpoint."""
    names = [str(runs.new_run(name)) if state.is_main_process else ""]
    broadcast_object_list(names)
    run = Path(names[0])
    try:
        yield run
    except BaseException as error:
        checkpoints = sorted((run / report.CHECKPOINTS).glob("checkpoint-*"), key=lambda path: path.stat().st_mtime)
        if not checkpoints and state.is_main_process:
            shutil.rmtree(run, ignore_errors=True)
        kept = f" {str(checkpoints[-1])!r} is kept; continue from it with --model-path." if checkpoints else ""
        if isinstance(error, torch.OutOfMemoryError):
            raise GreylordError(f"Out of memory; try a smaller --batch-size or --context-window.{kept}") from error
        if _disk_is_full(error, run.parent):
            raise GreylordError(f"The disk of {str(run.parent)!r} is full.{kept}") from error
        raise


def _disk_is_full(error: BaseException, folder: Path) -> bool:
    # torch and safetensors raise errors of their own when a file cannot be written.
    return isinstance(error, Exception) and (
        getattr(error, "errno", None) == errno.ENOSPC
        or "No space left" in str(error)
        or ("write" in str(error) and shutil.disk_usage(folder).free < 1 << 20)
    )


def _run(trainer: Trainer, interruption: Interruption) -> float:
    """Train, and return the seconds that it took."""
    began = time.perf_counter()
    with interruption.handled():
        try:
            trainer.train()
        except KeyboardInterrupt:
            interruption.stopped_at = trainer.state.global_step
            if trainer.state.best_model_checkpoint is None:
                raise GreylordError("Interrupted before the first evaluation; nothing was kept.") from None
            trainer.model.load_state_dict(models.load(Path(trainer.state.best_model_checkpoint)).state_dict())
    return time.perf_counter() - began


def _check_best(trainer: Trainer, guard: Guard, settings: Settings) -> None:
    if trainer.state.best_model_checkpoint is None:
        raise GreylordError(
            f"The loss was no number any more at step {guard.diverged_at}, before the first evaluation; nothing was "
            f"saved. Try a lower --learning-rate than {settings.learning_rate:g}."
        )


def _why_it_ended(plan: Plan, steps: int, guard: Guard, interruption: Interruption, settings: Settings) -> str:
    if guard.diverged_at is not None:
        return f"the loss was no number any more at step {guard.diverged_at:,}"
    if interruption.stopped_at is not None:
        return f"stopped by hand at step {interruption.stopped_at:,}"
    if steps < plan.max_steps:
        return f"no better figure in {units.count(settings.patience, 'evaluation')}"
    return "all steps done"
