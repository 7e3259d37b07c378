"""The recordings of a dataset: each once, with the time that decides its group.

Copies and beginnings of other recordings are left out. Near-copies get the same time, so that the split cannot put
them on both sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from greylord.captures.start_times import parse_start, plausible_start
from greylord.corpus import split
from greylord.corpus.identity import Candidate, find_duplicates
from greylord.corpus.likeness import find_near_copies
from greylord.corpus.listing import Listing, list_files, size_of
from greylord.corpus.manifest import CorpusSettings, DialectCounts, Manifest, file_hash
from greylord.corpus.reading import Reading, read_all
from greylord.errors import EmptyDatasetError, GreylordError
from greylord.progress import Progress, silent
from greylord.spool import Spool, blocks, map_file
from greylord.stream import turns
from greylord.stream.delays import quantiles_of
from greylord.workspace import HERE, Workspace

__all__ = ["RecordingFile", "Row", "files_of", "read_dataset", "read_files"]


@dataclass(frozen=True)
class RecordingFile:
    """A file of a dataset that may be a recording."""

    path: Path
    name: str
    """Its path within the dataset, as the corpus has it."""
    sha256: str
    """Hash of the file's bytes, in hex."""
    started_at: datetime | None
    """The start in its name."""
    grouped_at: datetime | None
    """When it was recorded, for its time group: by name, modification time or near-copy. None if unknown."""
    grouped_by: str
    """Evidence for that time; see `RecordingEntry`."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The file's part in the hash of the corpus.

        It holds the name, the hash, and the modification time if that decides the group.
        """
        return self.name, self.sha256, str(self.grouped_at) if self.grouped_by == "modification time" else ""


@dataclass(frozen=True)
class Row:
    """A recording that has been read. Its ids wait on disk until the split is known."""

    file: RecordingFile
    reading: Reading

    @property
    def counts(self) -> DialectCounts:
        """Counts of the recording."""
        return self.reading.counts

    @property
    def order(self) -> tuple[bool, datetime | None, str]:
        """Sort key: by start, unknown starts last."""
        return self.file.grouped_at is None, self.file.grouped_at, self.file.name

    def payload(self) -> np.ndarray:
        """Return the payload as the corpus has it, uint8 [bytes].

        A large one lies in a temporary file.
        """
        payload = Spool(np.uint8, self.reading.ids.file.parent)
        for _, block in blocks(self.ids()):
            payload.append(turns.payload_of(block))
        return payload.array()

    def ids(self) -> np.ndarray:
        """Return the ids, uint16 [tokens], as a view of the file in which they wait."""
        file = self.reading.ids.file
        return self.reading.ids.load({file: map_file(file)})


def files_of(listing: Listing) -> list[RecordingFile]:
    """Hash the files of a dataset. Those that cannot be read join `listing.skipped`.

    Raises:
        EmptyDatasetError: The folder is empty.
        GreylordError: None of the files can be read.
    """
    files = []
    for path in listing.files:
        name = listing.name_of(path)
        try:
            sha256, modified = file_hash(path), path.stat().st_mtime
        except OSError as error:
            listing.skipped[name] = f"cannot be read: {error.strerror}"
            continue
        started_at = parse_start(path.name)
        grouped_at = started_at or _start_from(modified)
        evidence = "name" if started_at else "modification time" if grouped_at else "nothing"
        files.append(RecordingFile(path, name, sha256, started_at, grouped_at, evidence))
    if files:
        return files
    if not listing.skipped:
        raise EmptyDatasetError(f"{str(listing.folder)!r} is empty.")
    (name, reason), *others = listing.skipped.items()
    more = f", and {len(others):,} more" if others else ""
    raise GreylordError(f"{str(listing.folder)!r} has no file that can be read: {name} is skipped ({reason}){more}.")


def _start_from(modified: float) -> datetime | None:
    """Return a modification time if a recording can have been made then.

    `modified` is in seconds since 1970.
    """
    try:
        return plausible_start(datetime.fromtimestamp(int(modified), UTC))
    except (ValueError, OverflowError, OSError):
        # Before the year 1 or after 9999.
        return None


def read_dataset(
    dataset: Path,
    spool: Path,
    settings: CorpusSettings,
    progress: Progress = silent,
    *,
    workspace: Workspace = HERE,
) -> tuple[list[Row], Manifest]:
    """Read the recordings of a dataset without building its corpus.

    See `read_files`.

    Returns:
        The recordings, and a manifest without hash and splits.
    """
    listing = list_files(dataset, workspace=workspace)
    manifest = Manifest(dataset.name, "", settings, left_out=listing.skipped)
    return read_files(files_of(listing), manifest, spool, progress), manifest


def read_files(files: Sequence[RecordingFile], manifest: Manifest, spool: Path, progress: Progress) -> list[Row]:
    """Read the recordings among the files, each once, in the order of their starts.

    Args:
        files: May hold other files too.
        manifest: Gets the counts of the recordings and the names of the files left out.
        spool: A folder for ids.
        progress: Counts bytes.

    Raises:
        GreylordError: None of the files is a recording.
    """
    rows: list[Row] = []
    with progress("Reading recordings", sum(size_of(file.path) for file in files)) as advance:
        readings = read_all([file.path for file in files], spool, manifest.settings)
        for file, reading in zip(files, readings, strict=True):
            advance(size_of(file.path))
            if reading is None:
                manifest.skipped.append(file.name)
            elif isinstance(reading, str):
                manifest.left_out[file.name] = reading
            else:
                rows.append(Row(file, reading))
    if not rows:
        if len(files) == 1:
            raise GreylordError(f"The only file of {manifest.dataset!r} is not a recording.")
        raise GreylordError(f"None of the {len(files):,} files of {manifest.dataset!r} is a recording.")
    rows = _group_near_copies(_without_duplicates(rows, manifest), manifest)
    delays: Counter[int] = Counter()
    for row in rows:
        if row.reading.compressed:
            manifest.compressed.append(row.file.name)
        for sign in row.reading.signs:
            manifest.signs.setdefault(sign.value, []).append(row.file.name)
        total = manifest.dialects.get(row.reading.dialect, DialectCounts())
        manifest.dialects[row.reading.dialect] = total + row.counts
        delays.update(row.reading.delays)
    manifest.pauses = {token: list(seconds) for token, seconds in quantiles_of(delays).items()}
    return rows


def _by_evidence(row: Row) -> tuple:
    """Sort key: recordings with a start in their name first, then by start."""
    return row.file.grouped_by != "name", row.order


def _without_duplicates(rows: Sequence[Row], manifest: Manifest) -> list[Row]:
    """Leave out copies and beginnings of other recordings.

    The rest is in the order of the starts.
    """
    # Among equal payloads, the first counts.
    rows = sorted(rows, key=_by_evidence)
    duplicates = find_duplicates([Candidate(row.reading.head, row.payload) for row in rows])
    for index, other in duplicates.items():
        relation = "the same payload as" if other.equal else "the beginning of"
        manifest.left_out[rows[index].file.name] = f"{relation} {rows[other.index].file.name}"
    return sorted((row for index, row in enumerate(rows) if index not in duplicates), key=lambda row: row.order)


def _group_near_copies(rows: list[Row], manifest: Manifest) -> list[Row]:
    """Give near-copies the time of the earliest one with a start in its name.

    The result is sorted by time.

    Where each recording will be cut in two, only the longest of the near-copies is kept: another one would train what
    its end validates.
    """
    clusters = find_near_copies([row.reading.samples for row in rows])
    for cluster in clusters:
        first = min((rows[index] for index in cluster), key=_by_evidence).file
        for index in cluster:
            file = rows[index].file
            if file.grouped_at != first.grouped_at:
                file = replace(file, grouped_at=first.grouped_at, grouped_by="near-copy")
                rows[index] = replace(rows[index], file=file)
    if _group_count(rows) >= split.MIN_GROUPS:
        return sorted(rows, key=lambda row: row.order)
    out = set()
    for cluster in clusters:
        longest, *others = sorted(cluster, key=lambda index: -rows[index].counts.payload_bytes.total)
        for index in others:
            manifest.left_out[rows[index].file.name] = f"a near-copy of {rows[longest].file.name}"
        out.update(others)
    return sorted((row for index, row in enumerate(rows) if index not in out), key=lambda row: row.order)


def _group_count(rows: Sequence[Row]) -> int:
    return max(split.time_groups([row.file.grouped_at for row in rows])) + 1
