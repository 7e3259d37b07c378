"""The files of a folder: which are read, and what is skipped and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from greylord.workspace import HERE

__all__ = ["Found", "find", "is_folder", "kind_of", "nothing_in", "recordings", "shown", "size_of", "unreadable"]

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # A name longer than names can be, or a folder on the way that may not be read.
        return False


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
    seen = {_key(ours) for ours in (HERE.corpora, HERE.models) if is_folder(ours)}
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
