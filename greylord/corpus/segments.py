"""A corpus as Parquet, for the Hub: one file per split, one row per segment.

Rows of millions of ids suit neither viewers nor batches, so recordings are cut into segments. The segments of one
name, joined in the order of their offsets, are the recording's ids.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, List, Value

from greylord.corpus.arrow import SPLITS, load_split
from greylord.corpus.windows import row_arrays
from greylord.progress import Progress, silent

__all__ = ["FEATURES", "SEGMENT_TOKENS", "file_name", "write"]

SEGMENT_TOKENS = 1 << 16
FEATURES = Features({"name": Value("string"), "offset": Value("int64"), "input_ids": List(Value("uint16"))})
"""The recording, the index of the segment's first id in it, and up to `SEGMENT_TOKENS` ids."""


def file_name(split: str) -> str:
    """Return the path of a split's file in the repository.

    `datasets.load_dataset` looks there by default.
    """
    return f"data/{split}-00000-of-00001.parquet"


def write(corpus: Path, folder: Path, progress: Progress = silent) -> list[Path]:
    """Write the segments of a corpus into a folder, and return the files.

    Args:
        progress: Counts recordings.
    """
    splits = {split: load_split(corpus, split) for split in SPLITS}
    files = [folder / file_name(split) for split in SPLITS]
    (folder / "data").mkdir(parents=True)
    with progress("Packing", sum(map(len, splits.values()))) as advance:
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
