"""The settings of a training run, their defaults and the values they accept."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from greylord import units
from greylord.errors import SettingError, UsageError, did_you_mean
from greylord.files import json_text
from greylord.stream.limits import MAX_CONTEXT
from greylord.workspace import HERE, Workspace

__all__ = [
    "ATTENTIONS",
    "CONFIG",
    "MIN_CONTEXT",
    "Job",
    "ResolvedConfig",
    "TrainingConfig",
    "checked",
    "read_config",
]

CONFIG = Path("config.json")
"""The settings file that is read from the current directory if no other is named."""
MIN_CONTEXT = 16
"""Tokens of the shortest context window."""
MAX_COUNT = 10**9
"""The most steps, epochs or windows."""
MAX_SEED = 2**32 - 1
"""The largest seed that numpy takes."""
MAX_SECONDS = 366 * 24 * 3_600
"""The longest time budget."""
ATTENTIONS = ("sdpa", "blockwise")
"""Attention kernels, by their names in transformers."""


@dataclass(frozen=True)
class _Rule:
    """The values that a setting accepts, and the words for them after "must be"."""

    wanted: str
    accepts: Callable[[Any], bool]


def _whole(least: int, most: int) -> _Rule:
    # bool is a subclass of int, but true is not a count.
    return _Rule(
        f"a whole number from {least:,} to {most:,}", lambda value: type(value) is int and least <= value <= most
    )


def _number(least: float, most: float, above: bool = False) -> _Rule:
    """A number from `least`, or above it, to `most`."""

    def accepts(value: Any) -> bool:
        return type(value) in (int, float) and (value > least if above else value >= least) and value <= most

    return _Rule(f"a number above {least} and at most {most}" if above else f"a number from {least} to {most}", accepts)


def _one_of(names: tuple[str, ...]) -> _Rule:
    return _Rule(" or ".join(names), lambda value: value in names)


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and units.parse_duration(value) <= MAX_SECONDS
    except UsageError:
        return False


_COUNT = _whole(1, MAX_COUNT)
_NAME = _Rule("a name", lambda value: isinstance(value, str))
_TIME = _Rule('a time up to a year, such as "90s", "10m" or "1h30m"', _is_time)
_SWITCH = _Rule("true or false", lambda value: isinstance(value, bool))
_CONTEXT = _whole(MIN_CONTEXT, MAX_CONTEXT)
_ATTENTION = _one_of(ATTENTIONS)


def _setting(default: Any, rule: _Rule, help_text: str) -> Any:
    return field(default=default, metadata={"rule": rule, "help": help_text})


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training run.

    Where None is the default, the run chooses a value itself. Each field carries its description under
    `metadata["help"]`, and the rule for its values under `metadata["rule"]`.

    Raises:
        SettingError: A value is out of range, or two settings exclude each other.
    """

    preset: str | None = _setting(None, _NAME, "Size of a new model: default, medium or large.")
    epochs: int = _setting(10, _COUNT, "Passes over the training split.")
    max_steps: int | None = _setting(None, _COUNT, "Optimizer steps; replaces epochs.")
    time_budget: str | None = _setting(
        None, _TIME, "Time from the built corpus to the saved model, such as 10m or 1h30m; replaces epochs."
    )
    batch_size: int | None = _setting(
        None, _COUNT, "Windows in an optimizer step, over all devices. Default: depends on the device."
    )
    micro_batch: int | None = _setting(
        None, _COUNT, "Windows in one forward and backward pass on a device. Default: the most that pay off."
    )
    context_window: int | None = _setting(
        None,
        _CONTEXT,
        f"Tokens that the model looks back, up to {MAX_CONTEXT:,}. Default: 1,024, or fewer for a short time budget.",
    )
    candidates: int = _setting(
        16,
        _COUNT,
        "Windows to sample each training window from, rare ones preferred, in runs below one epoch; 1 turns this off.",
    )
    learning_rate: float = _setting(6e-3, _number(0, 1, above=True), "Peak learning rate, reached after the warm-up.")
    weight_decay: float = _setting(0.1, _number(0, 10), "Weight decay of the matrices.")
    patience: int = _setting(5, _COUNT, "Evaluations without improvement before training stops.")
    val_split: float | None = _setting(
        None,
        _number(0, 0.9, above=True),
        "Share of the bytes for validation. Default: 0.2, or as the corpus was built.",
    )
    attention: str | None = _setting(
        None, _ATTENTION, f"Attention kernel: {_ATTENTION.wanted}. Default: the faster one on the device."
    )
    compile: bool | None = _setting(None, _SWITCH, "Compile the model's blocks. Default: only on a GPU.")
    seed: int = _setting(0, _whole(0, MAX_SEED), "Seed of the initial weights and of the order of the windows.")

    def __post_init__(self) -> None:
        """Check each value against the rule of its field."""
        for setting in fields(TrainingConfig):
            value, rule = getattr(self, setting.name), setting.metadata["rule"]
            is_open = value is None and setting.default is None
            if not is_open and not rule.accepts(value):
                raise SettingError(f"{setting.name} must be {rule.wanted}, not {value!r}.", setting.name)
        if self.time_budget is not None and self.max_steps is not None:
            raise SettingError("time_budget and max_steps exclude each other.", "time_budget", "max_steps")

    @property
    def budget_seconds(self) -> float | None:
        """The time budget in seconds, if there is one."""
        return None if self.time_budget is None else units.parse_duration(self.time_budget)

    def changed(self, values: Mapping[str, Any]) -> TrainingConfig:
        """Return these settings with the values that are not None."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})

    def resolved(self, context_window: int, attention: str, compile: bool) -> ResolvedConfig:
        """Return these settings with the values that the run has chosen."""
        chosen = {"context_window": context_window, "attention": attention, "compile": compile}
        return ResolvedConfig(**{**{setting.name: getattr(self, setting.name) for setting in fields(self)}, **chosen})


# help(TrainingConfig) lists the fields with the descriptions that the command line shows.
TrainingConfig.__doc__ = "\n".join(
    [
        inspect.cleandoc(TrainingConfig.__doc__ or ""),
        "\nAttributes:",
        *(f"    {setting.name}: {setting.metadata['help']}" for setting in fields(TrainingConfig)),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(TrainingConfig):
    """The settings of a run after its choices.

    Context window, attention kernel and compilation are set.
    """

    context_window: int
    attention: str
    compile: bool


def read_config(path: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a settings file.

    Args:
        path: A JSON file; None for config.json in the current directory, if there is one.

    Returns:
        The settings by field, not yet checked, and the `TrainingArguments` fields under the key "set".

    Raises:
        UsageError: The file is missing or damaged, or has an unknown key.
    """
    if path is None:
        if not CONFIG.is_file():
            return {}, {}
        path = CONFIG
    try:
        content = json.loads(json_text(path))
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"{str(path)!r} is not JSON: {error.msg} ({place}).") from error
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


def checked(values: Mapping[str, Any], path: Path | None) -> TrainingConfig:
    """Return the default settings with those that `read_config` has read.

    Args:
        values: Settings by field.
        path: The file that they come from, for the message; None for config.json.

    Raises:
        UsageError: A value is out of range, or two settings exclude each other.
    """
    try:
        return TrainingConfig().changed(values)
    except SettingError as error:
        # Not a SettingError: the file has names of settings, not flags.
        raise UsageError(f"{str(path or CONFIG)!r}: {error}") from error


@dataclass(frozen=True)
class Job:
    """A training run as it is asked for.

    Attributes:
        dataset: Folder of the recordings. Its corpus is built first if it is missing or out of date.
        overrides: Further fields of `transformers.TrainingArguments`.
        model_path: Folder of a model to continue from; None for a new model.
        cpu: Use no GPU.
        resume: Folder of an interrupted run to resume.
        workspace: Where corpora and models lie.

    Raises:
        SettingError: Two of them exclude each other.
    """

    dataset: Path
    config: TrainingConfig = TrainingConfig()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    model_path: Path | None = None
    cpu: bool = False
    resume: Path | None = None
    workspace: Workspace = HERE

    def __post_init__(self) -> None:
        if self.config.time_budget is not None and "eval_steps" in self.overrides:
            raise SettingError(
                "time_budget excludes eval_steps: the budget decides when the model is evaluated.", "time_budget"
            )
