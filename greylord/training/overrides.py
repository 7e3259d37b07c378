"""Which fields of `transformers.TrainingArguments` a run may set for itself, and why not the others.

A run promises that its figures belong to its weights, that it is a function of step and plan, that it can be resumed,
and that nothing leaves the machine. `FIELDS` says of each field whether it could break that.
"""

from __future__ import annotations

import json
import math
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from transformers import HfArgumentParser, TrainingArguments

from greylord.errors import UsageError, did_you_mean, first_line

__all__ = ["FIELDS", "Rule", "check_overrides", "parse_assignments", "parse_values", "written"]


@dataclass(frozen=True)
class Rule:
    """How a field is treated."""

    kind: str
    """ "free", "ours" (no value is accepted) or "checked" (some values are)."""
    why: str
    """Why a free field is harmless, who decides one of ours, or what a checked one must be."""
    accepts: Callable[[Any], bool] = lambda value: True


def _free(why: str) -> Rule:
    return Rule("free", why)


def _ours(why: str) -> Rule:
    return Rule("ours", why)


def _number(least: float, most: float = math.inf, above: bool = False) -> Rule:
    """A finite number from `least`, or above it, to `most`."""
    bound = f"above {least:g}" if above else f"of at least {least:g}"
    limit = "" if most == math.inf else f" and at most {most:g}"

    def accepts(value: Any) -> bool:
        return _is_finite(value) and (value > least if above else value >= least) and value <= most

    return Rule("checked", f"a number {bound}{limit}", accepts)


def _whole(least: int, why: str = "") -> Rule:
    return Rule(
        "checked",
        f"a whole number of at least {least}{why}",
        lambda value: _is_finite(value) and value >= least and value % 1 == 0,
    )


def _none_of(names: Sequence[str], wanted: str) -> Rule:
    return Rule("checked", wanted, lambda value: value not in names)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


_STEPS = Rule(
    "checked",
    "a whole number of steps, or their share of all steps below 1",
    lambda value: _is_finite(value) and value > 0 and (value < 1 or value % 1 == 0),
)
_BEST = _ours("a run always keeps the weights with the fewest bits per byte")
_EVERY = _ours("a run is evaluated and saved after the same steps; use eval_steps")
_METRIC = _ours("it has no influence on bits per byte, which are summed batch by batch")
_SPLIT = _ours("each process holds the whole model and reads its own slots")
_GROUP = _ours("the launcher has made the process group by then")
_WORKERS = _ours("a run reads without worker processes: Ctrl-C would end them, and the run with them")
_TRACKER = _ours("figures stay on this machine, in the run's training_history.json")
_HUB = _ours("use --push-to-hub USER/NAME, or `greylord push` when the run has ended")
_COMPILE = _ours("use --compile")
_FULL_PRECISION = _ours("evaluations compute as training does, or the figure would be that of other weights")
_UNREAD = _ours("the Trainer itself does not read it")
_LAYERWISE = ("galore_adamw", "galore_adamw_8bit", "galore_adafactor", "apollo_adamw")
_UNSAVED = ("lomo", "adalomo", *(f"{name}_layerwise" for name in _LAYERWISE))
"""Optimizers that step while gradients are computed, and keep their state to themselves."""

FIELDS: Mapping[str, Rule] = {
    # Length, batches and the order of windows: the plan.
    "output_dir": _ours("runs lie in models/"),
    "num_train_epochs": _ours("use --epochs"),
    "max_steps": _ours("use --max-steps"),
    "per_device_train_batch_size": _ours("use --micro-batch"),
    "gradient_accumulation_steps": _ours("use --batch-size"),
    "auto_find_batch_size": _ours("the plan is made for one batch size; use --micro-batch"),
    "seed": _ours("use --seed"),
    "data_seed": _ours("use --seed"),
    "train_sampling_strategy": _ours("windows come in the order of the plan"),
    "length_column_name": _ours("windows come in the order of the plan"),
    "ignore_data_skip": _ours("a resumed run reads on where it broke off"),
    "full_determinism": _free("it chooses other kernels, the same at every step"),
    # The optimizer and its schedule, a function of the step.
    "learning_rate": _number(0, 1, above=True),
    "weight_decay": _number(0, 10),
    "max_grad_norm": _number(0),
    "adam_beta1": _number(0, 1),
    "adam_beta2": _number(0, 1),
    "adam_epsilon": _number(0, above=True),
    "optim": _none_of(_UNSAVED, "one whose state a checkpoint holds, or the run could not be resumed"),
    "optim_args": _free("the optimizer reads it"),
    "optim_target_modules": _free("the optimizer reads it"),
    "lr_scheduler_type": _none_of(("reduce_lr_on_plateau", "greedy"), "one that depends on nothing but the step"),
    "lr_scheduler_kwargs": _free("the schedule reads it"),
    "warmup_steps": _number(0),
    "warmup_ratio": _ours("use warmup_steps, which takes a share of all steps too"),
    "label_smoothing_factor": Rule(
        "checked",
        "a number of at least 0 and below 1",
        lambda value: _is_finite(value) and 0 <= value < 1,
    ),
    "neftune_noise_alpha": _number(0),
    "average_tokens_across_devices": _ours("several processes train the model that one would"),
    # Precision, memory and speed.
    "bf16": _free("evaluations follow it, and the run says so"),
    "fp16": _free("evaluations follow it, and the run says so"),
    "tf32": _free("evaluations follow it"),
    "bf16_full_eval": _FULL_PRECISION,
    "fp16_full_eval": _FULL_PRECISION,
    "activation_checkpointing": _free("it computes the same"),
    "activation_checkpointing_kwargs": _free("it computes the same"),
    "gradient_checkpointing": _free("it computes the same"),
    "gradient_checkpointing_kwargs": _free("it computes the same"),
    "torch_empty_cache_steps": _free("it computes the same"),
    "torch_compile": _COMPILE,
    "torch_compile_backend": _COMPILE,
    "torch_compile_mode": _COMPILE,
    "use_liger_kernel": _ours("Liger has no kernels for GPT-2"),
    "liger_kernel_config": _ours("Liger has no kernels for GPT-2"),
    "use_cache": _ours("training predicts all tokens of a window at once"),
    "use_cpu": _ours("use --cpu"),
    # Evaluations and checkpoints.
    "eval_strategy": _EVERY,
    "eval_steps": _STEPS,
    "eval_delay": _EVERY,
    "eval_on_start": _ours("a resumed run would be evaluated twice"),
    "per_device_eval_batch_size": _ours("windows are scored in batches of which each process has as many"),
    "prediction_loss_only": _ours("bits per byte need predictions"),
    "eval_do_concat_batches": _METRIC,
    "eval_use_gather_object": _METRIC,
    "eval_accumulation_steps": _METRIC,
    "include_for_metrics": _METRIC,
    "batch_eval_metrics": _ours("bits per byte are summed batch by batch"),
    "label_names": _ours("the labels are those that greylord makes"),
    "remove_unused_columns": _ours("windows are no table with columns"),
    "save_strategy": _EVERY,
    "save_steps": _EVERY,
    "save_only_model": _ours("a checkpoint without optimizer could not be resumed"),
    "save_on_each_node": _ours("the first process alone writes"),
    "save_total_limit": _whole(2, ", for the best checkpoint and the newest"),
    "enable_jit_checkpoint": _ours("SIGTERM already ends a run with a checkpoint"),
    "load_best_model_at_end": _BEST,
    "metric_for_best_model": _BEST,
    "greater_is_better": _BEST,
    "restore_callback_states_from_checkpoint": _ours("a resumed run goes on with the patience that was left"),
    # Reading windows.
    "dataloader_drop_last": _ours("each window counts"),
    "dataloader_num_workers": _WORKERS,
    "dataloader_persistent_workers": _WORKERS,
    "dataloader_prefetch_factor": _WORKERS,
    "dataloader_multiprocessing_context": _WORKERS,
    "dataloader_in_order": _WORKERS,
    "dataloader_pin_memory": _free("it moves the same windows"),
    # Several processes.
    "accelerator_config": _SPLIT,
    "parallelism_config": _SPLIT,
    "fsdp": _SPLIT,
    "fsdp_config": _SPLIT,
    "deepspeed": _SPLIT,
    "local_rank": _GROUP,
    "ddp_backend": _GROUP,
    "ddp_timeout": _GROUP,
    "ddp_find_unused_parameters": _free("it adds up the same gradients"),
    "ddp_bucket_cap_mb": _whole(1),
    "ddp_broadcast_buffers": _free("the model has no buffers that change"),
    "ddp_static_graph": _free("it adds up the same gradients"),
    # What is logged, and what leaves the machine.
    "logging_strategy": _free("the loss is logged at evaluations in any case"),
    "logging_steps": _STEPS,
    "logging_first_step": _ours("the loss is logged every logging_steps and at evaluations"),
    "logging_nan_inf_filter": _ours("a loss that is NaN or infinite ends the run, so it may not be hidden"),
    "logging_dir": _TRACKER,
    "log_level": _free("it is what the libraries print"),
    "log_level_replica": _free("it is what the libraries print"),
    "log_on_each_node": _free("it is what the libraries print"),
    "disable_tqdm": _ours("greylord draws the progress bar"),
    "include_num_input_tokens_seen": _ours("the run's training_history.json has the tokens"),
    "skip_memory_metrics": _ours("the run's training_summary.json has the memory"),
    "debug": _ours("a loss that is NaN or infinite ends the run in any case"),
    "report_to": Rule(
        "checked",
        "none: figures stay on this machine, in the run's training_history.json",
        lambda value: value in ("none", ["none"], []),
    ),
    "run_name": _TRACKER,
    "project": _TRACKER,
    "trackio_space_id": _TRACKER,
    "trackio_bucket_id": _TRACKER,
    "trackio_static_space_id": _TRACKER,
    "push_to_hub": _HUB,
    "hub_token": _HUB,
    "hub_private_repo": _HUB,
    "hub_model_id": _HUB,
    "hub_strategy": _HUB,
    "hub_always_push": _HUB,
    "hub_revision": _HUB,
    # What scripts around a Trainer read.
    "do_train": _UNREAD,
    "do_eval": _UNREAD,
    "do_predict": _UNREAD,
    "resume_from_checkpoint": _ours("use --resume"),
}
"""All fields of the versions of transformers that greylord works with."""
_NEW = _free("the field is newer than this table; like all others it is tried before the run begins")


def check_overrides(overrides: Mapping[str, Any], where: str = "") -> None:
    """Refuse fields that are not there, fields of ours, and values that a checked field does not take.

    Args:
        overrides: values by field.
        where: what the sentence begins with: who has set them, as "--set: ".

    Raises:
        UsageError: which field, and why.
    """
    for name, value in overrides.items():
        rule = _rule(name, where)
        if not rule.accepts(value):
            raise UsageError(f"{where}{name} must be {rule.why}; it is {value!r}.")


def _rule(name: str, where: str) -> Rule:
    """Return the rule of a field. Raises UsageError for a field that is not there or ours."""
    known = [field.name for field in fields(TrainingArguments)]
    if name not in known:
        raise UsageError(f"{where}TrainingArguments has no field {name!r}.{did_you_mean(name, known)}")
    rule = FIELDS.get(name, _NEW)
    if rule.kind == "ours":
        # The value is not repeated: it may be a secret.
        raise UsageError(f"{where}{name} cannot be set: {rule.why}.")
    return rule


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse "field=value" texts as the types that `TrainingArguments` has. Of two values of a field the last counts.

    Raises UsageError as `check_overrides` does, and for a value of another type.
    """
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set takes field=value, not {assignment!r}.")
        values |= parse_values({name: text}, "--set: ")
    return values


def parse_values(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Parse texts, or values as JSON has them, as the types that `TrainingArguments` has.

    Args:
        values: by field.
        where: as `check_overrides` takes it.

    Raises:
        UsageError: as `check_overrides` does, and for a value of another type.
    """
    parsed = {name: _parse(name, value, where) for name, value in values.items() if _rule(name, where)}
    check_overrides(parsed, where)
    return parsed


def _parse(name: str, value: Any, where: str) -> Any:
    if isinstance(value, dict | list):
        if type(value).__name__ in str(_types()[name]):
            return value
        raise UsageError(f"{where}{name} takes one value, not {value!r}.")
    if value is None:
        raise UsageError(f"{where}{name} has no value; leave it out where it is not to be set.")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return getattr(_parser().parse_args(["--output_dir=", f"--{name}={text}"]), name)
    except Exception as error:
        # What a type of Python's or of transformers' raises for a text is not documented.
        reason = re.sub(r"^argument \S+: ", "", first_line(error))
        raise UsageError(f"{where}{name} does not take {value!r}: {reason}.") from error


class _Parser(HfArgumentParser):
    def error(self, message: str) -> None:
        raise ValueError(message)


@cache
def _parser() -> _Parser:
    return _Parser([TrainingArguments], allow_abbrev=False)


@cache
def _types() -> dict[str, Any]:
    return typing.get_type_hints(TrainingArguments)


def written(name: str, value: Any) -> str:
    """A field and its value as `parse_assignments` takes them."""
    return f"{name}={value if isinstance(value, str) else json.dumps(value, default=str)}"
