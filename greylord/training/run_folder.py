"""The folder of a run: training_config.json, checkpoints, and the final model."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import math
import shutil
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import accelerate
from accelerate.utils import broadcast_object_list
from accelerate.utils.memory import should_reduce_batch_size
from transformers import GPT2LMHeadModel

from greylord import cards, modeling, plots, runs, units
from greylord.corpus.manifest import Manifest
from greylord.errors import GreylordError, OutOfMemoryError, SettingError, TrainingError, UsageError, first_line
from greylord.files import new_folder, write_file
from greylord.generation import drafts
from greylord.json_fields import check_fields
from greylord.runs import CONFIG_NAME, HISTORY, SUMMARY
from greylord.stream.tokenizer import Tokenizer, write_vocabulary
from greylord.training.callbacks import Evaluation
from greylord.training.config import MIN_CONTEXT, Job, ResolvedConfig, TrainingConfig
from greylord.training.hardware import Device
from greylord.training.overrides import parse_values
from greylord.training.plan import Plan, largest_divisor
from greylord.version import __version__
from greylord.workspace import HERE, Workspace

__all__ = [
    "Summary",
    "credentials",
    "load_best",
    "open_run",
    "publish_folder",
    "read_plan",
    "resumed",
    "versions",
    "write_config",
]


def versions() -> dict[str, str]:
    """Return the versions of greylord and of the packages that a run depends on."""
    packages = ("torch", "transformers", "accelerate", "datasets", "tokenizers")
    return {"greylord": __version__, **{name: importlib.metadata.version(name) for name in packages}}


@dataclass(frozen=True)
class Summary:
    """The content of training_summary.json.

    Attributes:
        data_hash: Content hash of the corpus.
        protocol: Protocol of the figure, in words.
        scored_bytes: Payload bytes of the validation sample.
        baselines: Bits per byte of compressors and of an order 2 model on the same bytes.
        ended: The reason why training ended, in words.
        tokens: Tokens trained on, padding included.
        bytes_seen: Payload bytes trained on.
        seconds: Duration of training and evaluations.
        total_seconds: Duration from the built corpus to the end; for a resumed run, since it was resumed.
        parameters: Parameters outside the position table.
        position_parameters: Parameters of the position table.
        device: Description of the device.
        continued_from: Folder of the model that training continued from.
        credentials: Treatment of passwords in the recordings: "masked", "kept" or "unknown".
    """

    dataset: str
    data_hash: str
    best_bits_per_byte: float
    best_step: int
    protocol: str
    scored_bytes: int
    baselines: dict[str, float]
    ended: str
    steps: int
    epochs: float
    tokens: int
    bytes_seen: int
    seconds: float
    total_seconds: float
    parameters: int
    position_parameters: int
    peak_memory_bytes: int
    device: str
    continued_from: str | None
    versions: dict[str, str]
    credentials: str = "unknown"


def publish_folder(
    run: Path,
    model: GPT2LMHeadModel,
    evaluations: Sequence[Evaluation],
    losses: Sequence[tuple[int, float]],
    summary: Summary,
    draft_ids: Sequence[int],
) -> None:
    """Replace the folder of a run by that of the finished model, in one step.

    models/latest then names the folder.

    Args:
        run: The folder.
        model: The model with its best weights.
        evaluations: The history.
        losses: Pairs of an optimizer step and the mean training loss since the last pair, in bits per token.
        draft_ids: Sampled ids for prompt lookup.
    """
    config = (run / CONFIG_NAME).read_text(encoding="utf-8")
    with new_folder(run) as folder:
        model.config.use_cache = True
        model.save_pretrained(folder)
        # safetensors lets only the owner read the file.
        (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)
        Tokenizer(model.config.n_positions).save_pretrained(folder)
        write_vocabulary(folder)
        drafts.write(folder, draft_ids)
        write_file(folder / CONFIG_NAME, config)
        history = json.dumps([asdict(evaluation) for evaluation in evaluations], indent=1)
        (folder / HISTORY).write_text(history + "\n", encoding="utf-8")
        text = json.dumps(asdict(summary), indent=1, ensure_ascii=False)
        write_file(folder / SUMMARY, text + "\n")
        (folder / "training_curves.png").write_bytes(_curves(run.name, evaluations, losses, summary))
        card = cards.model_card(run.name, model.config, asdict(summary))
        (folder / runs.CARD).write_text(str(card), encoding="utf-8")
    runs.mark_latest(run)


def _curves(
    name: str, evaluations: Sequence[Evaluation], losses: Sequence[tuple[int, float]], summary: Summary
) -> bytes:
    return plots.training_curves(
        steps=[evaluation.step for evaluation in evaluations],
        validation=[evaluation.bits_per_byte for evaluation in evaluations],
        training=losses,
        best_step=summary.best_step,
        baselines=summary.baselines,
        title=f"{name}: {summary.best_bits_per_byte:.3f} bits per byte after {units.duration(summary.seconds)}",
        label_smoothing=max(evaluation.label_smoothing for evaluation in evaluations),
    )


@contextmanager
def open_run(job: Job, plan: Plan, state: accelerate.PartialState) -> Iterator[Path]:
    """Make or reopen the folder of a run. All processes get the same one.

    If the block fails, a new folder without a checkpoint is removed.

    Args:
        plan: Decides what to advise when memory runs out; its number of steps does not matter.

    Raises:
        TrainingError: The block ran out of memory or disk space.
    """
    names = [
        str(job.resume or runs.new_run(job.dataset.name, workspace=job.workspace)) if state.is_main_process else ""
    ]
    broadcast_object_list(names)
    run = Path(names[0])
    try:
        yield run
    except BaseException as error:
        checkpoint, _ = runs.resume_point(run)
        if checkpoint is None and job.resume is None and state.is_main_process:
            shutil.rmtree(run, ignore_errors=True)
        resumable = run if checkpoint else None
        if isinstance(error, Exception) and should_reduce_batch_size(error):
            windows = units.count(plan.micro_batch, "window")
            raise OutOfMemoryError(
                f"Out of memory with passes of {windows} of {plan.context:,} tokens.", _smaller(plan), resumable
            ) from error
        if _disk_is_full(error, run.parent):
            raise TrainingError(f"The disk of {str(run.parent)!r} is full.", resumable=resumable) from error
        raise


def _smaller(plan: Plan) -> dict[str, int]:
    """Return settings that halve the memory of a pass.

    A pass has half the windows or, if it has one, half the context. The optimizer step keeps its tokens.
    """
    context, batch, micro_batch = plan.context, plan.windows_per_step, 1
    if plan.micro_batch > 1:
        micro_batch = largest_divisor(plan.micro_batch * plan.accumulation, plan.micro_batch // 2)
    else:
        context, batch = max(MIN_CONTEXT, context // 2), 2 * batch
    return {"context_window": context, "batch_size": batch, "micro_batch": micro_batch}


def _disk_is_full(error: BaseException, folder: Path) -> bool:
    # torch and safetensors raise errors of their own when a file cannot be written.
    return isinstance(error, Exception) and (
        getattr(error, "errno", None) == errno.ENOSPC
        or "No space left" in str(error)
        or ("write" in str(error) and shutil.disk_usage(folder).free < 1 << 20)
    )


def load_best(model: GPT2LMHeadModel, checkpoints: Path, evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """Load the weights of the best evaluation that has a complete checkpoint.

    The Trainer tracks the best figure and the best checkpoint separately. After an interruption between an evaluation
    and its checkpoint, or if a checkpoint is missing on resuming, they can belong to different steps.

    Args:
        model: The model that gets the weights.
        checkpoints: Folder of the run's checkpoints.
        evaluations: History of the run. The first of several equal figures is the best.

    Returns:
        The evaluation. None if no evaluation with a finite figure has a checkpoint; the model is then unchanged.
    """
    folders = {evaluation: checkpoints / f"checkpoint-{evaluation.step}" for evaluation in evaluations}
    candidates = [
        evaluation
        for evaluation, folder in folders.items()
        if math.isfinite(evaluation.bits_per_byte) and (folder / runs.COMPLETE).is_file()
    ]
    best = min(candidates, key=lambda evaluation: evaluation.bits_per_byte, default=None)
    if best is not None:
        model.load_state_dict(modeling.load_model(folders[best]).state_dict())
    return best


_FROZEN_FIELDS = {"dataset_folder": str, "settings": dict, "training_arguments": dict, "cpu": bool}
"""Fields that training_config.json needs for a run to be resumed, with their types."""


def resumed(run: Path, workspace: Workspace = HERE) -> Job:
    """Read the job of an interrupted run, to resume it.

    Args:
        run: The folder.
        workspace: Where the corpus of the run lies.

    Raises:
        UsageError: The run has ended, or it began with overrides that are no longer accepted.
        GreylordError: Its training_config.json is damaged.
    """
    record = runs.read_run(run)
    if record.summary:
        raise SettingError(f"{str(run)!r} has ended; give it as model_path to continue from its model.", "model_path")
    content, file = record.config, run / runs.CONFIG_NAME
    check_fields(file, content, _FROZEN_FIELDS)
    continued_from = content.get("continued_from")
    if continued_from is not None:
        check_fields(file, content, {"continued_from": str})
    # An older version may have accepted more overrides.
    overrides = parse_values(content["training_arguments"], f"{str(file)!r}: ")
    read_plan(run)
    try:
        # Older runs had one kernel only.
        config = TrainingConfig(**{"attention": "sdpa", **content["settings"]})
    except (TypeError, UsageError) as error:
        raise GreylordError(f"{str(file)!r} is damaged: its settings cannot be used ({first_line(error)}).") from error
    return Job(
        dataset=Path(content["dataset_folder"]),
        config=config,
        overrides=overrides,
        model_path=Path(continued_from) if continued_from else None,
        cpu=content["cpu"],
        resume=run,
        workspace=workspace,
    )


def read_plan(run: Path) -> Plan:
    """Read the plan of an interrupted run.

    Raises:
        GreylordError: Its training_config.json is damaged.
    """
    plan, file = runs.read_run(run).config["plan"], run / runs.CONFIG_NAME
    kinds = typing.get_type_hints(Plan)
    check_fields(file, plan, {name: kind for name, kind in kinds.items() if name in plan or name != "candidates"})
    if unknown := [name for name in plan if name not in kinds]:
        raise GreylordError(f"{str(file)!r} is damaged: a plan does not have {unknown[0]!r}.")
    for name in kinds:
        if name not in ("short_steps", "warmup_steps", "candidates") and not plan[name] > 0:
            raise GreylordError(f"{str(file)!r} is damaged: {name} must be above 0, not {plan[name]}.")
    return Plan(**plan)


def write_config(run: Path, job: Job, config: ResolvedConfig, plan: Plan, device: Device, manifest: Manifest) -> None:
    """Write training_config.json, before the first step.

    It holds everything that decides the run, and its training data.
    """
    content = {
        "dataset": manifest.dataset,
        "dataset_folder": str(job.dataset),
        "data_hash": manifest.content_hash,
        "settings": asdict(config),
        "plan": asdict(plan),
        "training_arguments": dict(job.overrides),
        "device": asdict(device),
        "cpu": job.cpu,
        "continued_from": str(job.model_path) if job.model_path else None,
        "versions": versions(),
        "credentials": credentials(job, manifest),
        "pauses": manifest.pauses,
        "trained_on": _trained_on(job, manifest),
    }
    write_file(run / CONFIG_NAME, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _trained_on(job: Job, manifest: Manifest) -> list[str]:
    """Return the payload hashes of all training recordings.

    They include those of the model that the job continues from. An evaluation on other data leaves them out.
    """
    before = runs.read_provenance(job.model_path).trained_on if job.model_path else ()
    hashes = {entry.payload_sha256 for entry in manifest.recordings if entry.split != "validation"}
    return sorted(hashes.union(before))


def credentials(job: Job, manifest: Manifest) -> str:
    """Return the treatment of passwords in the training data.

    Returns:
        "kept", "masked", or "unknown" if the job continues from a model without this record.
    """
    if manifest.settings.keep_credentials:
        return "kept"
    if job.model_path is None:
        return "masked"
    return runs.read_provenance(job.model_path).credentials
