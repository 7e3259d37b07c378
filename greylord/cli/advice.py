"""What the command line adds to an error of the library: flags for settings, and the command to type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from greylord.errors import (
    AmbiguousDatasetError,
    EmptyDatasetError,
    GreylordError,
    MissingDatasetError,
    NoDatasetError,
    SettingError,
    UnmaskedCredentialsError,
    UsageError,
)

__all__ = ["exit_code", "flag", "sentence", "with_flags"]

ADVICE: Mapping[type[GreylordError], Callable[..., str]] = {
    NoDatasetError: lambda _: "Make one with `greylord data sample sample`.",
    AmbiguousDatasetError: lambda _: "Name one with --dataset.",
    EmptyDatasetError: lambda _: "Copy recordings into it with `greylord data copy`.",
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


def sentence(error: GreylordError) -> str:
    """Return what to print for an error."""
    text = str(error)
    if isinstance(error, SettingError):
        text = with_flags(text, *error.settings)
    advice = ADVICE.get(type(error))
    return f"{text} {advice(error)}" if advice else text


def exit_code(error: GreylordError) -> int:
    """Return 2 for a wrong call and 1 for a failed job."""
    return 2 if isinstance(error, UsageError) else 1
