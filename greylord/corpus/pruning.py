"""Prune a dataset: move files to data/.pruned/, or delete them.

Files are removed if they are too small or do not match a pattern.

Only what lies below the named folder is removed; from a folder outside data/, only recordings. Links are neither
followed nor resolved: what is removed is the link itself.
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
from greylord.corpus import folder, journal, listing
from greylord.errors import RecordingError, UsageError
from greylord.files import numbered, replacing
from greylord.workspace import HERE, Workspace

__all__ = ["Pruned", "PruningPlan", "attic_of", "plan_pruning", "prune"]


@dataclass
class PruningPlan:
    """The files that pruning removes from a folder, and counts of the others."""

    workspace: Workspace
    dataset: Path
    """The folder as it was named."""
    folder: Path
    """The folder with all links resolved."""
    attic: Path
    """Where the files go, unless they are deleted."""
    removed: list[tuple[Path, str]] = field(default_factory=list)
    """Files to remove, with the reason."""
    bytes: int = 0
    """Size of the files to remove."""
    kept: int = 0
    others: int = 0
    """Outside data/: files that are not recordings. They are never removed."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Paths that were not looked at, by their path from the folder, with the reason."""


@dataclass
class Pruned:
    """The result of pruning."""

    removed: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    """Files that could not be removed, with the reason."""


def attic_of(dataset: Path, *, workspace: Workspace = HERE) -> Path:
    """Return the folder in data/.pruned/ that pruned files of a dataset move to."""
    return _attic(workspace) / folder.label(dataset, workspace=workspace)


def _attic(workspace: Workspace) -> Path:
    return workspace.data / ".pruned"


def plan_pruning(
    dataset: Path, min_size: int | None, pattern: str | None, *, workspace: Workspace = HERE
) -> PruningPlan:
    """Find the files to remove from a dataset.

    Args:
        dataset: The folder.
        min_size: In bytes. Smaller files are removed.
        pattern: A shell pattern. Files whose names do not match are removed.

    Raises:
        UsageError: The folder holds data/, corpora/, models/ or the working directory, or is greylord's own.
    """
    resolved = dataset.resolve()
    for protected in (workspace.data, workspace.corpora, workspace.models, Path()):
        if protected.resolve().is_relative_to(resolved):
            content = f"{protected}/" if protected.name else "the working directory"
            raise UsageError(f"{str(resolved)!r} holds {content}; prune a dataset or a folder of recordings.")
    data = workspace.data.resolve()
    is_inside = resolved.is_relative_to(data)
    if is_inside and resolved.relative_to(data).parts[0].startswith("."):
        raise UsageError(
            f"{str(resolved)!r} is not a dataset: it belongs to greylord, for pruned files and for its journal."
        )
    below = listing.list_files(resolved, follow_links=False, workspace=workspace)
    plan = PruningPlan(workspace, dataset, resolved, attic_of(dataset, workspace=workspace), skipped=below.skipped)
    for path in below.files:
        try:
            size = path.stat().st_size
        except OSError as error:
            # It is gone since it was listed. Its size is unknown, not 0.
            plan.skipped[below.name_of(path)] = listing.why_unreadable(error)
            continue
        reason = None
        if min_size is not None and size < min_size:
            reason = f"smaller than {units.size(min_size)}"
        elif pattern is not None and not fnmatch(path.name, pattern):
            reason = f"does not match {pattern!r}"
        if reason is None:
            plan.kept += 1
        elif not is_inside and not _is_recording(path):
            plan.others += 1
        else:
            plan.removed.append((path, reason))
            plan.bytes += path.lstat().st_size
    return plan


def _is_recording(path: Path) -> bool:
    try:
        return is_recording(path)
    except RecordingError:
        return False


def prune(plan: PruningPlan, delete: bool) -> Pruned:
    """Carry out a plan: move the files to `plan.attic`, or delete them.

    In the attic each file keeps its path from the folder. Nothing there is overwritten.
    """
    pruned = Pruned()
    for path, _ in plan.removed:
        try:
            if delete:
                path.unlink()
            else:
                _move(path, plan.attic / path.relative_to(plan.folder), _attic(plan.workspace))
            pruned.removed += 1
        except OSError as error:
            pruned.failed.append((path, error.strerror or str(error)))
    for parent in {path.parent for path, _ in plan.removed}:
        with contextlib.suppress(OSError):
            _remove_if_empty(parent, plan.folder)
    action = "delete" if delete else "prune"
    journal.note(plan.dataset, action, workspace=plan.workspace, recordings=pruned.removed, bytes=plan.bytes)
    return pruned


def _remove_if_empty(parent: Path, top: Path) -> None:
    """Remove an empty folder, and parents below `top` that are empty then."""
    while parent != top and parent.exists() and not any(parent.iterdir()):
        parent.rmdir()
        parent = parent.parent


def _move(path: Path, wanted: Path, attic: Path) -> None:
    """Move a file to a free name in the attic.

    It is removed if the attic holds the same file under that name.
    """
    base = _reachable(wanted, attic)
    target, number = base, 1
    while os.path.lexists(target):
        if _same(path, target):
            path.unlink()
            return
        number += 1
        target = numbered(base, number)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another file system: copy all of it, then remove the original.
        with replacing(target) as temporary:
            shutil.copy2(path, temporary, follow_symlinks=False)
        path.unlink()


def _reachable(wanted: Path, attic: Path) -> Path:
    """Return `wanted`, with a number on each folder whose name is taken by a file."""
    parent = attic
    for part in wanted.relative_to(attic).parts[:-1]:
        step, number = parent / part, 1
        while os.path.lexists(step) and (step.is_symlink() or not step.is_dir()):
            number += 1
            step = numbered(parent / part, number)
        parent = step
    return parent / wanted.name


def _same(one: Path, other: Path) -> bool:
    """Tell whether two paths are the same link, or files of the same bytes."""
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return other.is_file() and filecmp.cmp(one, other, shallow=False)
