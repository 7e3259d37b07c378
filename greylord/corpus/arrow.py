"""The Arrow files of a corpus, one for each split."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import DatasetInfo, Features, List, Value
from datasets.arrow_writer import ArrowWriter

from greylord.corpus.manifest import SplitCounts
from greylord.corpus.recordings import Row
from greylord.errors import GreylordError
from greylord.spool import Spool, blocks, release
from greylord.stream import vocabulary

__all__ = ["ARROW_NAME", "FEATURES", "SPLITS", "START", "SplitWriter"]

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


class SplitWriter:
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
