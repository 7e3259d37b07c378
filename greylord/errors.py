"""Errors of greylord, each with one sentence: what is wrong, the value found, what to do.

    GreylordError        a job that cannot be done
    ├── TrainingError    a run that cannot be started, finished or resumed
    │   └── OutOfMemoryError
    └── UsageError       a call that cannot be meant
        ├── OverrideError
        └── SettingError a setting out of range, or two that exclude each other

The sentences name settings and arguments, never flags or commands: the command line adds those.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = [
    "GreylordError",
    "OutOfMemoryError",
    "OverrideError",
    "SettingError",
    "TrainingError",
    "UsageError",
    "did_you_mean",
    "first_line",
]


class GreylordError(Exception):
    """A job that cannot be done."""


class UsageError(GreylordError):
    """A call that cannot be meant: a wrong path, a value out of range, a name that does not exist."""


class SettingError(UsageError):
    """A setting that cannot be used.

    Args:
        sentence: Names each setting by its field, as `time_budget`.
        settings: The names of the fields in the sentence.
    """

    def __init__(self, sentence: str, *settings: str) -> None:
        super().__init__(sentence)
        self.settings = settings


class OverrideError(UsageError):
    """A field of `TrainingArguments` that a run decides itself, or a value that the field does not take.

    Args:
        setting: The setting to use instead, if there is one.
    """

    def __init__(self, sentence: str, setting: str | None = None) -> None:
        super().__init__(sentence)
        self.setting = setting


class TrainingError(GreylordError):
    """A run that cannot be started, finished or resumed.

    Args:
        sentence: Names settings by their fields.
        settings: The names of the fields in the sentence.
        resumable: Folder of the run, if it can be resumed.
    """

    def __init__(self, sentence: str, *settings: str, resumable: Path | None = None) -> None:
        super().__init__(sentence)
        self.settings = settings
        self.resumable = resumable


class OutOfMemoryError(TrainingError):
    """A run whose passes do not fit into memory.

    Args:
        smaller: Values of settings, by field, that make the passes half as large.
        resumable: Folder of the run, if it can be resumed.
    """

    def __init__(self, sentence: str, smaller: Mapping[str, int], resumable: Path | None = None) -> None:
        super().__init__(sentence, resumable=resumable)
        self.smaller = smaller


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the sentence that offers the nearest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def first_line(error: Exception) -> str:
    """Return the first line of a library's error, fit to be printed, without its full stop."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text).rstrip(".")
