"""The folder of a run: its frozen plan, its best checkpoint, and the model that it publishes."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import accelerate
from accelerate.utils import broadcast_object_list
from accelerate.utils.memory import should_reduce_batch_size
from transformers import GPT2LMHeadModel

import greylord
from greylord import cards, modeling, plots, runs, units
from greylord.corpus.manifest import Manifest
from greylord.errors import GreylordError, UsageError, first_line
from greylord.files import new_folder, write_file
from greylord.generation import drafts
from greylord.json_fields import check_fields
from greylord.runs import CONFIG_NAME, HISTORY, SUMMARY
from greylord.stream.tokenizer import GreylordTokenizer, write_vocabulary
from greylord.training.callbacks import Evaluation
from greylord.training.config import MIN_CONTEXT, Job, TrainingConfig, command_line
from greylord.training.hardware import Device
from greylord.training.overrides import parse_values, written
from greylord.training.plan import Plan, largest_divisor

__all__ = [
    "Summary",
    "credentials",
    "freeze",
    "frozen",
    "frozen_plan",
    "load_best",
    "open_run",
    "publish",
    "resumed",
    "versions",
]


def versions() -> dict[str, str]:
    """The versions that a run depends on."""
    packages = ("torch", "transformers", "accelerate", "datasets", "tokenizers")
    return {"greylord": greylord.__version__, **{name: importlib.metadata.version(name) for name in packages}}


def freeze(run: Path, config: Mapping[str, Any]) -> None:
    """Write training_config.json: what decides the run, before its first step."""
    write_file(run / CONFIG_NAME, json.dumps(config, indent=1, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Summary:
    """training_summary.json."""

    dataset: str
    data_hash: str
    """The content hash of the corpus."""
    best_bits_per_byte: float
    best_step: int
    protocol: str
    scored_bytes: int
    """Payload bytes of the validation sample."""
    baselines: dict[str, float]
    """Bits per byte of others on the same bytes."""
    ended: str
    """Why training ended."""
    steps: int
    epochs: float
    tokens: int
    """Tokens trained on, padding included."""
    bytes_seen: int
    """Payload bytes among them."""
    seconds: float
    """Training and evaluations."""
    total_seconds: float
    """From the built corpus to the writing of this folder; of a resumed run, since it went on."""
    parameters: int
    """Weights without the position table."""
    position_parameters: int
    peak_memory_bytes: int
    device: str
    continued_from: str | None
    versions: dict[str, str]
    credentials: str = "unknown"
    """Whether passwords in the recordings were masked: "masked", "kept" or "unknown"."""


def publish(
    run: Path,
    model: GPT2LMHeadModel,
    evaluations: Sequence[Evaluation],
    losses: Sequence[tuple[int, float]],
    summary: Summary,
    said: Sequence[int],
) -> None:
    """Replace the folder of a run that has ended by the finished one, and let models/latest name it.

    Args:
        run: the folder.
        model: with its best weights.
        evaluations: the history.
        losses: optimizer steps, and the mean bits per token of training since the one before.
        summary: of the run.
        said: ids that the model has said, for drafts.
    """
    config = (run / CONFIG_NAME).read_text(encoding="utf-8")
    with new_folder(run) as folder:
        model.config.use_cache = True
        model.save_pretrained(folder)
        # safetensors makes the file for its owner only.
        (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)
        GreylordTokenizer(model.config.n_positions).save_pretrained(folder)
        write_vocabulary(folder)
        drafts.write(folder, said)
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
    given = {name: value for name, value in asdict(settings).items() if value != getattr(TrainingConfig(), name)}
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


def load_best(model: GPT2LMHeadModel, checkpoints: Path, evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """Load the weights of the best evaluation whose checkpoint is complete, and return that evaluation.

    The Trainer keeps the best figure and the best checkpoint apart: a run that is interrupted between an evaluation
    and its checkpoint, or resumed where a checkpoint is gone, has the figure of one and the weights of another.

    Args:
        model: whose weights are replaced.
        checkpoints: the folder of the run's checkpoints.
        evaluations: the run's history. Of equal figures the first is the best.

    Returns:
        None where no evaluation with a figure has a checkpoint; the model is then left as it is.
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
"""What a training_config.json must hold for a run to be resumed."""


def resumed(run: Path) -> Job:
    """The job of a run that broke off.

    Raises:
        UsageError: there is none to go on with, or it was begun with overrides that are no longer accepted.
        GreylordError: its training_config.json is not as greylord writes it.
    """
    found = runs.read_run(run)
    if found.summary:
        raise UsageError(f"{str(run)!r} has ended; continue from its model with --model-path {run}.")
    config, file = found.config, run / runs.CONFIG_NAME
    check_fields(file, config, _FROZEN_FIELDS)
    continued_from = config.get("continued_from")
    if continued_from is not None:
        check_fields(file, config, {"continued_from": str})
    # An older version may have accepted more.
    overrides = parse_values(config["training_arguments"], f"{str(file)!r}: ")
    frozen_plan(run)
    try:
        # Older runs knew one kernel only.
        settings = TrainingConfig(**{"attention": "sdpa", **config["settings"]})
    except (TypeError, UsageError) as error:
        raise GreylordError(f"{str(file)!r} is damaged: its settings cannot be used ({first_line(error)}).") from error
    return Job(
        dataset=Path(config["dataset_folder"]),
        settings=settings,
        overrides=overrides,
        model_path=Path(continued_from) if continued_from else None,
        cpu=config["cpu"],
        resume=run,
    )


def frozen_plan(run: Path) -> Plan:
    """Read the plan of a run that broke off. Raises GreylordError if it is not as greylord writes it."""
    plan, file = runs.read_run(run).config["plan"], run / runs.CONFIG_NAME
    kinds = {field.name: {"int": int, "float": float}[field.type] for field in fields(Plan)}
    check_fields(file, plan, {name: kind for name, kind in kinds.items() if name in plan or name != "candidates"})
    if unknown := [name for name in plan if name not in kinds]:
        raise GreylordError(f"{str(file)!r} is damaged: a plan has no {unknown[0]!r}.")
    for name in kinds:
        if name not in ("short_steps", "warmup_steps", "candidates") and not plan[name] > 0:
            raise GreylordError(f"{str(file)!r} is damaged: {name} must be above 0, not {plan[name]}.")
    return Plan(**plan)


def frozen(job: Job, settings: TrainingConfig, plan: Plan, device: Device, manifest: Manifest) -> dict[str, Any]:
    """The training_config.json of a run: all that decides it, and what the model has read by its end."""
    return {
        "dataset": manifest.dataset,
        "dataset_folder": str(job.dataset),
        "data_hash": manifest.content_hash,
        "settings": asdict(settings),
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


def _trained_on(job: Job, manifest: Manifest) -> list[str]:
    """What the model and the one it goes on from have read, so that an evaluation on other data can leave it out."""
    before = runs.read_provenance(job.model_path).trained_on if job.model_path else ()
    hashes = {entry.payload_sha256 for entry in manifest.recordings if entry.split != "validation"}
    return sorted(hashes.union(before))


def credentials(job: Job, manifest: Manifest) -> str:
    """Whether the model has read credentials: "masked" if none, "kept", or "unknown" if it goes on from a model that
    does not tell."""
    if manifest.settings.keep_credentials:
        return "kept"
    if job.model_path is None:
        return "masked"
    return runs.read_provenance(job.model_path).credentials
