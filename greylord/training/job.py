"""What a run is asked to do, and the record of it that its folder keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from greylord import runs
from greylord.corpus.manifest import Manifest
from greylord.errors import GreylordError, UsageError, first_line
from greylord.json_fields import check_fields
from greylord.training import report
from greylord.training.device import Device, choose_device
from greylord.training.overrides import check_overrides, parse_values
from greylord.training.recipe import Plan
from greylord.training.settings import Settings

__all__ = ["Job", "credentials", "frozen", "frozen_plan", "resumed"]

_FROZEN_FIELDS = {"dataset_folder": str, "settings": dict, "training_arguments": dict, "cpu": bool}
"""What a training_config.json must hold for a run to be resumed."""


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
    resume: Path | None = None
    """The folder of a run that broke off, to be continued as if it had not."""

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be overridden, and for what cannot be had together."""
        check_overrides(self.overrides)
        if self.settings.time_budget is not None and "eval_steps" in self.overrides:
            raise UsageError("--time-budget and --set eval_steps exclude each other: the budget decides that.")

    @property
    def device(self) -> Device:
        """What the run computes on."""
        return choose_device(self.cpu, self.overrides.get("bf16"), self.overrides.get("fp16", False))


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
        settings = Settings(**{"attention": "sdpa", **config["settings"]})
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


def frozen(job: Job, settings: Settings, plan: Plan, device: Device, manifest: Manifest) -> dict[str, Any]:
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
        "versions": report.versions(),
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
