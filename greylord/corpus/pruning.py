"""Pruning: the files of a dataset that are too small or do not match go to data/.pruned/, or for good.

Pruning removes only what lies below the folder that it was given, and from a folder outside data/ only recordings.
Links are neither followed nor resolved: a link that goes is the link itself.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import shutil
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from greylord import units
from greylord.captures.reading import is_recording
from greylord.corpus import folder
from greylord.errors import RecordingError, UsageError
from greylord.files import numbered, replacing
from greylord.workspace import HERE

__all__ = ["ATTIC", "Pruned", "Pruning", "plan_pruning", "prune"]

ATTIC = HERE.data / ".pruned"


@dataclass
class Pruning:
    """What pruning would remove from a folder.

    Attributes:
        dataset: the folder as it was named.
        folder: the same with links in its path resolved.
        removed: each file that goes, and why.
        kept: the number of files that stay.
        others: outside data/, files that are not recordings and stay whatever they are.
        bytes: of the files that go.
        attic: where they go, unless they are deleted.
        skipped: what stands there and is not looked at, by its path from the folder, and why.
    """

    dataset: Path
    folder: Path
    removed: list[tuple[Path, str]] = field(default_factory=list)
    kept: int = 0
    others: int = 0
    bytes: int = 0
    attic: Path = ATTIC
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass
class Pruned:
    """What pruning has done: how many files are gone, and those that could not be removed, with the reason."""

    removed: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)


def plan_pruning(dataset: Path, min_size: int | None, pattern: str | None) -> Pruning:
    """Find the files smaller than `min_size` bytes or whose name does not match `pattern`.

    Raises:
        UsageError: the folder holds data/, models/ or the working directory.
    """
    resolved = dataset.resolve()
    for kept in (HERE.data, HERE.corpora, HERE.models, Path()):
        if kept.resolve().is_relative_to(resolved):
            what = f"{kept}/" if kept.name else "the working directory"
            raise UsageError(f"{str(resolved)!r} holds {what}; prune a dataset or a folder of recordings.")
    ours = resolved.is_relative_to(HERE.data.resolve())
    if ours and resolved.relative_to(HERE.data.resolve()).parts[0].startswith("."):
        raise UsageError(f"{str(resolved)!r} is not a dataset: greylord keeps there what was pruned, and its journal.")
    found = folder.find(resolved, follow_links=False)
    pruning = Pruning(dataset, resolved, attic=ATTIC / folder.label(dataset), skipped=found.skipped)
    for path in found.files:
        try:
            length = path.stat().st_size
        except OSError as error:
            # Gone since it was listed: nothing is known of its size.
            pruning.skipped[found.name(path)] = folder.unreadable(error)
            continue
        why = None
        if min_size is not None and length < min_size:
            why = f"smaller than {units.size(min_size)}"
        elif pattern is not None and not fnmatch(path.name, pattern):
            why = f"does not match {pattern!r}"
        if why is None:
            pruning.kept += 1
        elif not ours and not _is_recording(path):
            pruning.others += 1
        else:
            pruning.removed.append((path, why))
            pruning.bytes += path.lstat().st_size
    return pruning


def _is_recording(path: Path) -> bool:
    try:
        return is_recording(path)
    except RecordingError:
        return False


def prune(pruning: Pruning, delete: bool) -> Pruned:
    """Move the files that go to `pruning.attic`, or delete them.

    In the attic each keeps its path from the folder. Nothing there is overwritten.
    """
    pruned = Pruned()
    for path, _ in pruning.removed:
        try:
            if delete:
                path.unlink()
            else:
                _move(path, pruning.attic / path.relative_to(pruning.folder))
            pruned.removed += 1
        except OSError as error:
            pruned.failed.append((path, error.strerror or str(error)))
    for parent in {path.parent for path, _ in pruning.removed}:
        with contextlib.suppress(OSError):
            _remove_if_empty(parent, pruning.folder)
    action = "delete" if delete else "prune"
    folder.note(pruning.dataset, action, recordings=pruned.removed, bytes=pruning.bytes)
    return pruned


def _remove_if_empty(parent: Path, top: Path) -> None:
    """Remove a folder that pruning has emptied, and what holds nothing else, below `top`."""
    while parent != top and parent.exists() and not any(parent.iterdir()):
        parent.rmdir()
        parent = parent.parent


def _move(path: Path, wanted: Path) -> None:
    """Move a file to a free name in the attic, or remove it if the very same is there already."""
    target = _room(wanted)
    number = 1
    while os.path.lexists(target):
        if _same(path, target):
            path.unlink()
            return
        number += 1
        target = numbered(_room(wanted), number)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another file system: a whole copy first, then the original goes.
        with replacing(target) as temporary:
            shutil.copy2(path, temporary, follow_symlinks=False)
        path.unlink()


def _room(wanted: Path) -> Path:
    """`wanted`, with a number where something that is not a folder has the name of a folder on the way to it."""
    way = ATTIC
    for part in wanted.relative_to(ATTIC).parts[:-1]:
        step, number = way / part, 1
        while os.path.lexists(step) and (step.is_symlink() or not step.is_dir()):
            number += 1
            step = numbered(way / part, number)
        way = step
    return way / wanted.name


def _same(one: Path, other: Path) -> bool:
    """Whether two names stand for the same link, or for files of the same bytes."""
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return other.is_file() and filecmp.cmp(one, other, shallow=False)
