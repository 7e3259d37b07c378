"""The recordings of a dataset: each once, whatever its name, and with what tells when it was recorded.

Copies, and beginnings of other recordings, are left out. Near-copies get the same time, so that the split cannot put
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
from greylord.corpus import folder, split
from greylord.corpus.identity import Candidate, same_recordings
from greylord.corpus.likeness import clusters
from greylord.corpus.manifest import CorpusSettings, DialectCounts, Manifest, file_hash
from greylord.corpus.reading import Reading, read_all
from greylord.errors import GreylordError
from greylord.progress import Progress, silent
from greylord.spool import Spool, blocks, map_file
from greylord.stream import turns
from greylord.stream.delays import quantiles_of

__all__ = ["File", "Row", "files_of", "read_dataset", "read_files"]


@dataclass(frozen=True)
class File:
    """A file of a dataset that may be a recording.

    Attributes:
        path: where it lies.
        name: its path within the dataset, as it stands in the corpus.
        sha256: of its bytes.
        started_at: what its name tells.
        grouped_at: when it was recorded, to be put into a time group; None if nothing tells.
        grouped_by: what tells.
    """

    path: Path
    name: str
    sha256: str
    started_at: datetime | None
    grouped_at: datetime | None
    grouped_by: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What of the file decides the corpus."""
        return self.name, self.sha256, str(self.grouped_at) if self.grouped_by == "modification time" else ""


@dataclass(frozen=True)
class Row:
    """A recording that has been read. Its ids wait on disk until the split is known."""

    file: File
    reading: Reading

    @property
    def counts(self) -> DialectCounts:
        return self.reading.counts

    @property
    def order(self) -> tuple[bool, datetime | None, str]:
        """Rows are in the order of their starts."""
        return self.file.grouped_at is None, self.file.grouped_at, self.file.name

    def payload(self) -> np.ndarray:
        """The payload as it stands in the corpus, uint8 [bytes]; in a temporary file if it is large."""
        payload = Spool(np.uint8, self.reading.ids.file.parent)
        for _, block in blocks(self.ids()):
            payload.append(turns.payload_of(block))
        return payload.array()

    def ids(self) -> np.ndarray:
        """The ids of the recording, uint16 [tokens], a view of the file in which they wait."""
        file = self.reading.ids.file
        return self.reading.ids.load({file: map_file(file)})


def files_of(found: folder.Found) -> list[File]:
    """Return the files of a dataset that can be read; the others join those that were skipped.

    Raises:
        GreylordError: there is none.
    """
    files = []
    for path in found.files:
        name = found.name(path)
        try:
            sha256, modified = file_hash(path), path.stat().st_mtime
        except OSError as error:
            found.skipped[name] = f"cannot be read: {error.strerror}"
            continue
        started_at = parse_start(path.name)
        grouped_at = started_at or _time(modified)
        by = "name" if started_at else "modification time" if grouped_at else "nothing"
        files.append(File(path, name, sha256, started_at, grouped_at, by))
    if not files:
        raise GreylordError(folder.nothing_in(found))
    return files


def _time(modified: float) -> datetime | None:
    """A modification time, seconds since 1970, if it can be when a recording was made."""
    try:
        return plausible_start(datetime.fromtimestamp(int(modified), UTC))
    except (ValueError, OverflowError, OSError):
        # Before the year 1 or after 9999.
        return None


def read_dataset(
    dataset: Path, spool: Path, settings: CorpusSettings, progress: Progress = silent
) -> tuple[list[Row], Manifest]:
    """Read the recordings of a dataset's folder without building its corpus; see `read_files`."""
    found = folder.find(dataset)
    manifest = Manifest(dataset.name, "", settings, left_out=found.skipped)
    return read_files(files_of(found), manifest, spool, progress), manifest


def read_files(files: Sequence[File], manifest: Manifest, spool: Path, progress: Progress) -> list[Row]:
    """Read the recordings among the files, once each, in the order of their starts.

    Args:
        files: that may be recordings.
        manifest: what the recordings hold is counted there, and what is left out is named.
        spool: a folder for ids.
        progress: counts bytes.

    Raises:
        GreylordError: there is no recording among the files.
    """
    rows: list[Row] = []
    with progress("Reading recordings", sum(folder.size_of(file.path) for file in files)) as advance:
        readings = read_all([file.path for file in files], spool, manifest.settings)
        for file, reading in zip(files, readings, strict=True):
            advance(folder.size_of(file.path))
            if reading is None:
                manifest.skipped.append(file.name)
            elif isinstance(reading, str):
                manifest.left_out[file.name] = reading
            else:
                rows.append(Row(file, reading))
    if not rows:
        raise GreylordError(f"None of the {len(files):,} files of {manifest.dataset!r} is a recording.")
    rows = _grouped(_different(rows, manifest), manifest)
    delays: Counter[int] = Counter()
    for row in rows:
        if row.reading.compressed:
            manifest.compressed.append(row.file.name)
        for sign in row.reading.signs:
            manifest.signs.setdefault(sign.value, []).append(row.file.name)
        before = manifest.dialects.get(row.reading.dialect, DialectCounts())
        manifest.dialects[row.reading.dialect] = before + row.counts
        delays.update(row.reading.delays)
    manifest.pauses = quantiles_of(delays)
    return rows


def _different(rows: Sequence[Row], manifest: Manifest) -> list[Row]:
    """The recordings without copies and beginnings of others, in the order of their starts."""
    # Of equal ones that counts whose name tells when it was recorded.
    rows = sorted(rows, key=lambda row: (row.file.grouped_by != "name", row.order))
    same = same_recordings([Candidate(row.reading.head, row.payload) for row in rows])
    for index, other in same.items():
        what = "the same payload as" if other.equal else "the beginning of"
        manifest.left_out[rows[index].file.name] = f"{what} {rows[other.index].file.name}"
    return sorted((row for index, row in enumerate(rows) if index not in same), key=lambda row: row.order)


def _grouped(rows: list[Row], manifest: Manifest) -> list[Row]:
    """The recordings with near-copies at one time: that of the one whose name tells the earliest."""
    together = clusters([row.reading.samples for row in rows])
    for cluster in together:
        first = min((rows[index] for index in cluster), key=lambda row: (row.file.grouped_by != "name", row.order)).file
        for index in cluster:
            file = rows[index].file
            if file.grouped_at != first.grouped_at:
                file = replace(file, grouped_at=first.grouped_at, grouped_by="near-copy")
                rows[index] = replace(rows[index], file=file)
    if _group_count(rows) >= split.MIN_GROUPS:
        return sorted(rows, key=lambda row: row.order)
    # Each recording will be cut in two, and a near-copy would train what another's end validates.
    out = set()
    for cluster in together:
        longest, *others = sorted(cluster, key=lambda index: -rows[index].counts.payload_bytes.total)
        for index in others:
            manifest.left_out[rows[index].file.name] = f"a near-copy of {rows[longest].file.name}"
        out.update(others)
    return sorted((row for index, row in enumerate(rows) if index not in out), key=lambda row: row.order)


def _group_count(rows: Sequence[Row]) -> int:
    return max(split.time_groups([row.file.grouped_at for row in rows])) + 1
