"""The data folder: what names a dataset, where it lies, and which files belong to it.

A dataset is a bare name (a folder under data/) or a path. Text that holds a separator or begins with `.` or `~` is a
path and nothing else; any other text is a name and nothing else, so that no command works on a folder that was not
meant. What has been done to a dataset is noted in data/.journal/, outside the recordings.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from greylord.errors import UsageError, did_you_mean
from greylord.files import user_path
from greylord.workspace import HERE

__all__ = [
    "Found",
    "check_name",
    "find",
    "is_path",
    "kind_of",
    "label",
    "locate",
    "locate_path",
    "names",
    "note",
    "nothing_in",
    "recordings",
    "shown",
    "size_of",
    "unreadable",
]

MAX_NAME_BYTES = 200
"""Leaves room for what greylord appends to a dataset's name: a time, an extension."""
_PATH = re.compile(r"[.~]|[^/\\]*[/\\]|[A-Za-z]:")
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


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
    if dataset and _is_folder(HERE.data / dataset):
        return HERE.data / dataset
    known = f"there are {', '.join(there)}" if there else "there is none yet"
    hint = did_you_mean(dataset, there)
    if dataset and _is_folder(Path(dataset)):
        hint = f" For the folder {dataset!r} of the working directory, write {'./' + dataset!r}."
    raise UsageError(f"There is no dataset {dataset!r} under data/; {known}.{hint}")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # A name longer than names can be, or a folder on the way that may not be read.
        return False


def locate_path(path: Path) -> Path:
    """Return `path` if it is a folder. Raises UsageError if it is not, with a hint at a dataset of that name."""
    path = user_path(path)
    if _is_folder(path):
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


def shown(name: str) -> str:
    """Return a file's name as text that every encoding of Unicode can hold: other bytes become `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def kind_of(mode: int) -> str:
    """Return in words what a file is that is not a regular one, by its `st_mode`."""
    return _KINDS.get(stat.S_IFMT(mode), "not a regular file")


def unreadable(error: OSError) -> str:
    """Return in words why a path that stands in a listing cannot be read."""
    return "a link to nothing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 if it is gone by now."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


@dataclass
class Found:
    """The files below a folder.

    Attributes:
        folder: where was looked.
        files: regular files, in the order of their paths. Hidden ones (`.name`) and those in hidden folders are left
            out.
        skipped: everything else that stands there, by its path from the folder, and why it is not among the files.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def name(self, path: Path) -> str:
        """Return the path of a file from the folder, with forward slashes, as text that can be written anywhere."""
        return shown(path.relative_to(self.folder).as_posix())


def find(folder: Path, follow_links: bool = True) -> Found:
    """Find the regular files of a folder and below.

    Links to folders are followed once each, after the folders that lie there themselves, so that a second way to the
    same folder adds nothing. A link to a folder that holds this one would lead out of it, and is skipped. Links to
    files stand for the file. Corpora and models of the working directory are not looked into: they hold no recordings,
    and change while one is being built.

    Args:
        folder: to look in.
        follow_links: if false, what links to folders lead to is left out.
    """
    found = Found(folder)
    found.files = sorted(_walk(found, follow_links), key=lambda path: path.relative_to(folder).as_posix())
    return found


def _walk(found: Found, follow_links: bool) -> Iterator[Path]:
    """Yield the regular files, and note what is skipped."""
    waiting, links = [found.folder], []
    seen = {_key(ours) for ours in (HERE.corpora, HERE.models) if _is_folder(ours)}
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        try:
            if (key := _key(folder)) in seen and folder is not found.folder:
                continue
            seen.add(key)
            with os.scandir(folder) as listing:
                entries = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError as error:
            found.skipped[found.name(folder)] = unreadable(error)
            continue
        for entry in entries:
            path = folder / entry.name
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                found.skipped[found.name(path)] = unreadable(error)
            else:
                if stat.S_ISREG(mode):
                    yield path
                elif not stat.S_ISDIR(mode):
                    found.skipped[found.name(path)] = kind_of(mode)
                elif not entry.is_symlink():
                    waiting.append(path)
                elif not follow_links:
                    found.skipped[found.name(path)] = "a link to a folder"
                elif found.folder.resolve().is_relative_to(path.resolve()):
                    found.skipped[found.name(path)] = "a link to a folder that holds this one"
                else:
                    links.append(path)


def _key(folder: Path) -> tuple[int, int]:
    """What tells a folder from others, whatever its path."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def nothing_in(found: Found) -> str:
    """Return the sentence that says why a folder has no file to read."""
    if not found.skipped:
        return f"{str(found.folder)!r} is empty; copy recordings into it with `greylord data copy`."
    (name, why), *others = found.skipped.items()
    more = f", and {len(others):,} more" if others else ""
    return f"{str(found.folder)!r} has no file that can be read: {name} is skipped ({why}){more}."


def recordings(folder: Path) -> list[Path]:
    """Return the regular files of a folder and below, but hidden ones, in the order of their paths."""
    return find(folder).files


def note(folder: Path, action: str, **details: object) -> None:
    """Add a line to the journal of a dataset's folder."""
    journal = HERE.data / ".journal" / f"{label(folder)}.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, **details}
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
