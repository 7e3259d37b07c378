"""Build the corpus of a dataset: an Arrow `DatasetDict` and its manifest.

The `DatasetDict` has one row for each recording. The corpus of data/NAME is corpora/NAME. It is keyed by the contents
of the recordings and by the settings, so it is built again when one of them has changed, and only then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from greylord import units
from greylord.corpus import folder, split
from greylord.corpus.arrow import SPLITS, START, SplitWriter, load_split
from greylord.corpus.listing import Listing, list_files, printable_name
from greylord.corpus.manifest import CorpusSettings, Manifest, RecordingEntry, content_hash
from greylord.corpus.recordings import Row, files_of, read_files
from greylord.errors import GreylordError, SettingError
from greylord.files import new_folder
from greylord.progress import Progress, silent
from greylord.spool import map_file
from greylord.workspace import HERE, Workspace

__all__ = ["Corpus", "build_corpus", "corpus_of", "with_skipped"]


@dataclass(frozen=True, repr=False)
class Corpus:
    """A corpus on disk.

    Its splits are opened when they are first used, and stay memory-mapped.
    """

    folder: Path
    dataset: Path
    """The folder of the recordings."""
    manifest: Manifest
    is_new: bool
    """True if this call has built it, false if it was up to date."""
    workspace: Workspace = HERE

    def __repr__(self) -> str:
        splits = ", ".join(
            f"{name} {units.count(split.recordings, 'recording')}" for name, split in self.manifest.splits.items()
        )
        return f"Corpus({str(self.folder)!r}: {splits})"

    @cached_property
    def train(self) -> datasets.Dataset:
        """The training split, with one row per recording.

        Its columns are `greylord.corpus.arrow.FEATURES`.
        """
        return load_split(self.folder, "train")

    @cached_property
    def validation(self) -> datasets.Dataset:
        """The validation split, with the same columns."""
        return load_split(self.folder, "validation")


def corpus_of(dataset: Path, *, workspace: Workspace = HERE) -> Path:
    """Return the folder of a dataset's corpus, whether it has been built or not."""
    if dataset.parent.resolve() == workspace.data.resolve():
        return workspace.corpora / printable_name(dataset.name)
    path = dataset.resolve()
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return workspace.corpora / f"{printable_name(path.name)}-{digest}"


def build_corpus(
    recordings: str | Path,
    *,
    workspace: Workspace = HERE,
    val_split: float | None = None,
    keep_records: bool | None = None,
    seed: int | None = None,
    keep_credentials: bool | None = None,
    progress: Progress = silent,
) -> Corpus:
    """Build the corpus of a dataset, unless it is up to date.

    A setting that is None stays as the corpus has it, or takes its default. An older corpus is replaced once the new
    one is complete.

        corpus = build_corpus("majormud")
        corpus.train[0]["input_ids"]

    Args:
        recordings: A folder, or the name of a dataset under data/.
        workspace: Where data/ and corpora/ lie. A path to a folder is relative to the current directory.
        val_split: Share of the payload bytes for validation, 0.2 by default.
        keep_records: Make each record a turn of its own instead of joining records into turns.
        seed: Chooses the recordings for validation, 0 by default.
        keep_credentials: Leave passwords unmasked. The corpus and its models may not be published.
        progress: Shows how far reading is, in bytes.

    Raises:
        UsageError: There is no such folder or dataset, or `val_split` is out of range.
        GreylordError: There is no recording, or too little to divide into training and validation.
    """
    dataset = folder.dataset_folder(recordings, workspace=workspace)
    target = corpus_of(dataset, workspace=workspace)
    listing = list_files(dataset, workspace=workspace)
    files = files_of(listing)
    manifest = Manifest.read(target)
    changes: dict[str, Any] = {
        "val_split": val_split,
        "keep_records": keep_records,
        "seed": seed,
        "keep_credentials": keep_credentials,
    }
    settings = replace(
        manifest.settings if manifest else CorpusSettings(),
        **{name: value for name, value in changes.items() if value is not None},
    )
    if not 0 < settings.val_split < 1:
        raise SettingError(f"val_split must lie between 0 and 1, not {settings.val_split!r}.", "val_split")
    key = content_hash([file.key for file in files], settings)
    if manifest and manifest.content_hash == key:
        return Corpus(target, dataset, with_skipped(manifest, listing), False, workspace)
    manifest = Manifest(dataset.name, key, settings, left_out=listing.skipped)
    with new_folder(target) as corpus, contextlib.ExitStack() as open_files:
        spool = corpus / "spool"
        spool.mkdir()
        rows = read_files(files, manifest, spool, progress)
        _write(rows, manifest, corpus, open_files)
        shutil.rmtree(spool)
        manifest.write(corpus)
    return Corpus(target, dataset, manifest, True, workspace)


def with_skipped(manifest: Manifest, listing: Listing) -> Manifest:
    """Return a manifest with the files that are skipped now.

    They replace the files that were skipped when the corpus was built.
    """
    names = {listing.name_of(path) for path in listing.files}
    left_out = {name: reason for name, reason in manifest.left_out.items() if name in names}
    return replace(manifest, left_out=listing.skipped | left_out)


def _write(rows: Sequence[Row], manifest: Manifest, corpus: Path, open_files: contextlib.ExitStack) -> None:
    """Divide the recordings between the splits, write both, and fill the manifest."""
    groups = split.time_groups([row.file.grouped_at for row in rows])
    manifest.groups = max(groups) + 1
    fraction = manifest.settings.val_split
    manifest.cut = manifest.groups < split.MIN_GROUPS
    sizes = np.bincount(groups, [row.counts.payload_bytes.total for row in rows]).astype(np.int64).tolist()
    validating = set() if manifest.cut else split.choose_validation(sizes, fraction, manifest.settings.seed)
    writers = {name: SplitWriter(corpus / name, name, manifest.content_hash, open_files) for name in SPLITS}
    spools = {file: map_file(file) for file in {row.reading.ids.file for row in rows}}
    for row, group in zip(rows, groups, strict=True):
        ids = row.reading.ids.load(spools)
        if manifest.cut:
            end, begin = split.cut_tail(ids, fraction)
            manifest.gap_tokens += begin - end
            parts = {"train": [ids[:end]], "validation": [START, ids[begin:]]}
        else:
            parts = {"validation" if group in validating else "train": [ids]}
        for name, part in parts.items():
            writers[name].add(row, group, *part)
        started_at = row.file.started_at
        manifest.recordings.append(
            RecordingEntry(
                name=row.file.name,
                payload_sha256=row.reading.payload_sha256,
                dialect=row.reading.dialect,
                started_at=started_at.isoformat(timespec="milliseconds") if started_at else None,
                grouped_by=row.file.grouped_by,
                group=group,
                payload_bytes=row.counts.payload_bytes.total,
                split="both" if manifest.cut else next(iter(parts)),
            )
        )
    manifest.splits = {name: writer.close() for name, writer in writers.items()}
    if not all(counts.payload_bytes for counts in manifest.splits.values()):
        raise GreylordError(
            f"{units.count(len(rows), 'recording')} with {sum(sizes):,} bytes of payload is too little to "
            "divide into training and validation; record more."
        )
    (corpus / "dataset_dict.json").write_text(json.dumps({"splits": list(SPLITS)}), encoding="utf-8")
