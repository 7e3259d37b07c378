"""Errors of greylord. The text of each is one sentence.

The sentence states what is wrong, the value found, and what to do.

    GreylordError                     a job that cannot be done
    ├── UsageError                    a wrong call
    │   ├── NoDatasetError            no dataset was named, and there is none
    │   ├── AmbiguousDatasetError     no dataset was named, and there are several
    │   ├── MissingDatasetError       a model whose dataset is not here
    │   ├── OverrideError             a field of TrainingArguments that a run does not accept
    │   └── SettingError              a setting out of range, or two that exclude each other
    ├── EmptyDatasetError             a dataset's folder holds no file
    ├── TrainingError                 a run that cannot be started, finished or resumed
    │   └── OutOfMemoryError          its forward and backward passes do not fit into memory
    ├── UnmaskedCredentialsError      a model or a corpus that holds passwords in clear
    └── RecordingError                a file that cannot be read as a recording
        ├── NotARecordingError        it holds no record; a UsageError, too
        └── UnreadableRecordingError  the system refuses to open or to read it

The sentences name settings and arguments, never flags or commands: the command line adds those.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = [
    "AmbiguousDatasetError",
    "EmptyDatasetError",
    "GreylordError",
    "MissingDatasetError",
    "NoDatasetError",
    "NotARecordingError",
    "OutOfMemoryError",
    "OverrideError",
    "RecordingError",
    "SettingError",
    "TrainingError",
    "UnmaskedCredentialsError",
    "UnreadableRecordingError",
    "UsageError",
    "did_you_mean",
    "first_line",
]


class GreylordError(Exception):
    """A job that cannot be done."""


class UsageError(GreylordError):
    """A wrong call: a missing path, a value out of range, an unknown name."""


class MissingDatasetError(UsageError):
    """A model whose dataset is unknown or gone.

    Args:
        model_dir: The model's folder.
        dataset: The folder that the model names, if it names one.
    """

    def __init__(self, model_dir: Path, dataset: Path | None) -> None:
        if dataset is None:
            super().__init__(f"{str(model_dir)!r} does not name the dataset that it was trained on.")
        else:
            super().__init__(f"{str(dataset)!r}, the dataset that {str(model_dir)!r} was trained on, does not exist.")


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
    """A field of `TrainingArguments` that a run does not accept.

    The run decides the field itself, or the field does not take the value.

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


class UnmaskedCredentialsError(GreylordError):
    """A model or a corpus that holds passwords in clear, and so may not be published.

    Args:
        dataset: The name of the dataset; None if unknown.
    """

    def __init__(self, sentence: str, dataset: str | None) -> None:
        super().__init__(sentence)
        self.dataset = dataset


class NoDatasetError(UsageError):
    """No dataset was named, and there is none."""


class AmbiguousDatasetError(UsageError):
    """No dataset was named, and there are several."""


class EmptyDatasetError(GreylordError):
    """A dataset's folder holds no file."""


class RecordingError(GreylordError):
    """A file cannot be read as a recording.

    Attributes:
        path: The file.
        reason: What is wrong with it, as the rest of a sentence that begins with its name.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{str(self.path)!r} {self.reason}."


class NotARecordingError(RecordingError, UsageError):
    """A file holds no record, does not exist, or is a pipe, a device or a folder."""


class UnreadableRecordingError(RecordingError):
    """The system refuses to open or to read a file."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the nearest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def first_line(error: Exception) -> str:
    """Return the first line of a library's error, printable and without its full stop."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text).rstrip(".")
