"""Public functions that join several packages. `import greylord` hands them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import GPT2LMHeadModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from greylord import model_folders, modeling
from greylord.corpus.build import Corpus
from greylord.corpus.folder import dataset_folder
from greylord.errors import SettingError
from greylord.files import user_path
from greylord.progress import Progress, quiet_transformers, silent
from greylord.training.config import Job, TrainingConfig
from greylord.training.train import TrainedRun, print_line
from greylord.training.train import train as run_job
from greylord.workspace import HERE, Workspace

__all__ = ["load_model", "train"]


def load_model(folder: str | Path, *, workspace: Workspace = HERE) -> GPT2LMHeadModel:
    """Load a model in float32, on the CPU.

    Args:
        folder: A model folder, the name of one in the workspace's `models/`, or "latest" for the newest there.
        workspace: Where models lie.

    Raises:
        UsageError: There is no such model, or it is not a sound GPT-2 with greylord's vocabulary.

    Example:
        model = load_model(run.folder)
    """
    return modeling.load_model(model_folders.locate(user_path(folder), workspace=workspace))


def train(
    corpus: Corpus | str | Path,
    config: TrainingConfig | None = None,
    *,
    continue_from: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    cpu: bool = False,
    workspace: Workspace | None = None,
    say: Callable[[str, str], object] = print_line,
    progress: Progress = silent,
) -> TrainedRun:
    """Train a model and publish it in the workspace's `models/`.

    Args:
        corpus: A corpus, or what `build_corpus` takes: a folder of recordings, or the name of a dataset.
        config: The settings; their defaults if None.
        continue_from: The model to continue from, as `load_model` takes it; None for a new model.
        overrides: Further fields of `transformers.TrainingArguments`.
        cpu: Use no GPU.
        workspace: Where corpora and models lie. The corpus's own by default, or the current directory.
        say: Called with a label and a text for each choice and each evaluation. Prints them by default.
        progress: Shows the work before and after training.

    Returns:
        The finished run, the same in all processes: `folder`, `summary`, and `evaluations` in the order of the steps.

    Raises:
        UsageError: A setting, a folder or an override cannot be used.
        GreylordError: The job cannot be done. Complete checkpoints are kept.
    """
    config = config or TrainingConfig()
    if isinstance(corpus, Corpus):
        workspace = workspace or corpus.workspace
        dataset, built_with = corpus.dataset, corpus.manifest.settings.val_split
        if config.val_split not in (None, built_with):
            raise SettingError(
                f"val_split is {config.val_split}, but the corpus was built with {built_with}; build it again with the "
                "other.",
                "val_split",
            )
    else:
        workspace = workspace or HERE
        dataset = dataset_folder(corpus, workspace=workspace)
    model_path = None if continue_from is None else model_folders.locate(user_path(continue_from), workspace=workspace)
    job = Job(dataset, config, overrides or {}, model_path, cpu, workspace=workspace)

    def say_without_details(label: str, text: str, /, detail: bool = False) -> None:
        if not detail:
            say(label, text)

    with quiet_transformers():
        runs = [run_job(job, say_without_details, progress, lambda plan, density: _SayEvaluations(say))]
    # Only the first process has the run.
    broadcast_object_list(runs)
    (run,) = runs
    assert run is not None
    return run


class _SayEvaluations(TrainerCallback):
    """Tells the figure of each evaluation."""

    def __init__(self, say: Callable[[str, str], object]) -> None:
        self._say = say

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        figure = kwargs["metrics"]["eval_bits_per_byte"]
        self._say("step", f"{state.global_step:,} of {state.max_steps:,}: {figure:.3f} bits per byte")
