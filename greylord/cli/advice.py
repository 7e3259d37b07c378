"""What the command line adds to an error of the library: flags for settings, and the command to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from greylord.errors import (
    AmbiguousDatasetError,
    EmptyDatasetError,
    GreylordError,
    MissingDatasetError,
    NoDatasetError,
    OutOfMemoryError,
    OverrideError,
    SettingError,
    TrainingError,
    UnmaskedCredentialsError,
    UsageError,
)

__all__ = ["command_line", "exit_code", "flag", "sentence", "with_flags"]


def _use_setting(error: OverrideError) -> str:
    return f"Use {flag(error.setting)}." if error.setting else ""


def _resume(error: TrainingError) -> str:
    return f"Go on from its last checkpoint with --resume {error.resumable}." if error.resumable else ""


def _train_smaller(error: OutOfMemoryError) -> str:
    flags = " ".join(f"{flag(setting)} {value}" for setting, value in error.smaller.items())
    return " ".join(filter(None, (f"Train with `{flags}`.", _resume(error))))


ADVICE: Mapping[type[GreylordError], Callable[..., str]] = {
    NoDatasetError: lambda _: "Make one with `greylord data sample sample`.",
    AmbiguousDatasetError: lambda _: "Name one with --dataset.",
    EmptyDatasetError: lambda _: "Copy recordings into it with `greylord data copy`.",
    OverrideError: _use_setting,
    TrainingError: _resume,
    OutOfMemoryError: _train_smaller,
    MissingDatasetError: lambda error: "Name a folder of recordings with --data-dir.",
    UnmaskedCredentialsError: lambda error: (
        f"Build that corpus with `greylord data build {error.dataset or 'NAME'} --mask-credentials`."
    ),
}
"""By the type of an error, the sentence to add to it. The function takes the error."""


def flag(setting: str) -> str:
    """Return the flag of a setting: `time_budget` has `--time-budget`."""
    return "--" + setting.replace("_", "-")


def with_flags(text: str, *settings: str) -> str:
    """Return a text with flags in place of settings."""
    for setting in settings:
        text = re.sub(rf"\b{re.escape(setting)}\b", flag(setting), text)
    return text


def command_line(settings: Mapping[str, Any]) -> str:
    """Return the line that trains with settings; those that are None are left out."""
    flags = [text for name, value in settings.items() if value is not None for text in (flag(name), str(value))]
    return shlex.join(["greylord", "train", *flags])


def sentence(error: GreylordError) -> str:
    """Return what to print for an error."""
    text = str(error)
    if isinstance(error, SettingError | TrainingError):
        text = with_flags(text, *error.settings)
    advice = ADVICE.get(type(error))
    return " ".join(filter(None, (text, advice(error)))) if advice else text


def exit_code(error: GreylordError) -> int:
    """Return 2 for a wrong call and 1 for a failed job."""
    return 2 if isinstance(error, UsageError) else 1
