"""Recordings to a corpus: an Arrow `DatasetDict` with one row a recording, and its manifest.

The corpus of data/NAME is corpora/NAME. It is keyed by the contents of the recordings and by the settings, so
that it is built again when one of them has changed, and only then.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import DatasetInfo, Features, List, Value
from datasets.arrow_writer import ArrowWriter

from greylord import units
from greylord.corpus import folder, split
from greylord.corpus.manifest import CorpusSettings, Manifest, RecordingEntry, SplitCounts, content_hash
from greylord.corpus.recordings import Row, files_of, read_files
from greylord.errors import GreylordError
from greylord.files import new_folder
from greylord.progress import Progress, silent
from greylord.spool import Spool, blocks, map_file, release
from greylord.stream import vocabulary
from greylord.workspace import HERE

__all__ = ["FEATURES", "SPLITS", "corpus_of", "refresh", "with_skipped"]

SPLITS = ("train", "validation")
ARROW_NAME = "data-00000-of-00001.arrow"
BATCH_BYTES = 100 * 10**6
"""The size of a record batch, unless one row is larger."""
MAX_ROW_TOKENS = 2**31 - 1
"""List offsets are 32-bit."""
WRITTEN_BYTES = 1 << 22
START = np.array([vocabulary.PAD], np.uint16)
"""The start symbol."""

FEATURES = Features(
    {
        "name": Value("string"),
        "started_at": Value("timestamp[ms, tz=UTC]"),
        "dialect": Value("string"),
        "records": Value("int64"),
        "turns": Value("int64"),
        "server_bytes": Value("int64"),
        "client_bytes": Value("int64"),
        "input_ids": List(Value("uint16")),
    }
)


def corpus_of(dataset: Path) -> Path:
    """Where the corpus of a dataset's folder lies."""
    if dataset.parent.resolve() == HERE.data.resolve():
        return HERE.corpora / folder.shown(dataset.name)
    path = dataset.resolve()
    return HERE.corpora / f"{folder.shown(path.name)}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


def refresh(
    dataset: Path,
    val_split: float | None = None,
    keep_records: bool | None = None,
    seed: int | None = None,
    keep_credentials: bool | None = None,
    progress: Progress = silent,
) -> tuple[Manifest, bool]:
    """Build the corpus of `dataset` unless it is there already; also tell whether it was built.

    CorpusSettings that are None stay as the corpus has them. An older corpus goes once the new one is complete.
    Raises GreylordError if there is no recording, or there is too little to validate on.
    """
    found = folder.find(dataset)
    files = files_of(found)
    manifest = Manifest.read(corpus_of(dataset))
    changes = {
        "val_split": val_split,
        "keep_records": keep_records,
        "seed": seed,
        "keep_credentials": keep_credentials,
    }
    settings = replace(
        manifest.settings if manifest else CorpusSettings(),
        **{name: value for name, value in changes.items() if value is not None},
    )
    wanted = content_hash([file.key for file in files], settings)
    if manifest and manifest.content_hash == wanted:
        return with_skipped(manifest, found), False
    with new_folder(corpus_of(dataset)) as corpus, contextlib.ExitStack() as files_open:
        manifest = Manifest(dataset.name, wanted, settings, left_out=found.skipped)
        spool = corpus / "spool"
        spool.mkdir()
        rows = read_files(files, manifest, spool, progress)
        _write(rows, manifest, corpus, files_open)
        shutil.rmtree(spool)
        manifest.write(corpus)
    return manifest, True


def with_skipped(manifest: Manifest, found: folder.Found) -> Manifest:
    """Return a manifest with what is skipped in the dataset now, in place of what was when the corpus was built."""
    names = {found.name(path) for path in found.files}
    left_out = {name: why for name, why in manifest.left_out.items() if name in names}
    return replace(manifest, left_out=found.skipped | left_out)


def _write(rows: Sequence[Row], manifest: Manifest, corpus: Path, files_open: contextlib.ExitStack) -> None:
    """Divide the recordings between the splits and write both."""
    groups = split.time_groups([row.file.grouped_at for row in rows])
    manifest.groups = max(groups) + 1
    fraction = manifest.settings.val_split
    manifest.cut = manifest.groups < split.MIN_GROUPS
    sizes = np.bincount(groups, [row.counts.payload_bytes.total for row in rows]).astype(np.int64).tolist()
    validating = set() if manifest.cut else split.choose_validation(sizes, fraction, manifest.settings.seed)
    writers = {name: _SplitWriter(corpus / name, name, manifest.content_hash, files_open) for name in SPLITS}
    spools = {file: map_file(file) for file in {row.reading.ids.file for row in rows}}
    for row, group in zip(rows, groups, strict=True):
        ids = row.reading.ids.load(spools)
        if manifest.cut:
            end, begin = split.cut_tail(ids, fraction)
            manifest.gap_tokens += begin - end
            shares = {"train": [ids[:end]], "validation": [START, ids[begin:]]}
        else:
            shares = {"validation" if group in validating else "train": [ids]}
        for name, share in shares.items():
            writers[name].add(row, group, *share)
        manifest.recordings.append(
            RecordingEntry(
                name=row.file.name,
                payload_sha256=row.reading.payload_sha256,
                dialect=row.reading.dialect,
                started_at=row.file.started_at and row.file.started_at.isoformat(timespec="milliseconds"),
                grouped_by=row.file.grouped_by,
                group=group,
                payload_bytes=row.counts.payload_bytes.total,
                split="both" if manifest.cut else next(iter(shares)),
            )
        )
    manifest.splits = {name: writer.close() for name, writer in writers.items()}
    if not all(counts.payload_bytes for counts in manifest.splits.values()):
        raise GreylordError(
            f"{units.count(len(rows), 'recording')} with {sum(sizes):,} bytes of payload is too little to "
            "divide into training and validation; record more."
        )
    (corpus / "dataset_dict.json").write_text(json.dumps({"splits": list(SPLITS)}), encoding="utf-8")


class _SplitWriter:
    """Writes one split as `Dataset.save_to_disk` would, but in batches that 32-bit list offsets can hold."""

    def __init__(self, folder: Path, name: str, content_hash: str, files_open: contextlib.ExitStack) -> None:
        folder.mkdir()
        self.folder, self.name, self.fingerprint = folder, name, content_hash[:16]
        self.counts = SplitCounts()
        self._groups: set[int] = set()
        self._rows: list[Row] = []
        self._lengths: list[int] = []
        self._ids: list[np.ndarray] = []
        self._bytes = 0
        self._file = files_open.enter_context(_ArrowFile(folder / ARROW_NAME))
        self._arrow = ArrowWriter(features=FEATURES, stream=self._file)

    def add(self, row: Row, group: int, *ids: np.ndarray) -> None:
        """Add a recording, or the part of one, in one or more arrays, unless it holds nothing but the start symbol.

        Raises GreylordError if it is too long for a row.
        """
        length = sum(map(len, ids))
        if length == 1:
            return
        if length > MAX_ROW_TOKENS:
            raise GreylordError(
                f"{row.file.name!r} gives {length:,} tokens and one recording can have {MAX_ROW_TOKENS:,}; "
                "divide it into several files."
            )
        size = sum(part.nbytes for part in ids)
        if self._rows and self._bytes + size > BATCH_BYTES:
            self._flush()
        self._bytes += size
        self._rows.append(row)
        self._lengths.append(length)
        self._ids += ids
        framing = int(sum((block >= vocabulary.PAD).sum() for part in ids for _, block in blocks(part))) - 1
        self._groups.add(group)
        self.counts.recordings += 1
        self.counts.turns += framing // 2
        self.counts.payload_bytes += length - 1 - framing
        self.counts.tokens += length - 1

    def _flush(self) -> None:
        offsets = np.cumsum([0, *self._lengths], dtype=np.int32)
        ids = _joined(self._ids, self.folder)
        columns = {
            "name": [row.file.name for row in self._rows],
            "started_at": [row.file.started_at for row in self._rows],
            "dialect": [row.reading.dialect for row in self._rows],
            "records": [row.counts.records.total for row in self._rows],
            "turns": [row.counts.turns for row in self._rows],
            "server_bytes": [row.counts.payload_bytes.server for row in self._rows],
            "client_bytes": [row.counts.payload_bytes.client for row in self._rows],
            "input_ids": pa.ListArray.from_arrays(offsets, pa.array(ids)),
        }
        self._file.source = ids
        self._arrow.write_table(pa.table(columns, schema=FEATURES.arrow_schema))
        release(*self._ids)
        self._rows, self._lengths, self._ids, self._bytes = [], [], [], 0

    def close(self) -> SplitCounts:
        """Finish the files and tell what went into them."""
        if self._rows:
            self._flush()
        if self.counts.recordings:
            self._arrow.finalize()
        DatasetInfo(features=FEATURES).write_to_directory(str(self.folder))
        state = {
            "_data_files": [{"filename": ARROW_NAME}],
            "_fingerprint": self.fingerprint,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": self.name,
        }
        (self.folder / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
        self.counts.groups = len(self._groups)
        return self.counts


class _ArrowFile(io.BufferedWriter):
    """A file that arrays of any size are written to. Behind each piece, the pages of `source` are given back."""

    source = np.zeros(0, np.uint16)

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "w"))

    def write(self, data: pa.Buffer | bytes) -> int:
        view = memoryview(data).cast("B")
        for begin in range(0, len(view), WRITTEN_BYTES):
            super().write(view[begin : begin + WRITTEN_BYTES])
            release(self.source)
        return len(view)


def _joined(parts: Sequence[np.ndarray], folder: Path) -> np.ndarray:
    """uint16 [n]: arrays end to end; more than `BATCH_BYTES` of them in a temporary file in `folder`."""
    if len(parts) == 1:
        return parts[0]
    spool = Spool(np.uint16, folder, BATCH_BYTES)
    for part in parts:
        for _, block in blocks(part):
            spool.append(block)
    return spool.array()
