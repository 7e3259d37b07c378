"""Which part of a dataset a model has not been trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from greylord import runs, turns
from greylord.captures import proxylog, redaction
from greylord.corpus import build, folder
from greylord.corpus.manifest import file_hash, payload_hash
from greylord.corpus.windows import Rows
from greylord.errors import GreylordError, UsageError
from greylord.progress import Progress, silent

__all__ = ["Unseen", "own_dataset", "unseen_part"]


@dataclass(frozen=True)
class Unseen:
    """Rows of ids, uint16 each, and what they are in words."""

    rows: Sequence[np.ndarray]
    description: str


def own_dataset(model_dir: Path) -> Path:
    """The dataset that a model was trained on. Raises UsageError if the model does not say, or it is gone."""
    config = runs.read_json(model_dir / "training_config.json") or {}
    dataset = Path(config.get("dataset_folder", ""))
    if not config or not dataset.is_dir():
        raise UsageError(f"{str(model_dir)!r} names no dataset that is here; give one with --dataset or --data-dir.")
    return dataset


def unseen_part(dataset: Path, model_dir: Path, progress: Progress = silent) -> Unseen:
    """The validation split if the model was trained on this dataset, else all recordings but those it has read.

    Recordings are recognised by their payload; their credentials are masked. Raises GreylordError if the model has
    read all of them.
    """
    config = runs.read_json(model_dir / "training_config.json") or {}
    corpus = build.corpus_of(dataset)
    if config.get("dataset_folder") == str(dataset):
        manifest, _ = build.refresh(dataset, progress=progress)
        if manifest.content_hash == config["data_hash"]:
            rows = Rows(corpus, "validation")
            return Unseen(rows, f"the validation split of {corpus} ({_count(len(rows))})")
    read, rows, left_out = set(config.get("trained_on", ())), [], 0
    files = folder.recordings(dataset)
    with progress("Reading", sum(path.stat().st_size for path in files)) as advance:
        for path in files:
            advance(path.stat().st_size)
            session = proxylog.read_file(path)
            if not session.dirt.junk.total():
                continue
            session = redaction.masked(session, redaction.find(session))
            # Older models have noted the hashes of files.
            if read & {payload_hash(session), file_hash(path)}:
                left_out += 1
                continue
            rows.append(turns.encode(turns.turns_of(session)))
    if not rows:
        why = f"the model has read all {left_out}" if left_out else "there are none"
        raise GreylordError(f"No recording of {str(dataset)!r} can be scored: {why}.")
    without = f" but {left_out} that the model has read" if left_out else ""
    return Unseen(rows, f"all recordings of {dataset}{without} ({_count(len(rows))})")


def _count(recordings: int) -> str:
    return f"{recordings:,} recording{'s' * (recordings != 1)}"
