"""Copy recordings into a dataset: each once, whole, and nothing overwritten.

Payload decides what is a copy. A recording that the dataset holds already, or holds more of, stays behind. A file that
was copied while it grew is replaced by the longer file that begins with the same bytes.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from greylord import units
from greylord.captures.reading import copy_masked, read_head, read_session
from greylord.captures.redaction import Credentials
from greylord.corpus import folder, journal, listing
from greylord.corpus.identity import HEAD_READ_BYTES, Candidate, Duplicate, find_duplicates, head_of
from greylord.errors import GreylordError, RecordingError, UsageError
from greylord.files import numbered, replacing, user_path
from greylord.progress import Progress, silent
from greylord.workspace import HERE, Workspace

__all__ = ["Copied", "CopyPlan", "copy", "plan_copy"]

SPARE_BYTES = 64 * 10**6
"""Disk space that copying leaves free."""
BLOCK_BYTES = 1 << 20


@dataclass
class CopyPlan:
    """The files that copying takes, and those that it leaves behind."""

    workspace: Workspace
    target: Path
    """The folder of the dataset."""
    masked: bool = False
    """Passwords are masked in the copies."""
    files: list[tuple[Path, Path]] = field(default_factory=list)
    """Source and target of each file to copy."""
    present: int = 0
    """Sources that the dataset holds already, under any name."""
    duplicates: list[tuple[Path, str]] = field(default_factory=list)
    """Sources that stay behind, with the reason: another recording has the same payload, or more of it."""
    grown: list[tuple[Path, Path]] = field(default_factory=list)
    """Entries of `files` that replace their own beginning."""
    renamed: list[tuple[Path, Path]] = field(default_factory=list)
    """Entries of `files` whose name is taken by another recording."""
    others: list[Path] = field(default_factory=list)
    """Files that are not recordings and stay behind."""
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    """Paths that are not regular files or cannot be read, with the reason."""

    @property
    def bytes(self) -> int:
        """Total size of the files to copy."""
        return sum(listing.size_of(source) for source, _ in self.files)


@dataclass
class Copied:
    """The result of copying."""

    files: int = 0
    bytes: int = 0
    credentials: list[Credentials] = field(default_factory=list)
    """The masked passwords, file by file; empty unless the plan masks."""
    failed: list[tuple[Path, str]] = field(default_factory=list)
    """Sources that could not be copied, with the reason."""


def plan_copy(
    sources: Iterable[str],
    dataset: str,
    masked: bool = False,
    progress: Progress = silent,
    *,
    workspace: Workspace = HERE,
) -> CopyPlan:
    """Find the recordings among `sources`, and names for them in data/`dataset`.

    Args:
        sources: Folders, files and patterns as a user types them, relative to the current directory.
        dataset: A name.
        masked: Mask passwords in the copies.
        progress: Counts files.

    Raises:
        UsageError: A source does not exist or holds the dataset, or `dataset` is not a valid name.
    """
    plan = CopyPlan(workspace, workspace.data / folder.check_name(dataset), masked)
    if os.path.lexists(plan.target) and not plan.target.is_dir():
        raise UsageError(f"{str(plan.target)!r} is not a folder; choose another name or move it away.")
    dataset_files = listing.list_files(plan.target, workspace=workspace).files if plan.target.is_dir() else []
    by_place: dict[Path, tuple[Path, Path]] = {}
    for source, relative in _expand(sources, plan):
        # A file that two sources hold belongs to the first.
        by_place.setdefault(source.parent.resolve() / source.name, (source, relative))
    present: list[Path] = []
    new: list[tuple[Path, Path]] = []
    candidates: list[Candidate] = []
    with progress("Looking", len(dataset_files) + len(by_place)) as advance:
        for path in dataset_files:
            # A file that cannot be read is left alone.
            with contextlib.suppress(RecordingError):
                if candidate := _candidate(path, masked=False):
                    present.append(path)
                    candidates.append(candidate)
            advance(1)
        for source, relative in by_place.values():
            try:
                if candidate := _candidate(source, masked):
                    new.append((source, relative))
                    candidates.append(candidate)
                else:
                    plan.others.append(source)
            except RecordingError as error:
                plan.skipped.append((source, error.reason))
            advance(1)
    _choose(plan, present, new, find_duplicates(candidates))
    return plan


def _candidate(path: Path, masked: bool) -> Candidate | None:
    """Return a file with the payload of its copy; None if it is not a recording."""
    head = read_head(path, HEAD_READ_BYTES)
    if head is None:
        return None
    payload = partial(_payload, path, masked)
    return Candidate(head_of(payload() if masked else head), payload)


def _payload(path: Path, masked: bool) -> np.ndarray:
    """Return the payload that a copy of a file would have, uint8 [bytes]."""
    return read_session(path, keep_credentials=not masked).payload


def _choose(
    plan: CopyPlan, present: Sequence[Path], new: Sequence[tuple[Path, Path]], duplicates: Mapping[int, Duplicate]
) -> None:
    """Enter into the plan which sources are copied, and under which names.

    Args:
        plan: The plan to fill.
        present: Recordings of the dataset.
        new: Sources that are recordings, and their paths within the dataset.
        duplicates: Duplicates by index in `present` and `new`, end to end.
    """
    paths = [*present, *(source for source, _ in new)]
    beginnings = {
        other.index: present[index] for index, other in duplicates.items() if index < len(present) and not other.equal
    }
    taken: set[str] = set()
    for index, (source, relative) in enumerate(new, len(present)):
        if other := duplicates.get(index):
            if other.equal and other.index < len(present):
                plan.present += 1
            else:
                relation = "the same payload as" if other.equal else "the beginning of"
                plan.duplicates.append((source, f"{relation} {paths[other.index]}"))
            continue
        wanted = plan.target / relative
        beginning = beginnings.get(index)
        if beginning is not None and _is_beginning(beginning, source, plan.masked):
            target = beginning
            plan.grown.append((source, target))
        else:
            target = _free_name(wanted, taken)
            if target != wanted:
                plan.renamed.append((source, target))
        taken.add(str(target).casefold())
        plan.files.append((source, target))


def _free_name(wanted: Path, taken: Collection[str]) -> Path:
    """Return `wanted`, with a number if the name is taken.

    `taken` holds casefolded names.
    """
    name, number = wanted, 1
    while str(name).casefold() in taken or os.path.lexists(name):
        number += 1
        name = numbered(wanted, number)
    return name


def _is_beginning(path: Path, source: Path, masked: bool) -> bool:
    """Tell whether the copy of a source would begin with all bytes of a file."""
    with tempfile.TemporaryDirectory() as place:
        if masked:
            copy_masked(source, Path(place, "masked"))
            source = Path(place, "masked")
        with path.open("rb") as file, source.open("rb") as longer:
            while block := file.read(BLOCK_BYTES):
                if longer.read(len(block)) != block:
                    return False
    return True


def _expand(sources: Iterable[str], plan: CopyPlan) -> Iterator[tuple[Path, Path]]:
    """Yield each regular file of the sources, and its path from the source."""
    for source in sources:
        paths = _matches(user_path(source))
        if not paths:
            raise UsageError(f"There is nothing at {source!r} to copy; give a folder, a file or a pattern as '*.log'.")
        for path in paths:
            try:
                mode = path.stat().st_mode
            except OSError as error:
                plan.skipped.append((path, listing.why_unreadable(error)))
                continue
            resolved, target = path.resolve(), plan.target.resolve()
            if resolved.is_relative_to(target) or target.is_relative_to(resolved):
                raise UsageError(f"{source!r} and {str(plan.target)!r} lie within each other; copy from elsewhere.")
            if stat.S_ISDIR(mode):
                below = listing.list_files(path, workspace=plan.workspace)
                plan.skipped += [(path / name, why) for name, why in below.skipped.items()]
                yield from ((file, file.relative_to(path)) for file in below.files)
            elif stat.S_ISREG(mode):
                yield path, Path(path.name)
            else:
                plan.skipped.append((path, listing.kind_of(mode)))


def _matches(path: Path) -> list[Path]:
    """Return the paths that a path or a pattern stands for.

    The pattern begins below the last folder that exists.
    """
    if os.path.lexists(path):
        return [path]
    base = next(parent for parent in path.parents if parent.is_dir() or parent == parent.parent)
    pattern = str(path.relative_to(base))
    return [base / match for match in sorted(glob.glob(pattern, root_dir=base, recursive=True))]


def copy(plan: CopyPlan, progress: Callable[[int], object] = lambda _: None) -> Copied:
    """Carry out a plan.

    A file that cannot be copied is reported in the result; the others are copied.

    Args:
        progress: Called with the bytes of each file copied.

    Raises:
        GreylordError: The disk has too little room. Nothing has been copied.
        OSError: The disk filled up while copying.
    """
    plan.target.mkdir(parents=True, exist_ok=True)
    needed, free = plan.bytes, shutil.disk_usage(plan.target).free
    if needed + SPARE_BYTES > free:
        raise GreylordError(
            f"The recordings need {units.size(needed)} and {str(plan.target)!r} has {units.size(free)} free; "
            "make room or copy fewer."
        )
    copied = Copied()
    for source, target in plan.files:
        try:
            with replacing(target) as temporary:
                if plan.masked:
                    copied.credentials.append(copy_masked(source, temporary))
                else:
                    shutil.copy2(source, temporary)
                size = temporary.stat().st_size
        except RecordingError as error:
            copied.failed.append((source, error.reason))
            continue
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            copied.failed.append((source, error.strerror or str(error)))
            continue
        copied.files += 1
        copied.bytes += size
        progress(size)
    if copied.files:
        action = "redact" if plan.masked else "copy"
        journal.note(plan.target, action, workspace=plan.workspace, recordings=copied.files, bytes=copied.bytes)
    return copied
