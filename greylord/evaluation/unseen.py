"""The part of a dataset that a model was trained on, and the unseen part."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from greylord import runs, units
from greylord.corpus.build import build_corpus
from greylord.corpus.manifest import CorpusSettings
from greylord.corpus.recordings import read_dataset
from greylord.corpus.windows import Rows
from greylord.errors import GreylordError, MissingDatasetError
from greylord.progress import Progress, silent
from greylord.workspace import HERE, Workspace

__all__ = ["Unseen", "own_dataset", "read_trained", "read_unseen"]


@dataclass(frozen=True)
class Unseen:
    """Recordings that a model has not seen.

    Attributes:
        rows: Ids, uint16 each.
        starts: Start of each recording; None if unknown.
        description: The recordings in words.
    """

    rows: Sequence[np.ndarray]
    starts: Sequence[datetime | None]
    description: str


def own_dataset(model_dir: Path) -> Path:
    """Return the folder of the recordings that a model was trained on.

    Raises:
        MissingDatasetError: The model names no dataset, or the folder is gone.
    """
    dataset = runs.read_provenance(model_dir).dataset
    if dataset is None or not dataset.is_dir():
        raise MissingDatasetError(model_dir, dataset)
    return dataset


def read_unseen(dataset: Path, model_dir: Path, progress: Progress = silent, *, workspace: Workspace = HERE) -> Unseen:
    """Read the unseen part of a dataset, with credentials masked.

    It is the validation split if the model was trained on this dataset, else all recordings that the model was not
    trained on. Recordings are recognised by their payload.

    Args:
        dataset: A folder of recordings.
        model_dir: A model folder.
        progress: Counts recordings.

    Raises:
        GreylordError: The model was trained on all of them.
    """
    provenance = runs.read_provenance(model_dir)
    if provenance.dataset is not None and provenance.dataset.resolve() == dataset.resolve():
        corpus = build_corpus(dataset, workspace=workspace, progress=progress)
        if corpus.manifest.content_hash == provenance.data_hash:
            rows = Rows(corpus.folder, "validation")
            return Unseen(
                rows, rows.starts, f"the validation split of {corpus.folder} ({units.count(len(rows), 'recording')})"
            )
    recordings = _read(dataset, progress, workspace)
    unseen = [recording for recording in recordings if recording.payload_sha256 not in provenance.trained_on]
    left_out = len(recordings) - len(unseen)
    if not unseen:
        raise GreylordError(
            f"No recording of {str(dataset)!r} can be scored: the model was trained on all {left_out} of them."
        )
    without = f" except {left_out} that the model was trained on" if left_out else ""
    return Unseen(
        [recording.ids for recording in unseen],
        [recording.start for recording in unseen],
        f"all recordings of {dataset}{without} ({units.count(len(unseen), 'recording')})",
    )


def read_trained(model_dir: Path, progress: Progress = silent, *, workspace: Workspace = HERE) -> Sequence[np.ndarray]:
    """Read the recordings that a model was trained on, with credentials masked.

    Returns:
        Ids, uint16 each, in the order of their starts; empty if the dataset is gone.
    """
    provenance = runs.read_provenance(model_dir)
    if provenance.dataset is None or not provenance.dataset.is_dir():
        return []
    corpus = build_corpus(provenance.dataset, workspace=workspace, progress=progress)
    if corpus.manifest.content_hash == provenance.data_hash:
        return Rows(corpus.folder, "train")
    recordings = _read(provenance.dataset, progress, workspace)
    return [recording.ids for recording in recordings if recording.payload_sha256 in provenance.trained_on]


class _Recording(NamedTuple):
    payload_sha256: str
    start: datetime | None
    ids: np.ndarray


def _read(dataset: Path, progress: Progress, workspace: Workspace) -> list[_Recording]:
    """Read the recordings of a folder, each once, with credentials masked.

    They are in the order of their starts.

    Raises:
        GreylordError: There are none.
    """
    with tempfile.TemporaryDirectory() as spool:
        rows, _ = read_dataset(dataset, Path(spool), CorpusSettings(), progress, workspace=workspace)
        return [
            # Copied, since the spool's folder is deleted at the end of the block.
            _Recording(row.reading.payload_sha256, row.file.started_at, row.ids().copy())
            for row in rows
        ]
