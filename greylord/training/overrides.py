"""Overrides: the fields of `transformers.TrainingArguments` that a run accepts.

For each of the others there is a reason.

A run promises four things: its figures belong to its weights, it depends on the step and the plan alone, it can be
resumed, and nothing leaves the machine. `FIELDS` has a rule for each field that protects these promises.
"""

from __future__ import annotations

import json
import math
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, NoReturn, cast

from transformers import HfArgumentParser, TrainingArguments
from transformers.hf_argparser import DataClassType

from greylord.errors import OverrideError, did_you_mean, first_line

__all__ = ["FIELDS", "Rule", "check_overrides", "format_assignment", "parse_assignments", "parse_values"]


@dataclass(frozen=True)
class Rule:
    """The treatment of a field.

    Attributes:
        kind: "free" for a field that takes any value, "reserved" for one that takes no value, "checked" for one that
            takes some values.
        why: The reason why a free field is harmless or a field is reserved; for a checked one the words after
            "must be". Empty for a reserved field whose `setting` says enough.
        accepts: Tells whether a checked field takes a value.
        setting: The setting to use instead of a reserved field, if there is one.
    """

    kind: str
    why: str
    accepts: Callable[[Any], bool] = lambda value: True
    setting: str | None = None


def _free(why: str) -> Rule:
    return Rule("free", why)


def _reserved(why: str) -> Rule:
    return Rule("reserved", why)


def _decided_by(setting: str, why: str = "") -> Rule:
    return Rule("reserved", why, setting=setting)


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
_BEST = _reserved("a run always keeps the weights with the fewest bits per byte")
_EVERY = _reserved("a run is evaluated and saved at the same steps; use eval_steps")
_METRIC = _reserved("it does not affect bits per byte, which are summed batch by batch")
_SPLIT = _reserved("each process holds the whole model and reads its own slots")
_GROUP = _reserved("the launcher has already made the process group")
_WORKERS = _reserved("a run reads without worker processes, because Ctrl-C would end them and so the run")
_TRACKER = _reserved("figures stay on this machine, in the run's training_history.json")
_HUB = _decided_by("push_to_hub", "a model is published when its run has ended")
_COMPILE = _decided_by("compile")
_FULL_PRECISION = _reserved("evaluations compute in the precision of training, so that the figure is that of the model")
_UNREAD = _reserved("the Trainer itself does not read it")
_LAYERWISE = ("galore_adamw", "galore_adamw_8bit", "galore_adafactor", "apollo_adamw")
_UNSAVED = ("lomo", "adalomo", *(f"{name}_layerwise" for name in _LAYERWISE))
"""Optimizers that step while gradients are computed, with a state that checkpoints do not hold."""

FIELDS: Mapping[str, Rule] = {
    # Length, batches and the order of windows: the plan.
    "output_dir": _reserved("runs are saved in models/"),
    "num_train_epochs": _decided_by("epochs"),
    "max_steps": _decided_by("max_steps"),
    "per_device_train_batch_size": _decided_by("micro_batch"),
    "gradient_accumulation_steps": _decided_by("batch_size"),
    "auto_find_batch_size": _decided_by("micro_batch", "the plan is made for one batch size"),
    "seed": _decided_by("seed"),
    "data_seed": _decided_by("seed"),
    "train_sampling_strategy": _reserved("windows come in the order of the plan"),
    "length_column_name": _reserved("windows come in the order of the plan"),
    "ignore_data_skip": _reserved("a resumed run continues with the next window"),
    "full_determinism": _free("it selects other kernels, the same at every step"),
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
    "warmup_ratio": _reserved("use warmup_steps, which also takes a share of all steps"),
    "label_smoothing_factor": Rule(
        "checked",
        "a number of at least 0 and below 1",
        lambda value: _is_finite(value) and 0 <= value < 1,
    ),
    "neftune_noise_alpha": _number(0),
    "average_tokens_across_devices": _reserved("several processes train the same model as one process"),
    # Precision, memory and speed.
    "bf16": _free("evaluations use it too, and the run prints it"),
    "fp16": _free("evaluations use it too, and the run prints it"),
    "tf32": _free("evaluations use it too"),
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
    "use_liger_kernel": _reserved("Liger has no kernels for GPT-2"),
    "liger_kernel_config": _reserved("Liger has no kernels for GPT-2"),
    "use_cache": _reserved("training predicts all tokens of a window at once"),
    "use_cpu": _decided_by("cpu"),
    # Evaluations and checkpoints.
    "eval_strategy": _EVERY,
    "eval_steps": _STEPS,
    "eval_delay": _EVERY,
    "eval_on_start": _reserved("a resumed run would be evaluated twice"),
    "per_device_eval_batch_size": _reserved("each process scores the same number of batches"),
    "prediction_loss_only": _reserved("bits per byte need predictions"),
    "eval_do_concat_batches": _METRIC,
    "eval_use_gather_object": _METRIC,
    "eval_accumulation_steps": _METRIC,
    "include_for_metrics": _METRIC,
    "batch_eval_metrics": _reserved("bits per byte are summed batch by batch"),
    "label_names": _reserved("greylord makes the labels"),
    "remove_unused_columns": _reserved("windows are not a table with columns"),
    "save_strategy": _EVERY,
    "save_steps": _EVERY,
    "save_only_model": _reserved("a checkpoint without optimizer could not be resumed"),
    "save_on_each_node": _reserved("the first process alone writes"),
    "save_total_limit": _whole(2, ", for the best and the newest checkpoint"),
    "enable_jit_checkpoint": _reserved("SIGTERM already ends a run with a checkpoint"),
    "load_best_model_at_end": _BEST,
    "metric_for_best_model": _BEST,
    "greater_is_better": _BEST,
    "restore_callback_states_from_checkpoint": _reserved("a resumed run continues with the remaining patience"),
    # Reading windows.
    "dataloader_drop_last": _reserved("each window has to be read"),
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
    # Logging and reporting.
    "logging_strategy": _free("the loss is always logged at evaluations too"),
    "logging_steps": _STEPS,
    "logging_first_step": _reserved("the loss is logged every logging_steps and at evaluations"),
    "logging_nan_inf_filter": _reserved("a loss that is NaN or infinite ends the run, so it must not be hidden"),
    "logging_dir": _TRACKER,
    "log_level": _free("it controls only what the libraries print"),
    "log_level_replica": _free("it controls only what the libraries print"),
    "log_on_each_node": _free("it controls only what the libraries print"),
    "disable_tqdm": _reserved("greylord draws the progress bar"),
    "include_num_input_tokens_seen": _reserved("the run's training_history.json has the tokens"),
    "skip_memory_metrics": _reserved("the run's training_summary.json has the memory"),
    "debug": _reserved("a loss that is NaN or infinite always ends the run"),
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
    # Fields for scripts around a Trainer.
    "do_train": _UNREAD,
    "do_eval": _UNREAD,
    "do_predict": _UNREAD,
    "resume_from_checkpoint": _decided_by("resume"),
}
"""The rules for all fields that the supported versions of transformers have."""
_NEW = _free("the field is newer than this table; like all others it is tried before the run begins")


def check_overrides(overrides: Mapping[str, Any], prefix: str = "") -> None:
    """Check overrides against the rules of their fields.

    Args:
        overrides: Values by field.
        prefix: Beginning of the error's sentence that says where they come from, such as "config.json: " or "--set ".

    Raises:
        OverrideError: A field does not exist or is reserved, or does not take its value.
    """
    for name, value in overrides.items():
        rule = _rule(name, prefix)
        if not rule.accepts(value):
            raise OverrideError(f"{prefix}{name} must be {rule.why}; it is {value!r}.")


def _rule(name: str, prefix: str) -> Rule:
    """Return the rule of a field.

    Raises OverrideError for a field that does not exist or is reserved.
    """
    rule = FIELDS.get(name, _NEW)
    # Before the search among the fields of the installed version: it may lack one that has a rule.
    if rule.kind == "reserved":
        # The value is not repeated: it may be a secret.
        why = f": {rule.why}" if rule.why else ""
        instead = f"; use the setting {rule.setting}" if rule.setting else ""
        raise OverrideError(f"{prefix}{name} is not allowed{why}{instead}.", rule.setting)
    known = [field.name for field in fields(TrainingArguments)]
    if name not in known:
        raise OverrideError(f"{prefix}{name!r} is not a field of TrainingArguments.{did_you_mean(name, known)}")
    return rule


def parse_assignments(assignments: Sequence[str], prefix: str = "") -> dict[str, Any]:
    """Parse texts such as "adam_beta2=0.95".

    The values have the types of `TrainingArguments`.

    Args:
        assignments: If a field is assigned twice, the last value counts.
        prefix: As in `check_overrides`.

    Raises:
        OverrideError: As in `check_overrides`, or a text does not have this form or type.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise OverrideError(f"{prefix}{assignment!r} must have the form field=value.")
        values |= parse_values({name: text}, prefix)
    return values


def parse_values(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Parse texts, or values from JSON.

    The results have the types of `TrainingArguments`.

    Args:
        values: Texts or values by field.
        prefix: As in `check_overrides`.

    Raises:
        OverrideError: As in `check_overrides`, or a value is of another type.
    """
    parsed = {name: _parse(name, value, prefix) for name, value in values.items() if _rule(name, prefix)}
    check_overrides(parsed, prefix)
    return parsed


def _parse(name: str, value: Any, prefix: str) -> Any:
    if isinstance(value, dict | list):
        if type(value).__name__ in str(_types()[name]):
            return value
        raise OverrideError(f"{prefix}{name} takes one value, not {value!r}.")
    if value is None:
        raise OverrideError(f"{prefix}{name} has no value; leave it out to keep the default.")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    choices = _choices().get(name)
    if choices and text not in choices:
        hint = did_you_mean(text, choices) or f" It takes {', '.join(choices)}."
        raise OverrideError(f"{prefix}{name} does not take {value!r}.{hint}")
    try:
        return getattr(_parser().parse_args(["--output_dir=", f"--{name}={text}"]), name)
    except Exception as error:
        # The errors that types of Python and of transformers raise for a text are not documented.
        reason = re.sub(r"^argument \S+: ", "", first_line(error))
        raise OverrideError(f"{prefix}{name} does not take {value!r}: {reason}.") from error


class _Parser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


@cache
def _parser() -> _Parser:
    return _Parser([cast(DataClassType, TrainingArguments)], allow_abbrev=False)


@cache
def _choices() -> dict[str, list[str]]:
    """Return the values of the fields that take one of a list of names, by field."""
    return {action.dest: list(map(str, action.choices)) for action in _parser()._actions if action.choices}


@cache
def _types() -> dict[str, Any]:
    return typing.get_type_hints(TrainingArguments)


def format_assignment(name: str, value: Any) -> str:
    """Return a field and its value as a text that `parse_assignments` takes."""
    return f"{name}={value if isinstance(value, str) else json.dumps(value, default=str)}"
