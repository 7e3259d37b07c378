"""Turn the library's errors into sentences for the command line.

The sentences have flags for settings, and the command to type.

The library names settings by their fields. A typed error of `greylord.errors` carries what its advice needs, and an
entry in `ADVICE` makes the sentence.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields
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
from greylord.training.config import TrainingConfig

__all__ = ["command_line", "exit_code", "flag", "prefixed", "sentence", "with_flags"]


def _resume(error: TrainingError) -> str:
    return f"Resume from its last checkpoint with --resume {error.resumable}." if error.resumable else ""


def _train_smaller(error: OutOfMemoryError) -> str:
    flags = " ".join(f"{flag(setting)} {value}" for setting, value in error.smaller.items())
    return f"Train with `{flags}`. {_resume(error)}"


ADVICE: Mapping[type[GreylordError], Callable[..., str]] = {
    TrainingError: _resume,
    OutOfMemoryError: _train_smaller,
    NoDatasetError: lambda _: "Make one with `greylord data sample sample`.",
    AmbiguousDatasetError: lambda _: "Name one with --dataset.",
    EmptyDatasetError: lambda _: "Copy recordings into it with `greylord data copy`.",
    MissingDatasetError: lambda _: "Name a folder of recordings with --data-dir.",
    UnmaskedCredentialsError: lambda error: (
        f"Build that corpus with `greylord data build {error.dataset or 'NAME'} --mask-credentials`."
    ),
}
"""Functions that return the sentence to add to an error, or an empty string. Keys are classes of errors."""

OTHER_FLAGS = frozenset(
    {
        "cpu", "data_dir", "dataset", "keep_credentials", "keep_records", "model_dir", "model_path", "num_processes",
        "push_to_hub", "resume", "revision", "temperature", "top_k", "top_p",
    }
)  # fmt: skip
"""Arguments that have a flag of the same name, besides the fields of `TrainingConfig`."""

_NAMESAKES = OTHER_FLAGS | {field.name for field in fields(TrainingConfig)}
_RENAMED = {"max_bytes": "--length"}
"""Flags of arguments that have another name."""


def flag(setting: str) -> str:
    """Return the flag of a setting.

    It is `--time-budget`, for example, or `--set eval_steps` for a field of `TrainingArguments`.
    """
    if setting in _NAMESAKES:
        return "--" + setting.replace("_", "-")
    return _RENAMED.get(setting, f"--set {setting}")


def with_flags(text: str, *settings: str) -> str:
    """Return the text with a flag for each of the settings.

    Quoted values are left as they are.
    """
    for setting in settings:
        text = re.sub(rf"(?<![\w'\"./-]){re.escape(setting)}(?![\w'\"/-])", flag(setting), text)
    return text


def command_line(settings: Mapping[str, Any]) -> str:
    """Return the `greylord train` line of settings. Those that are None are left out."""
    flags = [text for name, value in settings.items() if value is not None for text in (flag(name), str(value))]
    return shlex.join(["greylord", "train", *flags])


def sentence(error: GreylordError) -> str:
    """Return the sentence to print for an error."""
    text = str(error)
    if isinstance(error, SettingError | TrainingError):
        text = with_flags(text, *error.settings)
    elif isinstance(error, OverrideError) and error.setting:
        text = text.replace(f"the setting {error.setting}", flag(error.setting))
    for kind in type(error).__mro__:
        if kind in ADVICE:
            return f"{text} {ADVICE[kind](error)}".rstrip()
    return text


def prefixed(text: str, error: GreylordError) -> GreylordError:
    """Return an error with the same exit code, whose sentence begins with the text."""
    kind = UsageError if isinstance(error, UsageError) else GreylordError
    return kind(f"{text} {sentence(error)}")


def exit_code(error: GreylordError) -> int:
    """Return 2 for a wrong call and 1 for a failed job."""
    return 2 if isinstance(error, UsageError) else 1
