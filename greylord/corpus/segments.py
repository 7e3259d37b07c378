"""A corpus as Parquet for others: one file a split, one row a segment of a recording.

Rows of millions of ids suit no viewer and no batch, so recordings are cut into segments. Those of one name, end to
end by offset, are the recording's ids again.
"""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, List, Value

from greylord.corpus.arrow import SPLITS
from greylord.corpus.windows import row_arrays
from greylord.progress import Progress, silent

__all__ = ["FEATURES", "SEGMENT_TOKENS", "file_name", "write"]

SEGMENT_TOKENS = 1 << 16
FEATURES = Features({"name": Value("string"), "offset": Value("int64"), "input_ids": List(Value("uint16"))})
"""The recording, where in its ids the segment begins, and up to `SEGMENT_TOKENS` ids."""


def file_name(split: str) -> str:
    """Where a split's file lies below the folder: as `datasets.load_dataset` finds it without being told."""
    return f"data/{split}-00000-of-00001.parquet"


def write(corpus: Path, folder: Path, progress: Progress = silent) -> list[Path]:
    """Write the segments of a corpus into a folder, and return the files."""
    splits = datasets.load_from_disk(str(corpus))
    files = [folder / file_name(split) for split in SPLITS]
    (folder / "data").mkdir(parents=True)
    with progress("Packing", sum(len(splits[split]) for split in SPLITS)) as advance:
        for split, file in zip(SPLITS, files, strict=True):
            with pq.ParquetWriter(file, FEATURES.arrow_schema, compression="zstd") as target:
                for name, ids in zip(splits[split]["name"], row_arrays(splits[split]), strict=True):
                    target.write_table(_segments(name, ids))
                    advance(1)
    return files


def _segments(name: str, ids: np.ndarray) -> pa.Table:
    offsets = np.arange(0, len(ids), SEGMENT_TOKENS)
    columns = {
        "name": [name] * len(offsets),
        "offset": offsets,
        "input_ids": pa.ListArray.from_arrays(np.append(offsets, len(ids)).astype(np.int32), ids),
    }
    return pa.table(columns, schema=FEATURES.arrow_schema)
