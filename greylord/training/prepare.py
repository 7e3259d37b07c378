"""The first stage of training: the device, the model and the data of a run."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import accelerate
import transformers
from transformers import GPT2LMHeadModel

from greylord import modeling, runs, units
from greylord.corpus.batching import batch_size
from greylord.corpus.build import build_corpus
from greylord.corpus.manifest import Manifest, describe_corpus
from greylord.corpus.windows import Rows, ScoringWindows, TrainingWindows, sample_spans
from greylord.errors import SettingError, TrainingError
from greylord.evaluation import baselines
from greylord.evaluation.bits_per_byte import payload_bytes, stream_of
from greylord.progress import Progress
from greylord.training.config import Job, ResolvedConfig
from greylord.training.hardware import (
    Device,
    choose_attention,
    choose_compilation,
    device_of,
    keep_freed_memory,
    missing_cuda,
)
from greylord.training.plan import Plan, context_within, make_plan
from greylord.training.run_folder import read_plan

__all__ = ["Data", "Prepared", "Say", "prepare"]


class Say(Protocol):
    """Shows a line about the run: a label and a text.

    Details are for users who ask for them.
    """

    def __call__(self, label: str, text: str, /, detail: bool = False) -> object: ...


@dataclass(frozen=True)
class Data:
    """The corpus of a run.

    Attributes:
        rows: Recordings of the training split, uint16 [tokens] each.
        scoring: Windows of an evaluation.
        scored_bytes: Payload bytes that an evaluation scores.
        baselines: Bits per byte of other models on the same bytes; empty in all processes but the first.
    """

    manifest: Manifest
    rows: Rows
    scoring: ScoringWindows
    scored_bytes: int
    baselines: dict[str, float]


@dataclass(frozen=True)
class Prepared:
    """A run with its model, device and data.

    Attributes:
        state: The group of processes that train together.
        outline: The plan by the settings and the corpus. A time budget later decides its number of steps.
        started: Time by `time.perf_counter()` at which the corpus was built.
        say: Shows a line in the first process only.
    """

    job: Job
    config: ResolvedConfig
    device: Device
    state: accelerate.PartialState
    model: GPT2LMHeadModel
    data: Data
    outline: Plan
    started: float
    say: Say
    progress: Progress


def prepare(job: Job, say: Say, progress: Progress) -> Prepared:
    """Choose the device, make the model and build the corpus."""
    device = device_of(job)
    state = accelerate.PartialState(cpu=device.type == "cpu")
    if not state.is_main_process:
        say = _say_nothing
    if advice := missing_cuda():
        say("warning", advice)
    context = _context_window(job, device)
    transformers.set_seed(job.config.seed)
    model, origin = _make_model(job, context)
    with state.main_process_first():
        corpus = build_corpus(job.dataset, val_split=job.config.val_split, progress=progress, workspace=job.workspace)
    started = time.perf_counter()
    say("corpus", describe_corpus(corpus.folder, corpus.manifest, corpus.is_new))
    say("model", modeling.describe(model, origin))
    say("device", device.reason + f", {state.num_processes} processes" * (state.num_processes > 1))
    if memory := keep_freed_memory(device.type):
        say("malloc", memory, detail=True)
    config = _resolve(job, context, model, device, say)
    data = _read_data(corpus.folder, corpus.manifest, config, device, state, progress)
    if job.resume:
        outline = _checked_plan(job.resume, corpus.manifest, state)
    else:
        outline = make_plan(
            config,
            len(TrainingWindows(data.rows, context)),
            context * len(data.scoring),
            device.type,
            state.num_processes,
            pretrained=job.model_path is not None,
            eval_steps=job.overrides.get("eval_steps"),
        )
    return Prepared(job, config, device, state, model, data, outline, started, say, progress)


def _say_nothing(label: str, text: str, detail: bool = False) -> None:
    del label, text, detail


def _context_window(job: Job, device: Device) -> int:
    """Return the context window of a run.

    It is that of the settings, else of the model to continue from, else one that suits the time.
    """
    if job.config.context_window is not None:
        return job.config.context_window
    if job.model_path is not None:
        return modeling.read_config(job.model_path).n_positions
    return context_within(job.config.budget_seconds or math.inf, device.type, device.bf16)


def _make_model(job: Job, context: int) -> tuple[GPT2LMHeadModel, str]:
    """Make or load the model to train. Returns it, and its origin in words."""
    if job.model_path is None:
        model = modeling.new_model(context, modeling.preset(job.config.preset))
        origin = "new"
    else:
        model = modeling.load_model(job.model_path)
        _check_preset(job.config.preset, job.model_path, modeling.shape_of(model.config))
        before = model.config.n_positions
        model = modeling.extend_context(model, context)
        origin = f"continues {job.model_path}"
        if context > before:
            origin += f", position table extended from {before:,} to {context:,}"
    model.config.use_cache = False
    return model, origin


def _check_preset(preset: str | None, path: Path, shape: modeling.Shape) -> None:
    if preset is not None and modeling.preset(preset) != shape:
        raise SettingError(
            f"preset {preset} is {modeling.preset(preset)}, but {str(path)!r} has {shape}; leave out preset or "
            "model_path.",
            "preset",
            "model_path",
        )


def _resolve(job: Job, context: int, model: GPT2LMHeadModel, device: Device, say: Say) -> ResolvedConfig:
    """Choose what the settings leave open, and set the model's attention kernel."""
    attention, description = choose_attention(job.config.attention, device)
    model.set_attn_implementation(attention)
    say("kernel", description, detail=True)
    compiled, description = choose_compilation(job.config.compile, device.type)
    say("compile", description, detail=True)
    return job.config.resolved(context, attention, compiled)


def _read_data(
    corpus: Path,
    manifest: Manifest,
    config: ResolvedConfig,
    device: Device,
    state: accelerate.PartialState,
    progress: Progress,
) -> Data:
    """Open the corpus, and score the baselines in the first process."""
    rows, validation = Rows(corpus, "train"), Rows(corpus, "validation")
    spans = sample_spans(validation)
    scored_bytes = payload_bytes(validation, spans)
    figures = {}
    if state.is_main_process:
        figures["order 2"] = baselines.measure_order_2(rows, validation, spans, scored_bytes, progress)
        figures |= baselines.measure_compressors(stream_of(validation, spans), scored_bytes, progress)
    context = config.context_window
    scoring = ScoringWindows(validation, spans, context, batch_size(device.type, context) * state.num_processes)
    return Data(manifest, rows, scoring, scored_bytes, figures)


def _checked_plan(folder: Path, manifest: Manifest, state: accelerate.PartialState) -> Plan:
    """Read the plan of an interrupted run.

    Raises TrainingError if it cannot be followed here.
    """
    content, interrupted = runs.read_run(folder).config, read_plan(folder)
    if content["data_hash"] != manifest.content_hash:
        raise TrainingError(
            f"The recordings of {manifest.dataset!r} have changed since {str(folder)!r} began. Start a new run; with "
            f"model_path {folder / runs.CHECKPOINTS}/checkpoint-N it continues from the last checkpoint.",
            "model_path",
        )
    if interrupted.processes != state.num_processes:
        raise TrainingError(
            f"{str(folder)!r} began with {units.count(interrupted.processes, 'process', 'processes')}, "
            f"not {state.num_processes}; resume it with the same number."
        )
    return interrupted
