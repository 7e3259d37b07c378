"""The files of a folder: the regular ones, and why everything else is skipped."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from greylord.workspace import HERE, Workspace

__all__ = ["Listing", "is_folder", "kind_of", "list_files", "printable_name", "size_of", "why_unreadable"]

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def is_folder(path: Path) -> bool:
    """Tell whether a path is a folder. Returns false for a path that cannot be read."""
    try:
        return path.is_dir()
    except OSError:
        # The name is longer than names can be, or a folder on the way may not be read.
        return False


def printable_name(name: str) -> str:
    """Return a file's name as valid Unicode: bytes that are not UTF-8 become `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def kind_of(mode: int) -> str:
    """Name the kind of a file that is not a regular one, by its `st_mode`."""
    return _KINDS.get(stat.S_IFMT(mode), "not a regular file")


def why_unreadable(error: OSError) -> str:
    """Return a phrase for why a path in a listing cannot be read."""
    return "a link to nothing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 if the file is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


@dataclass
class Listing:
    """The files below a folder."""

    folder: Path
    files: list[Path] = field(default_factory=list)
    """Regular files, sorted by path. Hidden ones (`.name`) and those in hidden folders are left out."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Everything else, by its path from the folder, with the reason."""

    def name_of(self, path: Path) -> str:
        """Return the path of a file from the folder: forward slashes, valid Unicode."""
        return printable_name(path.relative_to(self.folder).as_posix())


def list_files(folder: Path, *, follow_links: bool = True, workspace: Workspace = HERE) -> Listing:
    """List the regular files of a folder and below.

    A folder that several links lead to is read once, under its own path if that lies below `folder`. A link to a
    folder that holds `folder` is skipped, since it leads out. A link to a file stands for the file.

    Args:
        follow_links: Read the folders that links lead to.
        workspace: Its corpora/ and models/ are not looked into: they hold no recordings, and change during a build.
    """
    listing = Listing(folder)
    files = _walk(listing, follow_links, workspace)
    listing.files = sorted(files, key=lambda path: path.relative_to(folder).as_posix())
    return listing


def _walk(listing: Listing, follow_links: bool, workspace: Workspace) -> Iterator[Path]:
    """Yield the regular files, and note what is skipped."""
    waiting = [listing.folder]
    links: list[Path] = []
    seen = {_identity(own) for own in (workspace.corpora, workspace.models) if is_folder(own)}
    while waiting or links:
        # Links come last, so that a folder is read under its own path.
        folder = waiting.pop() if waiting else links.pop(0)
        try:
            if (identity := _identity(folder)) in seen and folder is not listing.folder:
                continue
            seen.add(identity)
            with os.scandir(folder) as scan:
                entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError as error:
            listing.skipped[listing.name_of(folder)] = why_unreadable(error)
            continue
        for entry in entries:
            path = folder / entry.name
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                listing.skipped[listing.name_of(path)] = why_unreadable(error)
            else:
                if stat.S_ISREG(mode):
                    yield path
                elif not stat.S_ISDIR(mode):
                    listing.skipped[listing.name_of(path)] = kind_of(mode)
                elif not entry.is_symlink():
                    waiting.append(path)
                elif not follow_links:
                    listing.skipped[listing.name_of(path)] = "a link to a folder"
                elif listing.folder.resolve().is_relative_to(path.resolve()):
                    listing.skipped[listing.name_of(path)] = "a link to a folder that holds this one"
                else:
                    links.append(path)


def _identity(folder: Path) -> tuple[int, int]:
    """Return device and inode. They identify a folder under any path."""
    status = folder.stat()
    return status.st_dev, status.st_ino
