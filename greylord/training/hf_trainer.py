"""The stock Trainer and its arguments, put together for windows of turns and bits per byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from transformers import (
    EarlyStoppingCallback,
    GPT2LMHeadModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from greylord import units
from greylord.corpus.batching import batch_size, collate
from greylord.corpus.windows import Window
from greylord.evaluation.bits_per_byte import SumsOverBatches, window_sums
from greylord.stream.tokenizer import GreylordTokenizer
from greylord.training.callbacks import LogAtEvaluation
from greylord.training.config import TrainingConfig
from greylord.training.hardware import Device, compile_blocks
from greylord.training.plan import Plan

__all__ = ["describe_smoothing", "describe_steps", "make_trainer", "training_arguments"]


def make_trainer(
    model: GPT2LMHeadModel,
    arguments: TrainingArguments,
    training: Sequence[list[Window]],
    validation: Sequence[Window],
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
        preprocess_logits_for_metrics=window_sums,
        callbacks=[*callbacks, LogAtEvaluation(), *stopping],
    )
    trainer.remove_callback(PrinterCallback)
    # It would count the model's parameters at every step, for a total that nobody reads.
    trainer.floating_point_ops = lambda inputs: 0
    return trainer


def _collate(items: Sequence[Window | list[Window]]) -> dict[str, torch.Tensor]:
    """Slots of training, or windows of an evaluation, to a batch: the Trainer has one collator for both."""
    return collate(list(chain.from_iterable(item if isinstance(item, list) else [item] for item in items)))


LOGS_PER_EVALUATION = 20
ADAM_BETA2 = 0.99
MAX_GRAD_NORM = 1.0


def training_arguments(
    settings: TrainingConfig, plan: Plan, device: Device, folder: Path, overrides: Mapping[str, Any]
) -> TrainingArguments:
    """AdamW with weight decay, linear warm-up and decay, clipping, and the best checkpoint kept in `folder`."""
    values = {
        "output_dir": str(folder),
        "use_cpu": device.type == "cpu",
        "bf16": device.bf16,
        "max_steps": plan.max_steps,
        "per_device_train_batch_size": plan.micro_batch,
        # Which window comes when is decided in order.py.
        "train_sampling_strategy": "sequential",
        "per_device_eval_batch_size": batch_size(device.type, plan.context),
        "gradient_accumulation_steps": plan.accumulation,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "adam_beta2": ADAM_BETA2,
        "max_grad_norm": MAX_GRAD_NORM,
        "lr_scheduler_type": "linear",
        "warmup_steps": plan.warmup_steps,
        "seed": settings.seed,
        "eval_strategy": "steps",
        "eval_steps": plan.eval_steps,
        "batch_eval_metrics": True,
        "metric_for_best_model": "bits_per_byte",
        "greater_is_better": False,
        "save_strategy": "steps",
        "save_steps": plan.eval_steps,
        "save_total_limit": 2,
        # The weights of the best evaluation are loaded in best.py.
        "load_best_model_at_end": False,
        "restore_callback_states_from_checkpoint": True,
        "logging_steps": max(1, plan.eval_steps // LOGS_PER_EVALUATION),
        # Otherwise a NaN is logged as 0 and training goes on.
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "report_to": "none",
        # What the libraries say by themselves, only once and only if it matters.
        "log_level": "error",
        "log_level_replica": "error",
        "label_names": ["labels"],
        # The datasets are ours: there are no columns to remove.
        "remove_unused_columns": False,
        "dataloader_pin_memory": device.type == "cuda",
        "ddp_find_unused_parameters": False,
    }
    arguments = TrainingArguments(**{**values, **overrides, "eval_steps": plan.eval_steps})
    # A process that sees several GPUs without a launcher would become a DataParallel.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def describe_steps(plan: Plan, arguments: TrainingArguments) -> str:
    """Length, order, learning rate and evaluations of a run, as the Trainer gets them."""
    rare = ", rare windows likelier" if plan.samples_by_rarity else ""
    short = ""
    if plan.short_steps:
        short = f"the first {plan.short_steps:,} in windows of {plan.short_length} at random positions, "
    return (
        f"{plan.max_steps:,} of {plan.windows_per_step} x {plan.context:,} tokens "
        f"({plan.max_steps / plan.steps_per_epoch:.3g} epochs{rare}), {short}"
        f"{_describe_schedule(plan, arguments)}, {units.count(plan.evaluations, 'evaluation')}"
    )


def _describe_schedule(plan: Plan, arguments: TrainingArguments) -> str:
    schedule = arguments.lr_scheduler_type.value
    if schedule == "constant":
        return f"lr {arguments.learning_rate:g} throughout"
    then = {"linear": "decays to 0", "constant_with_warmup": "stays there"}.get(schedule, f"follows {schedule}")
    warmup = units.count(arguments.get_warmup_steps(plan.max_steps), "step")
    return f"lr warms up to {arguments.learning_rate:g} over {warmup}, then {then}"


def describe_smoothing(factor: float) -> str | None:
    """What label smoothing does to the training loss; None where there is none."""
    if not factor:
        return None
    return (
        f"label smoothing {factor:g}: the training loss counts a uniform target too, so it is not the cross-entropy of "
        "the tokens; compare it with itself only. Bits per byte are not smoothed"
    )
