"""The Arrow files of a corpus: one per split, with one row per recording."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
from datasets import DatasetInfo, Features, List, Value
from datasets.arrow_writer import ArrowWriter

from greylord.corpus.manifest import SplitCounts
from greylord.corpus.recordings import Row
from greylord.errors import GreylordError
from greylord.spool import Spool, blocks, release
from greylord.stream import vocabulary

__all__ = ["ARROW_NAME", "FEATURES", "SPLITS", "START", "SplitWriter", "load_split"]

SPLITS = ("train", "validation")
ARROW_NAME = "data-00000-of-00001.arrow"
BATCH_BYTES = 100 * 10**6
"""Largest record batch; a row that is larger has a batch of its own."""
MAX_ROW_TOKENS = 2**31 - 1
"""List offsets are 32-bit."""
WRITTEN_BYTES = 1 << 22
"""Bytes written before mapped pages are released."""
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


def load_split(corpus: Path, split: str) -> datasets.Dataset:
    """Open a split of a corpus, memory-mapped, with the columns of `FEATURES`.

    Raises:
        GreylordError: The files are missing or damaged.
    """
    try:
        dataset = datasets.load_from_disk(str(corpus / split))
        if dataset.column_names != list(FEATURES):
            raise ValueError(f"its columns are {', '.join(dataset.column_names)}")
        return dataset
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise GreylordError(
            f"{str(corpus)!r} is not a readable corpus ({error}); delete it and build it again."
        ) from error


class SplitWriter:
    """Writes a split as `Dataset.save_to_disk` would.

    Its batches are small enough for 32-bit list offsets.

    Args:
        folder: The folder to create.
        name: Name of the split.
        content_hash: Hash of the corpus. Its beginning becomes the fingerprint of the dataset.
        open_files: Closes the Arrow file if the build fails.
    """

    def __init__(self, folder: Path, name: str, content_hash: str, open_files: contextlib.ExitStack) -> None:
        folder.mkdir()
        self.folder, self.name, self.fingerprint = folder, name, content_hash[:16]
        self.counts = SplitCounts()
        self._groups: set[int] = set()
        self._rows: list[Row] = []
        self._lengths: list[int] = []
        self._ids: list[np.ndarray] = []
        self._bytes = 0
        self._file = open_files.enter_context(_ArrowFile(folder / ARROW_NAME))
        self._arrow = ArrowWriter(features=FEATURES, stream=self._file)

    def add(self, row: Row, group: int, *ids: np.ndarray) -> None:
        """Add a recording, or a part of one.

        Ids that are only the start symbol are left out.

        Args:
            row: The whole recording.
            group: Its time group.
            ids: uint16, one or more arrays that stand end to end.

        Raises:
            GreylordError: There are more ids than a row can hold.
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
        """Finish the files, and return the totals of the split."""
        if self._rows:
            self._flush()
        if self.counts.recordings:
            self._arrow.finalize()
        DatasetInfo(features=FEATURES).write_to_directory(str(self.folder))
        state: dict[str, object] = {
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
    """A file for arrays of any size.

    The mapped pages of `source` are released behind each piece that is written.
    """

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
    """Return arrays end to end, uint16 [n].

    More than `BATCH_BYTES` of them lie in a temporary file in `folder`.
    """
    if len(parts) == 1:
        return parts[0]
    spool = Spool(np.uint16, folder, BATCH_BYTES)
    for part in parts:
        for _, block in blocks(part):
            spool.append(block)
    return spool.array()
