"""The stock Trainer and its arguments, set up for windows and bits per byte.

The number of steps and the learning-rate schedule are decided in `greylord.training.plan`.
"""

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
    SchedulerType,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from greylord import units
from greylord.corpus.batching import batch_size, collate
from greylord.corpus.windows import Window
from greylord.evaluation.bits_per_byte import SumsOverBatches, window_sums
from greylord.stream.tokenizer import Tokenizer
from greylord.training.callbacks import LogAtEvaluation
from greylord.training.config import TrainingConfig
from greylord.training.hardware import Device, compile_blocks
from greylord.training.plan import DECAY, Plan

__all__ = ["describe_plan", "make_trainer", "training_arguments"]

LOGS_PER_EVALUATION = 20
"""Logs of the training loss per evaluation interval."""
ADAM_BETA2 = 0.99
MAX_GRAD_NORM = 1.0
"""Norm to which gradients are clipped."""
CHECKPOINTS_KEPT = 2
"""The best checkpoint and the newest."""


def make_trainer(
    model: GPT2LMHeadModel,
    arguments: TrainingArguments,
    training: Sequence[list[Window]],
    validation: Sequence[Window],
    patience: int | None,
    callbacks: Sequence[TrainerCallback],
    compiled: bool,
) -> Trainer:
    """Make a stock Trainer whose metric is exactly bits per byte.

    It sums over windows, and adds up the sums of all windows.

    Args:
        model: Trained in place.
        training: Slots of windows, in the order in which the Trainer reads them.
        validation: Windows of an evaluation.
        patience: Evaluations without improvement before training stops; None to never stop early.
        callbacks: Further callbacks.
        compiled: Compile the model's blocks.
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
        processing_class=Tokenizer(model.config.n_positions),
        compute_metrics=SumsOverBatches(),
        preprocess_logits_for_metrics=window_sums,
        callbacks=[*callbacks, LogAtEvaluation(), *stopping],
    )
    trainer.remove_callback(PrinterCallback)
    # The stock method counts the model's parameters at every step, for a total that is not used.
    trainer.floating_point_ops = lambda inputs: 0  # type: ignore[method-assign]  # cheaper than a subclass
    return trainer


def _collate(items: Sequence[Window | list[Window]]) -> dict[str, torch.Tensor]:
    """Collate slots of training or windows of an evaluation.

    The Trainer has one collator for both.
    """
    return collate(list(chain.from_iterable(item if isinstance(item, list) else [item] for item in items)))


def training_arguments(
    config: TrainingConfig, plan: Plan, device: Device, folder: Path, overrides: Mapping[str, Any]
) -> TrainingArguments:
    """Make the Trainer's arguments for a plan.

    They set AdamW, the learning-rate schedule, clipping, evaluations and checkpoints.

    Args:
        folder: Folder of the checkpoints.
        overrides: Fields that replace these values.
    """
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "use_cpu": device.type == "cpu",
        "bf16": device.bf16,
        "max_steps": plan.max_steps,
        "per_device_train_batch_size": plan.micro_batch,
        # `sampling.Order` already orders the windows.
        "train_sampling_strategy": "sequential",
        "per_device_eval_batch_size": batch_size(device.type, plan.context),
        "gradient_accumulation_steps": plan.accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": DECAY,
        "warmup_steps": plan.warmup_steps,
        "weight_decay": config.weight_decay,
        "adam_beta2": ADAM_BETA2,
        "max_grad_norm": MAX_GRAD_NORM,
        "seed": config.seed,
        "eval_strategy": "steps",
        "eval_steps": plan.eval_steps,
        "batch_eval_metrics": True,
        "metric_for_best_model": "bits_per_byte",
        "greater_is_better": False,
        "save_strategy": "steps",
        "save_steps": plan.eval_steps,
        "save_total_limit": CHECKPOINTS_KEPT,
        # `run_folder.load_best` loads the weights of the best evaluation.
        "load_best_model_at_end": False,
        "restore_callback_states_from_checkpoint": True,
        "logging_steps": max(1, plan.eval_steps // LOGS_PER_EVALUATION),
        # Otherwise a NaN is logged as 0 and training goes on.
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "report_to": "none",
        "log_level": "error",
        "log_level_replica": "error",
        "label_names": ["labels"],
        # The datasets are sequences of windows without columns.
        "remove_unused_columns": False,
        "dataloader_pin_memory": device.type == "cuda",
        "ddp_find_unused_parameters": False,
    }
    arguments = TrainingArguments(**{**values, **overrides, "eval_steps": plan.eval_steps})
    # A process that sees several GPUs without a launcher would become a DataParallel.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def describe_plan(plan: Plan, arguments: TrainingArguments) -> list[tuple[str, str]]:
    """Describe a run as the Trainer gets it, in pairs of a label and a text."""
    lines = [
        (
            "steps",
            f"{units.count(plan.max_steps, 'optimizer step')} of {units.count(plan.windows_per_step, 'window')} of "
            f"{plan.context:,} tokens ({plan.max_steps / plan.steps_per_epoch:.3g} epochs)",
        )
    ]
    if plan.short_steps:
        first = "first step trains" if plan.short_steps == 1 else f"first {plan.short_steps:,} steps train"
        lines.append(("windows", f"the {first} on windows of {plan.short_length} tokens at random positions"))
    if plan.samples_by_rarity:
        lines.append(("sampling", "windows with rare content are more likely"))
    lines.append(("lr", _describe_schedule(plan, arguments)))
    if arguments.label_smoothing_factor:
        lines.append(
            (
                "loss",
                f"label smoothing {arguments.label_smoothing_factor:g}: the training loss is not the cross-entropy and "
                "does not compare with validation (bits per byte are not smoothed)",
            )
        )
    times = "once, after the last step" if plan.evaluations == 1 else f"{plan.evaluations} times"
    every = f", every {units.count(plan.eval_steps, 'step')}" if plan.evaluations > 1 else ""
    return [*lines, ("evaluate", times + every)]


def _describe_schedule(plan: Plan, arguments: TrainingArguments) -> str:
    schedule = SchedulerType(arguments.lr_scheduler_type).value
    if schedule == "constant":
        return f"constant at {arguments.learning_rate:g}"
    decay = {"linear": "decays to 0", "constant_with_warmup": "stays constant"}.get(schedule, f"follows {schedule}")
    warmup = units.count(arguments.get_warmup_steps(plan.max_steps), "step")
    return f"warms up to {arguments.learning_rate:g} over {warmup}, then {decay}"
