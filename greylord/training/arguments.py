"""A plan and settings as the `TrainingArguments` of the stock Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from greylord.evaluation.bits_per_byte import batch_size
from greylord.training.device import Device
from greylord.training.recipe import Plan
from greylord.training.settings import Settings

__all__ = ["training_arguments"]

LOGS_PER_EVALUATION = 20
ADAM_BETA2 = 0.99
MAX_GRAD_NORM = 1.0


def training_arguments(
    settings: Settings, plan: Plan, device: Device, folder: Path, overrides: Mapping[str, Any]
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
