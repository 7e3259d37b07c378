"""What a run is asked to do, and the record of it that its folder keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from greylord import runs
from greylord.corpus.manifest import Manifest
from greylord.errors import UsageError
from greylord.training import report
from greylord.training.device import Device, choose_device
from greylord.training.overrides import check_overrides, parse_values
from greylord.training.recipe import Plan
from greylord.training.settings import Settings

__all__ = ["Job", "credentials", "frozen", "resumed"]


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

    Raises UsageError if there is none to go on with, or if it was begun with overrides that are no longer accepted.
    """
    found = runs.read_run(run)
    if found.summary:
        raise UsageError(f"{str(run)!r} has ended; continue from its model with --model-path {run}.")
    config = found.config
    return Job(
        dataset=Path(config["dataset_folder"]),
        # Older runs knew one kernel only.
        settings=Settings(**{"attention": "sdpa", **config["settings"]}),
        # An older version may have accepted more.
        overrides=parse_values(config["training_arguments"], f"{str(run / runs.CONFIG_NAME)!r}: "),
        model_path=Path(config["continued_from"]) if config["continued_from"] else None,
        cpu=config["cpu"],
        resume=run,
    )


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
    before = runs.read_json(job.model_path / runs.CONFIG_NAME) if job.model_path else None
    hashes = {entry.payload_sha256 for entry in manifest.recordings if entry.split != "validation"}
    return sorted(hashes.union((before or {}).get("trained_on", ())))


def credentials(job: Job, manifest: Manifest) -> str:
    """Whether the model has read credentials: "masked" if none, "kept", or "unknown" if it goes on from a model that
    does not tell."""
    if manifest.settings.keep_credentials:
        return "kept"
    if job.model_path is None:
        return "masked"
    return (runs.read_json(job.model_path / runs.CONFIG_NAME) or {}).get("credentials", "unknown")
