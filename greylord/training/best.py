"""The weights that a run publishes, with the figure that is theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from transformers import GPT2LMHeadModel

from greylord import modeling, runs
from greylord.training.callbacks import Evaluation

__all__ = ["load_best"]


def load_best(model: GPT2LMHeadModel, checkpoints: Path, evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """Load the weights of the best evaluation whose checkpoint is complete, and return that evaluation.

    The Trainer keeps the best figure and the best checkpoint apart: a run that is interrupted between an evaluation
    and its checkpoint, or resumed where a checkpoint is gone, has the figure of one and the weights of another.

    Args:
        model: whose weights are replaced.
        checkpoints: the folder of the run's checkpoints.
        evaluations: the run's history. Of equal figures the first is the best.

    Returns:
        None where no evaluation with a figure has a checkpoint; the model is then left as it is.
    """
    folders = {evaluation: checkpoints / f"checkpoint-{evaluation.step}" for evaluation in evaluations}
    candidates = [
        evaluation
        for evaluation, folder in folders.items()
        if math.isfinite(evaluation.bits_per_byte) and (folder / runs.COMPLETE).is_file()
    ]
    best = min(candidates, key=lambda evaluation: evaluation.bits_per_byte, default=None)
    if best is not None:
        model.load_state_dict(modeling.load(folders[best]).state_dict())
    return best
