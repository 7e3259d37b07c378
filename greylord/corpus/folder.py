"""The data folder: what names a dataset, where it lies, and which files belong to it.

A dataset is a bare name (a folder under data/) or a path. Text that holds a separator or begins with `.` or `~` is a
path and nothing else; any other text is a name and nothing else, so that no command works on a folder that was not
meant. What has been done to a dataset is noted in data/.journal/, outside the recordings.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from greylord.corpus.listing import is_folder
from greylord.errors import UsageError, did_you_mean
from greylord.files import user_path
from greylord.workspace import HERE

__all__ = ["check_name", "is_path", "label", "locate", "locate_path", "names"]

MAX_NAME_BYTES = 200
"""Leaves room for what greylord appends to a dataset's name: a time, an extension."""
_PATH = re.compile(r"[.~]|[^/\\]*[/\\]|[A-Za-z]:")


def check_name(name: str) -> str:
    """Return `name` if a dataset can be called so. Raises UsageError if not."""
    if not name or name.startswith((".", "~")) or set(name) & set('<>:"/\\|?*\0'):
        raise UsageError(f"{name!r} cannot be a dataset's name; use letters, digits, '-' and '_', as in majormud.")
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise UsageError(f"A dataset's name may have {MAX_NAME_BYTES} bytes; {name[:20]!r}... is longer.")
    return name


def is_path(text: str) -> bool:
    """Tell whether what stands for a dataset is a path: it holds a separator, or begins with `.` or `~`."""
    return _PATH.match(text) is not None


def names() -> list[str]:
    """Return the names of the datasets under data/."""
    if not HERE.data.is_dir():
        return []
    return sorted(path.name for path in HERE.data.iterdir() if path.is_dir() and not path.name.startswith("."))


def locate(dataset: str | None) -> Path:
    """Return the folder of a dataset: a name under data/, a path, or with None the only dataset there is.

    Raises:
        UsageError: there is no such dataset or folder, or None could mean several.
    """
    there = names()
    if dataset is None:
        if len(there) == 1:
            return HERE.data / there[0]
        if not there:
            raise UsageError("There is no dataset under data/; make one with `greylord data sample sample`.")
        raise UsageError(f"Which dataset? Name one with --dataset: {', '.join(there)}.")
    if is_path(dataset):
        return locate_path(Path(dataset))
    if dataset and is_folder(HERE.data / dataset):
        return HERE.data / dataset
    known = f"there are {', '.join(there)}" if there else "there is none yet"
    hint = did_you_mean(dataset, there)
    if dataset and is_folder(Path(dataset)):
        hint = f" For the folder {dataset!r} of the working directory, write {'./' + dataset!r}."
    raise UsageError(f"There is no dataset {dataset!r} under data/; {known}.{hint}")


def locate_path(path: Path) -> Path:
    """Return `path` if it is a folder. Raises UsageError if it is not, with a hint at a dataset of that name."""
    path = user_path(path)
    if is_folder(path):
        return path
    what = "is not a folder" if os.path.lexists(path) else "does not exist"
    hint = f" The dataset data/{path} is given by its name: {str(path)!r}." if str(path) in names() else ""
    raise UsageError(f"The folder {str(path)!r} {what}.{hint}")


def label(folder: Path) -> Path:
    """Return what stands for a folder below data/.pruned/ and data/.journal/, unique to it.

    For a folder below data/ it is the path from there; for any other its name and a hash of where it lies.
    """
    path, data = folder.resolve(), HERE.data.resolve()
    if path != data and path.is_relative_to(data):
        return path.relative_to(data)
    # A dataset may be a link to a folder elsewhere.
    if folder.parent.resolve() == data:
        return Path(folder.name)
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return Path(f"{os.fsencode(path.name)[:100].decode('utf-8', 'replace') or 'root'}-{digest}")
