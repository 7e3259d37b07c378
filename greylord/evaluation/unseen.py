"""Which part of a dataset a model has not been trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from greylord import runs
from greylord.corpus.build import build_corpus
from greylord.corpus.manifest import CorpusSettings
from greylord.corpus.recordings import read_dataset
from greylord.corpus.windows import Rows
from greylord.errors import GreylordError, UsageError
from greylord.progress import Progress, silent

__all__ = ["Unseen", "own_dataset", "trained_part", "unseen_part"]


@dataclass(frozen=True)
class Unseen:
    """Rows of ids, uint16 each, and what they are in words."""

    rows: Sequence[np.ndarray]
    starts: Sequence[datetime | None]
    """When each was recorded, if it tells."""
    description: str


def own_dataset(model_dir: Path) -> Path:
    """The dataset that a model was trained on. Raises UsageError if the model does not say, or it is gone."""
    dataset = runs.read_provenance(model_dir).dataset
    if dataset is None or not dataset.is_dir():
        raise UsageError(f"{str(model_dir)!r} names no dataset that is here; give one with --dataset or --data-dir.")
    return dataset


def unseen_part(dataset: Path, model_dir: Path, progress: Progress = silent) -> Unseen:
    """The validation split if the model was trained on this dataset, else all recordings but those it has read.

    Recordings are recognised by their payload; their credentials are masked. Raises GreylordError if the model has
    read all of them.
    """
    known = runs.read_provenance(model_dir)
    if known.dataset is not None and known.dataset.resolve() == dataset.resolve():
        corpus = build_corpus(dataset, progress=progress)
        if corpus.manifest.content_hash == known.data_hash:
            rows = Rows(corpus.folder, "validation")
            return Unseen(rows, rows.starts, f"the validation split of {corpus.folder} ({_count(len(rows))})")
    found = _read(dataset, progress)
    kept = [recording for recording in found if recording.payload_sha256 not in known.trained_on]
    left_out = len(found) - len(kept)
    if not kept:
        raise GreylordError(f"No recording of {str(dataset)!r} can be scored: the model has read all {left_out}.")
    without = f" but {left_out} that the model has read" if left_out else ""
    return Unseen(
        [recording.ids for recording in kept],
        [recording.start for recording in kept],
        f"all recordings of {dataset}{without} ({_count(len(kept))})",
    )


def trained_part(model_dir: Path, progress: Progress = silent) -> Sequence[np.ndarray]:
    """The rows that a model has been trained on, uint16 each, in the order of their starts; none if they are gone."""
    known = runs.read_provenance(model_dir)
    if known.dataset is None or not known.dataset.is_dir():
        return []
    corpus = build_corpus(known.dataset, progress=progress)
    if corpus.manifest.content_hash == known.data_hash:
        return Rows(corpus.folder, "train")
    found = [each for each in _read(known.dataset, progress) if each.payload_sha256 in known.trained_on]
    return [recording.ids for recording in found]


class _Recording(NamedTuple):
    payload_sha256: str
    start: datetime | None
    ids: np.ndarray


def _read(dataset: Path, progress: Progress) -> list[_Recording]:
    """The recordings of a folder, once each, in the order of their starts, their credentials masked.

    Raises GreylordError if there are none.
    """
    with tempfile.TemporaryDirectory() as spool:
        rows, _ = read_dataset(dataset, Path(spool), CorpusSettings(), progress)
        return [
            # The folder with the ids will be gone.
            _Recording(row.reading.payload_sha256, row.file.started_at, row.ids().copy())
            for row in rows
        ]


def _count(recordings: int) -> str:
    return f"{recordings:,} recording{'s' * (recordings != 1)}"
