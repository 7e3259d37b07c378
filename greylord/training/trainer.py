"""The stock Trainer, put together for windows of turns and bits per byte."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from transformers import (
    EarlyStoppingCallback,
    GPT2LMHeadModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from greylord.evaluation.bits_per_byte import SumsOverBatches, collate, row_sums
from greylord.stream.tokenizer import GreylordTokenizer
from greylord.training.callbacks import LogAtEvaluation
from greylord.training.compilation import compile_blocks

__all__ = ["make_trainer"]


def make_trainer(
    model: GPT2LMHeadModel,
    arguments: TrainingArguments,
    training: Sequence[list[dict]],
    validation: Sequence[dict],
    patience: int | None,
    callbacks: Sequence[TrainerCallback],
    compiled: bool,
) -> Trainer:
    """A stock Trainer whose metric is bits per byte, exactly: sums a window, added up over all windows.

    Args:
        model: to train, in place.
        arguments: of the Trainer.
        training: windows by slot, in the order in which they are trained on.
        validation: windows of an evaluation.
        patience: evaluations without a better figure before training stops; None for no such end.
        callbacks: further ones.
        compiled: whether the model's blocks are compiled.
    """
    if compiled:
        compile_blocks(model)
    stopping = [] if patience is None else [EarlyStoppingCallback(patience)]
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=validation,
        data_collator=_collate,
        processing_class=GreylordTokenizer(model.config.n_positions),
        compute_metrics=SumsOverBatches(),
        preprocess_logits_for_metrics=row_sums,
        callbacks=[*callbacks, LogAtEvaluation(), *stopping],
    )
    trainer.remove_callback(PrinterCallback)
    # It would count the model's parameters at every step, for a total that nobody reads.
    trainer.floating_point_ops = lambda inputs: 0
    return trainer


def _collate(items: Sequence[dict | list[dict]]) -> dict[str, torch.Tensor]:
    """Slots of training, or windows of an evaluation, to a batch: the Trainer has one collator for both."""
    return collate(list(chain.from_iterable(item if isinstance(item, list) else [item] for item in items)))
