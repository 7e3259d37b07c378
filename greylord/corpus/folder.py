"""The data folder: recordings under data/NAME, copied in and pruned without losing any.

What is removed goes to data/.pruned/NAME, what was done is noted in data/.journal/NAME.jsonl: neither lies
among the recordings.
"""

from __future__ import annotations

import filecmp
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from greylord import units
from greylord.captures import proxylog, redaction
from greylord.captures.redaction import Credentials
from greylord.errors import GreylordError, UsageError

__all__ = [
    "DATA",
    "CopyPlan",
    "Pruning",
    "check_name",
    "copy",
    "locate",
    "names",
    "plan_copy",
    "plan_pruning",
    "prune",
    "recordings",
]

DATA = Path("data")
SPARE_BYTES = 64 * 10**6
"""Room that copying leaves on the disk."""


def check_name(name: str) -> str:
    """The name of a dataset, if it can be one."""
    if not name or name.startswith(".") or name != Path(name).name or set(name) & set('<>:"/\\|?*'):
        raise UsageError(f"{name!r} cannot be a dataset's name; use letters, digits, '-' and '_', as in majormud.")
    return name


def names() -> list[str]:
    """The datasets under data/."""
    if not DATA.is_dir():
        return []
    return sorted(path.name for path in DATA.iterdir() if path.is_dir() and not path.name.startswith("."))


def locate(dataset: str | None) -> Path:
    """The folder of a dataset: a name under data/, a path, or with None the only one there is."""
    there = names()
    if dataset is None:
        if len(there) == 1:
            return DATA / there[0]
        if not there:
            raise UsageError("There is no dataset under data/; make one with `greylord data sample sample`.")
        raise UsageError(f"Which dataset? Name one with --dataset: {', '.join(there)}.")
    for folder in (DATA / dataset, Path(dataset)):
        if folder.is_dir() and dataset not in ("", "."):
            return folder
    known = f"there are {', '.join(there)}" if there else "there is none yet"
    raise UsageError(f"There is no dataset {dataset!r} under data/ and no folder of that path; {known}.")


def recordings(folder: Path) -> list[Path]:
    """All files of a folder and below but hidden ones, in the order of their paths."""
    return sorted(_files_below(folder), key=lambda path: path.relative_to(folder).as_posix())


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in files if not name.startswith("."))


def note(dataset: str, action: str, **details: object) -> None:
    """Add a line to the dataset's journal."""
    journal = DATA / ".journal" / f"{dataset}.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, **details}
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@dataclass
class CopyPlan:
    """What copying would do."""

    target: Path
    masked: bool = False
    """The copies have their credentials masked."""
    files: list[tuple[Path, Path]] = field(default_factory=list)
    """Source and target of each file to copy."""
    present: int = 0
    """Recordings that are there already, byte for byte."""
    renamed: list[tuple[Path, Path]] = field(default_factory=list)
    """Those of `files` that get another name, because theirs is another recording's."""
    others: list[Path] = field(default_factory=list)
    """Files that are no recordings, and stay behind."""
    unreadable: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(source.stat().st_size for source, _ in self.files)


def plan_copy(sources: Iterable[str], dataset: str, masked: bool = False) -> CopyPlan:
    """Find the recordings among `sources` (folders, globs, files), and free names for them in data/`dataset`.

    With `masked`, the copies are to have their credentials masked. Raises UsageError where a source does not exist or
    holds the dataset itself.
    """
    plan = CopyPlan(DATA / check_name(dataset), masked)
    taken: dict[str, Path] = {}
    for source, relative in _expand(sources, plan.target):
        try:
            if not proxylog.is_capture(source):
                plan.others.append(source)
                continue
            target = _free_name(plan.target / relative, source, taken, masked)
        except OSError as error:
            plan.unreadable.append((source, error.strerror or str(error)))
            continue
        if target is None:
            plan.present += 1
            continue
        taken[str(target).casefold()] = source
        plan.files.append((source, target))
        if target != plan.target / relative:
            plan.renamed.append((source, target))
    return plan


def _expand(sources: Iterable[str], target: Path) -> Iterator[tuple[Path, Path]]:
    """Each file of the sources, and its path relative to the source that it is of."""
    for source in sources:
        paths = [Path(source)]
        if not paths[0].exists() and glob.has_magic(source):
            paths = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
        if not paths or not paths[0].exists():
            raise UsageError(f"There is nothing at {source!r} to copy; give a folder, a file or a quoted pattern.")
        for path in paths:
            if path.resolve().is_relative_to(target.resolve()) or target.resolve().is_relative_to(path.resolve()):
                raise UsageError(f"{source!r} and {str(target)!r} lie within each other; copy from elsewhere.")
            if path.is_dir():
                yield from ((file, file.relative_to(path)) for file in recordings(path))
            else:
                yield path, Path(path.name)


def _free_name(wanted: Path, source: Path, taken: dict[str, Path], masked: bool = False) -> Path | None:
    """`wanted`, or `wanted` with a number if another recording has it; None if this recording, or with `masked` its
    masked copy, has it. `taken` are sources that are to have a name."""
    number = 1
    while True:
        name = wanted if number == 1 else wanted.with_name(f"{wanted.stem}~{number}{wanted.suffix}")
        rival = taken.get(str(name).casefold())
        if rival is None and not name.exists():
            return name
        if rival is None and masked:
            same = _is_masked_copy(name, source)
        else:
            same = filecmp.cmp(rival or name, source, shallow=False)
        if same:
            return None
        number += 1


def _is_masked_copy(path: Path, source: Path) -> bool:
    """Whether a file is what a recording gives with its credentials masked, which is as long as the recording."""
    if path.stat().st_size != source.stat().st_size:
        return False
    with tempfile.TemporaryDirectory() as place:
        redaction.copy_file(source, Path(place, "masked"))
        return filecmp.cmp(path, Path(place, "masked"), shallow=False)


def copy(plan: CopyPlan, progress: Callable[[int], object] = lambda _: None) -> list[Credentials]:
    """Carry a plan out; `progress` is told the bytes of each file copied. Returns the credentials of each file whose
    copy has them masked.

    Raises GreylordError before anything is copied if the disk has no room.
    """
    plan.target.mkdir(parents=True, exist_ok=True)
    needed, free = plan.bytes, shutil.disk_usage(plan.target).free
    if needed + SPARE_BYTES > free:
        raise GreylordError(
            f"The recordings need {units.size(needed)} and {str(plan.target)!r} has {units.size(free)} free; "
            "make room or copy fewer."
        )
    found = []
    for source, target in plan.files:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            if plan.masked:
                found.append(redaction.copy_file(source, temporary))
            else:
                shutil.copy2(source, temporary)
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        progress(target.stat().st_size)
    if plan.files:
        note(plan.target.name, "redact" if plan.masked else "copy", recordings=len(plan.files), bytes=needed)
    return found


@dataclass
class Pruning:
    """What pruning would remove from a dataset."""

    folder: Path
    removed: list[tuple[Path, str]]
    """Each file that goes, and why."""
    kept: int

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path, _ in self.removed)


def plan_pruning(folder: Path, min_size: int | None, pattern: str | None) -> Pruning:
    """Find the files smaller than `min_size` bytes or whose name does not match `pattern`."""
    removed, kept = [], 0
    for path in recordings(folder):
        length = path.stat().st_size
        if min_size is not None and length < min_size:
            removed.append((path, f"smaller than {units.size(min_size)}"))
        elif pattern is not None and not fnmatch(path.name, pattern):
            removed.append((path, f"does not match {pattern!r}"))
        else:
            kept += 1
    return Pruning(folder, removed, kept)


def prune(pruning: Pruning, delete: bool) -> Path | None:
    """Move the files that go to data/.pruned/NAME and return that folder, or delete them and return None."""
    attic = None if delete else DATA / ".pruned" / pruning.folder.name
    freed = pruning.bytes
    for path, _ in pruning.removed:
        if attic is None:
            path.unlink()
            continue
        target = _free_name(attic / path.relative_to(pruning.folder), path, {})
        if target is None:
            path.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    for parent in {path.parent for path, _ in pruning.removed} - {pruning.folder}:
        if not any(parent.iterdir()):
            parent.rmdir()
    note(pruning.folder.name, "delete" if delete else "prune", recordings=len(pruning.removed), bytes=freed)
    return attic
