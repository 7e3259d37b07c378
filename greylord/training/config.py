"""What a training run can be told, with its defaults. A config.json overrides them, flags override both."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from greylord import units
from greylord.errors import UsageError, did_you_mean
from greylord.files import json_text
from greylord.stream.limits import MAX_CONTEXT

__all__ = ["ATTENTIONS", "CONFIG", "MIN_CONTEXT", "Job", "TrainingConfig", "command_line", "read_config"]

CONFIG = Path("config.json")
"""Read from the working directory unless --config names another."""
MIN_CONTEXT = 16
MAX_COUNT, MAX_SEED, MAX_SECONDS = 10**9, 2**32 - 1, 366 * 24 * 3_600
"""The most steps, epochs or windows; the largest seed that numpy takes; and the longest time budget, in seconds."""
ATTENTIONS = ("sdpa", "blockwise")
"""Kernels of attention."""


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class TrainingConfig:
    """The defaults of `greylord train`. Each field's help is the help of its flag."""

    preset: str | None = _setting(None, "Size of a fresh model: default, medium or large.")
    epochs: int = _setting(10, "Passes over the training split.")
    max_steps: int | None = _setting(None, "Optimizer steps; decides instead of --epochs.")
    time_budget: str | None = _setting(
        None, "Time from the built corpus to the saved model, as 10m or 1h30m; decides instead of --epochs."
    )
    batch_size: int | None = _setting(None, "Windows an optimizer step, over all devices; chosen by the device.")
    micro_batch: int | None = _setting(None, "Windows of one device in one pass; chosen if not given.")
    context_window: int | None = _setting(
        None, "Tokens the model looks back, up to 8,192; 1,024, or fewer if the time budget is short."
    )
    candidates: int = _setting(
        16, "Windows offered for each that is read, rare ones likelier, if not all are read anyway; 1: all alike."
    )
    learning_rate: float = _setting(6e-3, "Peak rate, after the warm-up.")
    weight_decay: float = _setting(0.1, "Decay of the matrices' weights.")
    patience: int = _setting(5, "Evaluations without a better figure before training stops.")
    val_split: float | None = _setting(None, "Share of the bytes that validates; 0.2, or as the corpus has it.")
    attention: str | None = _setting(None, f"Kernel of attention: {' or '.join(ATTENTIONS)}; chosen by the device.")
    compile: bool | None = _setting(None, "Compile the model's blocks; chosen by the device.")
    seed: int = _setting(0, "Draws the weights and the order of the windows.")

    def __post_init__(self) -> None:
        """Raise UsageError for a value that cannot be meant."""
        if not isinstance(self.time_budget, str | None):
            raise UsageError(f'--time-budget must be a time in quotes, as "10m", not {self.time_budget!r}.')
        if self.time_budget is not None:
            if units.parse_duration(self.time_budget) > MAX_SECONDS:
                raise UsageError(f"--time-budget may be a year at most, not {self.time_budget!r}.")
            if self.max_steps is not None:
                raise UsageError("--time-budget and --max-steps exclude each other.")
        if not isinstance(self.preset, str | None):
            raise UsageError(f"--preset must be a name, not {self.preset!r}.")
        for name in ("epochs", "max_steps", "batch_size", "micro_batch", "candidates", "patience"):
            value = getattr(self, name)
            if value is not None and not (_is_whole(value) and 1 <= value <= MAX_COUNT):
                raise UsageError(f"{_flag(name)} must be a whole number from 1 to {MAX_COUNT:,}, not {value!r}.")
        context = self.context_window
        if context is not None and not (_is_whole(context) and MIN_CONTEXT <= context <= MAX_CONTEXT):
            raise UsageError(f"--context-window must lie between {MIN_CONTEXT} and {MAX_CONTEXT:,}, not {context!r}.")
        for name, low, high in (("learning_rate", 0, 1), ("weight_decay", -1e-9, 10), ("val_split", 0, 0.9)):
            value = getattr(self, name)
            if value is not None and not (type(value) in (int, float) and low < value <= high):
                raise UsageError(f"{_flag(name)} must lie between {max(low, 0)} and {high}, not {value!r}.")
        if self.attention not in (None, *ATTENTIONS):
            raise UsageError(f"--attention must be {' or '.join(ATTENTIONS)}, not {self.attention!r}.")
        if not isinstance(self.compile, bool | None):
            raise UsageError(f"compile must be true or false, not {self.compile!r}.")
        if not (_is_whole(self.seed) and 0 <= self.seed <= MAX_SEED):
            raise UsageError(f"--seed must be a whole number from 0 to {MAX_SEED:,}, not {self.seed!r}.")

    def changed(self, values: Mapping[str, Any]) -> TrainingConfig:
        """These settings with the values that are not None."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})


def _is_whole(value: object) -> bool:
    # bool is a subclass of int, but true is not a count.
    return type(value) is int


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def command_line(values: Mapping[str, Any], *more: str) -> str:
    """The `greylord train` line of settings by name, None left out, and of further arguments."""
    flags = [text for name, value in values.items() if value is not None for text in (_flag(name), str(value))]
    return shlex.join(["greylord", "train", *flags, *more])


def read_config(path: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a config.json, and the `TrainingArguments` fields under its key "set".

    With None config.json of the working directory is read, if there is one. Raises UsageError for a file that is
    missing, damaged or has a key that no setting has.
    """
    if path is None:
        if not CONFIG.is_file():
            return {}, {}
        path = CONFIG
    try:
        content = json.loads(json_text(path))
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{str(path)!r} is not JSON in UTF-8 or UTF-16: {error}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("set", {}), dict):
        raise UsageError(f'{str(path)!r} must hold settings by name, as {{"epochs": 10}}.')
    overrides = content.pop("set", {})
    known = [setting.name for setting in fields(TrainingConfig)]
    for name in content:
        if name not in known:
            raise UsageError(f"{str(path)!r} has an unknown setting {name!r}.{did_you_mean(name, [*known, 'set'])}")
    return content, overrides


@dataclass(frozen=True)
class Job:
    """What `train` is asked to do."""

    dataset: Path
    """The folder of the recordings; its corpus is built first if need be."""
    settings: TrainingConfig
    overrides: Mapping[str, Any]
    """Further fields of `TrainingArguments`."""
    model_path: Path | None
    """The folder of the model to continue from."""
    cpu: bool
    """Use no GPU."""
    resume: Path | None = None
    """The folder of a run that broke off, to be continued as if it had not."""

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be had together."""
        if self.settings.time_budget is not None and "eval_steps" in self.overrides:
            raise UsageError("--time-budget and --set eval_steps exclude each other: the budget decides that.")
