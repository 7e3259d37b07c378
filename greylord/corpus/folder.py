"""Datasets and their folders, by name or by path.

A name stands for a folder under data/, and a path for itself. Text that holds a separator, or begins with `.` or `~`,
is a path and nothing else. Any other text is a name and nothing else. So no command works on an unintended folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from greylord.corpus.listing import is_folder
from greylord.errors import AmbiguousDatasetError, NoDatasetError, UsageError, did_you_mean
from greylord.files import user_path
from greylord.workspace import HERE, Workspace

__all__ = ["check_name", "dataset_folder", "is_path", "label", "locate", "locate_path", "names"]

MAX_NAME_BYTES = 200
"""Leaves room for what greylord appends to a dataset's name: a time, an extension."""
MAX_LABEL_BYTES = 100
_PATH = re.compile(r"[.~]|[^/\\]*[/\\]|[A-Za-z]:")


def check_name(name: str) -> str:
    """Return `name` if a dataset can have it.

    Raises:
        UsageError: The name is empty, too long, hidden, or holds characters that a file system may refuse.
    """
    if not name or name.startswith((".", "~")) or set(name) & set('<>:"/\\|?*\0'):
        raise UsageError(f"{name!r} cannot be a dataset's name; use letters, digits, '-' and '_', as in majormud.")
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise UsageError(f"A dataset's name may have {MAX_NAME_BYTES} bytes; {name[:20]!r}... is longer.")
    return name


def is_path(text: str) -> bool:
    """Tell whether text that stands for a dataset is a path.

    A path holds a separator, or begins with `.` or `~`.
    """
    return _PATH.match(text) is not None


def names(*, workspace: Workspace = HERE) -> list[str]:
    """List the names of the datasets under data/, sorted."""
    if not workspace.data.is_dir():
        return []
    return sorted(path.name for path in workspace.data.iterdir() if path.is_dir() and not path.name.startswith("."))


def locate(dataset: str | None, *, workspace: Workspace = HERE) -> Path:
    """Find the folder of a dataset.

    Args:
        dataset: A name under data/, or a path. None stands for the only dataset there is.

    Raises:
        NoDatasetError: `dataset` is None and there is no dataset.
        AmbiguousDatasetError: `dataset` is None and there are several.
        UsageError: The dataset or folder does not exist.
    """
    known = names(workspace=workspace)
    if dataset is None:
        if not known:
            raise NoDatasetError(f"There is no dataset under {workspace.data}/.")
        if len(known) > 1:
            raise AmbiguousDatasetError(f"There are several datasets under {workspace.data}/: {', '.join(known)}.")
        return workspace.data / known[0]
    if is_path(dataset):
        return locate_path(Path(dataset), workspace=workspace)
    if dataset and is_folder(workspace.data / dataset):
        return workspace.data / dataset
    others = f"{workspace.data}/ has: {', '.join(known)}" if known else f"{workspace.data}/ has none yet"
    hint = did_you_mean(dataset, known)
    if dataset and is_folder(Path(dataset)):
        hint = f" For the folder {dataset!r} of the working directory, write {'./' + dataset!r}."
    raise UsageError(f"There is no dataset {dataset!r}; {others}.{hint}")


def dataset_folder(recordings: str | Path, *, workspace: Workspace = HERE) -> Path:
    """Find the folder of a dataset.

    A string is treated as by `locate`, a `Path` as by `locate_path`.
    """
    if isinstance(recordings, str):
        return locate(recordings, workspace=workspace)
    return locate_path(recordings, workspace=workspace)


def locate_path(path: Path, *, workspace: Workspace = HERE) -> Path:
    """Return `path`, its `~` expanded, if it is a folder.

    Raises:
        UsageError: It is not a folder. The sentence names a dataset of that name, if there is one.
    """
    path = user_path(path)
    if is_folder(path):
        return path
    problem = "is not a folder" if os.path.lexists(path) else "does not exist"
    hint = ""
    if str(path) in names(workspace=workspace):
        hint = f" The dataset {workspace.data / path} is given by its name: {str(path)!r}."
    raise UsageError(f"The folder {str(path)!r} {problem}.{hint}")


def label(folder: Path, *, workspace: Workspace = HERE) -> Path:
    """Return the relative path of a folder below data/.pruned/ and data/.journal/.

    A folder below data/ keeps its path from there. Any other is its name and a hash of its resolved path.
    """
    path, data = folder.resolve(), workspace.data.resolve()
    if path != data and path.is_relative_to(data):
        return path.relative_to(data)
    # A dataset may be a link to a folder elsewhere.
    if folder.parent.resolve() == data:
        return Path(folder.name)
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    name = os.fsencode(path.name)[:MAX_LABEL_BYTES].decode("utf-8", "replace")
    return Path(f"{name or 'root'}-{digest}")
