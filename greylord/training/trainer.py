"""The stock Trainer, put together for windows of turns and bits per byte."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import (
    EarlyStoppingCallback,
    GPT2LMHeadModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from greylord.evaluation.bits_per_byte import Collator, SumsOverBatches, row_sums
from greylord.tokenizer import GreylordTokenizer
from greylord.training.callbacks import LogAtEvaluation
from greylord.training.recipe import Plan

__all__ = ["Pace", "make_trainer", "measure_pace"]

REPEATS, ENOUGH_SECONDS = 3, 2.0


def make_trainer(
    model: GPT2LMHeadModel,
    arguments: TrainingArguments,
    training: Sequence[dict],
    validation: Sequence[dict],
    context: int,
    patience: int,
    callbacks: Sequence[TrainerCallback],
) -> Trainer:
    """A stock Trainer whose metric is bits per byte, exactly: sums a window, added up over all windows."""
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=validation,
        data_collator=Collator(context),
        processing_class=GreylordTokenizer(model.config.n_positions),
        compute_metrics=SumsOverBatches(),
        preprocess_logits_for_metrics=row_sums,
        callbacks=[*callbacks, LogAtEvaluation(), EarlyStoppingCallback(patience)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@dataclass(frozen=True)
class Pace:
    """Measured seconds."""

    step: float
    evaluation: float


def measure_pace(trainer: Trainer, plan: Plan) -> Pace:
    """Time passes over the first windows, and leave gradients and random state as they were."""
    model, device = trainer.model, trainer.args.device
    trained = trainer.data_collator([trainer.train_dataset[0]] * plan.micro_batch)
    scored = trainer.data_collator([trainer.eval_dataset[0]] * trainer.args.per_device_eval_batch_size)

    def train() -> None:
        model.train()
        with trainer.accelerator.autocast():
            loss = model(**{name: tensor.to(device) for name, tensor in trained.items()}).loss
        loss.backward()
        model.zero_grad()

    @torch.no_grad()
    def evaluate() -> None:
        model.eval()
        inputs = {name: tensor.to(device) for name, tensor in scored.items()}
        with trainer.accelerator.autocast():
            logits = model(**inputs).logits
        row_sums(logits, inputs["labels"]).cpu()

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        passes = _seconds(train, device)
        batches = _seconds(evaluate, device)
    batches_an_evaluation = len(trainer.eval_dataset) // (trainer.args.per_device_eval_batch_size * plan.processes)
    return Pace(step=plan.accumulation * passes, evaluation=max(1, batches_an_evaluation) * batches)


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    """Of one call: the median of three, or of fewer if they take long, after one that warms up."""
    seconds: list[float] = []
    while len(seconds) <= REPEATS and sum(seconds[1:]) < ENOUGH_SECONDS:
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])
