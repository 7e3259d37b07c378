"""Recordings to a corpus: an Arrow `DatasetDict` with one row a recording, and its manifest.

The corpus of data/NAME is corpora/NAME. It is keyed by the contents of the recordings and by the settings, so
that it is built again when one of them has changed, and only then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from greylord import units
from greylord.corpus import listing, split
from greylord.corpus.arrow import SPLITS, START, SplitWriter
from greylord.corpus.manifest import CorpusSettings, Manifest, RecordingEntry, content_hash
from greylord.corpus.recordings import Row, files_of, read_files
from greylord.errors import GreylordError
from greylord.files import new_folder
from greylord.progress import Progress, silent
from greylord.spool import map_file
from greylord.workspace import HERE

__all__ = ["corpus_of", "refresh", "with_skipped"]


def corpus_of(dataset: Path) -> Path:
    """Where the corpus of a dataset's folder lies."""
    if dataset.parent.resolve() == HERE.data.resolve():
        return HERE.corpora / listing.shown(dataset.name)
    path = dataset.resolve()
    return HERE.corpora / f"{listing.shown(path.name)}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


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
    found = listing.find(dataset)
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


def with_skipped(manifest: Manifest, found: listing.Found) -> Manifest:
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
    writers = {name: SplitWriter(corpus / name, name, manifest.content_hash, files_open) for name in SPLITS}
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
