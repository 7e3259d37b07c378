"""Copying recordings into a dataset: each once, whole, and nothing overwritten.

What is a copy is decided by payload. A recording that is there already, or that is the beginning of one, stays behind;
a file that is the beginning of a longer one of the same bytes, since it was copied while it grew, is replaced by it.
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
from greylord.corpus import folder
from greylord.corpus.identity import HEAD_READ_BYTES, Candidate, Same, head_of, same_recordings
from greylord.errors import GreylordError, RecordingError, UsageError
from greylord.files import numbered, replacing, user_path
from greylord.progress import Progress, silent
from greylord.workspace import HERE

__all__ = ["Copied", "CopyPlan", "copy", "plan_copy"]

SPARE_BYTES = 64 * 10**6
"""Room that copying leaves on the disk."""
BLOCK_BYTES = 1 << 20


@dataclass
class CopyPlan:
    """What copying would do.

    Attributes:
        target: the folder of the dataset.
        masked: the copies have their credentials masked.
        files: source and target of each file to copy.
        present: how many sources are in the dataset already, whatever their name there.
        same: sources that stay behind, and why: another one has the same payload, or more of it.
        grown: those of `files` that replace their own beginning.
        renamed: those of `files` that get another name, because theirs is another recording's.
        others: files that are not recordings, and stay behind.
        skipped: what is not a regular file or cannot be read, and why.
    """

    target: Path
    masked: bool = False
    files: list[tuple[Path, Path]] = field(default_factory=list)
    present: int = 0
    same: list[tuple[Path, str]] = field(default_factory=list)
    grown: list[tuple[Path, Path]] = field(default_factory=list)
    renamed: list[tuple[Path, Path]] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(folder.size_of(source) for source, _ in self.files)


@dataclass
class Copied:
    """What copying has done.

    Attributes:
        files: how many are copied.
        bytes: in them.
        credentials: what was masked, file by file; empty unless the plan masks.
        failed: the sources that could not be copied, and why.
    """

    files: int = 0
    bytes: int = 0
    credentials: list[Credentials] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)


def plan_copy(sources: Iterable[str], dataset: str, masked: bool = False, progress: Progress = silent) -> CopyPlan:
    """Find the recordings among `sources` (folders, patterns, files), and names for them in data/`dataset`.

    Args:
        sources: as a user types them: `~` and patterns are expanded.
        dataset: a name.
        masked: the copies are to have their credentials masked.
        progress: counts files.

    Raises:
        UsageError: a source does not exist, or holds the dataset itself, or the name is that of a file.
    """
    plan = CopyPlan(HERE.data / folder.check_name(dataset), masked)
    if os.path.lexists(plan.target) and not plan.target.is_dir():
        raise UsageError(f"{str(plan.target)!r} is not a folder; choose another name or move it away.")
    present = folder.recordings(plan.target) if plan.target.is_dir() else []
    named: dict[Path, tuple[Path, Path]] = {}
    for source, relative in _expand(sources, plan):
        # A file that two sources hold belongs to the first.
        named.setdefault(source.parent.resolve() / source.name, (source, relative))
    wanted = named.values()
    there: list[Path] = []
    found: list[tuple[Path, Path]] = []
    candidates: list[Candidate] = []
    with progress("Looking", len(present) + len(wanted)) as advance:
        for path in present:
            # What cannot be read is nobody's copy.
            with contextlib.suppress(RecordingError):
                if candidate := _candidate(path, masked=False):
                    there.append(path)
                    candidates.append(candidate)
            advance(1)
        for source, relative in wanted:
            try:
                if candidate := _candidate(source, masked):
                    found.append((source, relative))
                    candidates.append(candidate)
                else:
                    plan.others.append(source)
            except RecordingError as error:
                plan.skipped.append((source, error.reason))
            advance(1)
    _choose(plan, there, found, same_recordings(candidates))
    return plan


def _candidate(path: Path, masked: bool) -> Candidate | None:
    """A file to be told from others by the payload that its copy would have; None if it is not a recording."""
    head = read_head(path, HEAD_READ_BYTES)
    if head is None:
        return None
    payload = partial(_payload, path, masked)
    return Candidate(head_of(payload() if masked else head), payload)


def _payload(path: Path, masked: bool) -> np.ndarray:
    return read_session(path, keep_credentials=not masked).payload


def _choose(
    plan: CopyPlan, there: Sequence[Path], found: Sequence[tuple[Path, Path]], same: Mapping[int, Same]
) -> None:
    """Enter into the plan which of the files that were found are copied, and under which names.

    Args:
        plan: to be filled.
        there: recordings of the dataset.
        found: sources, and the paths that they would have in the dataset.
        same: what makes one superfluous, by its place in `there` and `found`, end to end.
    """
    paths = [*there, *(source for source, _ in found)]
    shorter = {other.index: there[index] for index, other in same.items() if index < len(there) and not other.equal}
    taken: set[str] = set()
    for index, (source, relative) in enumerate(found, len(there)):
        if other := same.get(index):
            if other.equal and other.index < len(there):
                plan.present += 1
            else:
                what = "the same payload as" if other.equal else "the beginning of"
                plan.same.append((source, f"{what} {paths[other.index]}"))
            continue
        wanted = plan.target / relative
        before = shorter.get(index)
        if before is not None and _is_beginning(before, source, plan.masked):
            target = before
            plan.grown.append((source, target))
        else:
            target = _free_name(wanted, taken)
            if target != wanted:
                plan.renamed.append((source, target))
        taken.add(str(target).casefold())
        plan.files.append((source, target))


def _free_name(wanted: Path, taken: Collection[str]) -> Path:
    """`wanted`, or `wanted` with a number if it is there, or in `taken`, which holds names in lower case."""
    name, number = wanted, 1
    while str(name).casefold() in taken or os.path.lexists(name):
        number += 1
        name = numbered(wanted, number)
    return name


def _is_beginning(path: Path, source: Path, masked: bool) -> bool:
    """Whether a file's bytes are the beginning of those that the copy of a source would have."""
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
    """Yield each regular file of the sources, and its path relative to the source that it is of."""
    for source in sources:
        paths = _matches(user_path(source))
        if not paths:
            raise UsageError(f"There is nothing at {source!r} to copy; give a folder, a file or a quoted pattern.")
        for path in paths:
            try:
                mode = path.stat().st_mode
            except OSError as error:
                plan.skipped.append((path, folder.unreadable(error)))
                continue
            resolved, target = path.resolve(), plan.target.resolve()
            if resolved.is_relative_to(target) or target.is_relative_to(resolved):
                raise UsageError(f"{source!r} and {str(plan.target)!r} lie within each other; copy from elsewhere.")
            if stat.S_ISDIR(mode):
                found = folder.find(path)
                plan.skipped += [(path / name, why) for name, why in found.skipped.items()]
                yield from ((file, file.relative_to(path)) for file in found.files)
            elif stat.S_ISREG(mode):
                yield path, Path(path.name)
            else:
                plan.skipped.append((path, folder.kind_of(mode)))


def _matches(path: Path) -> list[Path]:
    """The paths that a path or a pattern stands for. A pattern is only what comes behind folders that exist."""
    if os.path.lexists(path):
        return [path]
    base = next(parent for parent in path.parents if parent.is_dir() or parent == parent.parent)
    pattern = str(path.relative_to(base))
    return [base / match for match in sorted(glob.glob(pattern, root_dir=base, recursive=True))]


def copy(plan: CopyPlan, progress: Callable[[int], object] = lambda _: None) -> Copied:
    """Carry a plan out; `progress` is told the bytes of each file copied.

    A file that cannot be copied is told in the result, and the others are copied all the same.

    Raises:
        GreylordError: the disk has no room. Nothing is copied if that shows before.
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
                    credentials = copy_masked(source, temporary)
                    copied.credentials.append(credentials)
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
        folder.note(plan.target, "redact" if plan.masked else "copy", recordings=copied.files, bytes=copied.bytes)
    return copied
