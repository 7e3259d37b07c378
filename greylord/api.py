"""Public functions that join several packages. `import greylord` hands them on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from greylord.corpus.build import Corpus
from greylord.corpus.folder import dataset_folder
from greylord.progress import Progress, silent, without_library_bars
from greylord.training.config import Job, TrainingConfig
from greylord.training.train import Live, Say, TrainedRun, print_line
from greylord.training.train import train as run_job
from greylord.workspace import HERE, Workspace

__all__ = ["train"]


def train(
    corpus: Corpus | str | Path,
    config: TrainingConfig | None = None,
    *,
    continue_from: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    cpu: bool = False,
    workspace: Workspace = HERE,
    say: Say = print_line,
    progress: Progress = silent,
    live: Live | None = None,
) -> TrainedRun:
    """Train a model and publish it in the workspace's `models/`.

    Args:
        corpus: A corpus, or what `build_corpus` takes: a folder of recordings, or the name of a dataset.
        config: The settings; their defaults if None.
        continue_from: Folder of a model to continue from; None for a new model.
        overrides: Further fields of `transformers.TrainingArguments`.
        cpu: Use no GPU.
        workspace: Where corpora and models lie.
        say: Called with a label, a text and `detail` for each choice that was made. Prints by default.
        progress: Shows the progress of the work before and after training.
        live: Makes a callback of the Trainer that shows training, from the plan and the payload bytes per token.

    Returns:
        The finished run, the same in all processes: `folder`, `summary`, and `evaluations` in the order of the steps.

    Raises:
        UsageError: A setting, a folder or an override cannot be used.
        GreylordError: The job cannot be done. Complete checkpoints are kept.
    """
    job = Job(
        dataset=corpus.dataset if isinstance(corpus, Corpus) else dataset_folder(corpus, workspace=workspace),
        config=config or TrainingConfig(),
        overrides=overrides or {},
        model_path=None if continue_from is None else Path(continue_from),
        cpu=cpu,
        workspace=workspace,
    )
    with without_library_bars():
        runs = [run_job(job, say, progress, live)]
    # Only the first process has the run.
    broadcast_object_list(runs)
    (run,) = runs
    assert run is not None
    return run
