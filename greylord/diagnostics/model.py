"""Whether a model's folder is sound: its files, its special ids, its weights, and one training step."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from transformers import GPT2LMHeadModel

from greylord import modeling, runs, units
from greylord.corpus import build
from greylord.corpus.batching import batch_size
from greylord.corpus.manifest import Manifest
from greylord.corpus.windows import Rows, TrainingWindows
from greylord.errors import GreylordError
from greylord.evaluation.unseen import own_dataset
from greylord.realm.recorder import record
from greylord.stream import turns, vocabulary
from greylord.training.hardware import choose_device
from greylord.training.memory import Step, step

__all__ = ["UNIFORM_NATS", "WEIGHT_BOUND", "Report", "Weights", "inspect"]

WEIGHT_BOUND = 100.0
"""A weight beyond it is damage: ours stay below 3 when trained."""
UNIFORM_NATS = math.log(vocabulary.VOCAB_SIZE)
"""What a token costs a model that knows nothing."""
REALM_MINUTES = 3
"""Of play, where a model's own corpus is not at hand: more than the longest context."""


@dataclass(frozen=True)
class Weights:
    """The weights of a model.

    Attributes:
        blocks: how many, by block ("embedding", "block 0", ...) and part ("attention", "MLP", "norms", else "all").
            Tied weights count once.
        without_positions: how many outside the position table.
        positions: how many in it.
        dtypes: tensors of the file by dtype.
        largest: the largest finite magnitude.
        largest_in: the tensor that has it.
        tied: the output matrix is the embedding.
        problems: a sentence each.
    """

    blocks: dict[str, dict[str, int]]
    without_positions: int
    positions: int
    dtypes: dict[str, int]
    largest: float
    largest_in: str
    tied: bool
    problems: list[str]


@dataclass(frozen=True)
class Report:
    """What has been found out about a model's folder. It is sound if there are no problems."""

    layers: int
    width: int
    heads: int
    context: int
    """Positions of the model."""
    max_length: int | None
    """`model_max_length` of the tokenizer."""
    ids: dict[str, dict[str, int | list[int]]]
    """Special ids, by file and key ("pad_token_id")."""
    missing: list[str]
    """Of `runs.USE_FILES` and `runs.RECORD_FILES`."""
    weights: Weights | None
    """None where they cannot be loaded."""
    data: str | None
    """Where the windows of the step come from."""
    step: Step | None
    problems: list[str]


def inspect(folder: Path) -> Report:
    """Look at a model's folder, and leave it as it is.

    Raises UsageError if it is no folder of a model, or one of a model of another vocabulary.
    """
    config = modeling.read_config(folder)
    context = config.n_positions
    missing = [name for name in (*runs.USE_FILES, *runs.RECORD_FILES) if not (folder / name).is_file()]
    problems = [f"There is no {name}." for name in missing if name in runs.USE_FILES]

    ids = _special_ids(folder)
    for file, given in ids.items():
        for key, value in given.items():
            # There may be several ids that end a text.
            if not all(index in range(config.vocab_size) for index in (value if isinstance(value, list) else [value])):
                problems.append(f"{key} of {file} is {value}, outside the {config.vocab_size} tokens.")

    max_length = (runs.read_json(folder / "tokenizer_config.json") or {}).get("model_max_length")
    if max_length is not None and type(max_length) is not int:
        problems.append(f"The tokenizer's model_max_length is {max_length!r}, which is not a whole number.")
        max_length = None
    if max_length not in (None, context):
        problems.append(f"The tokenizer's model_max_length is {max_length:,}, but the model has {context:,} positions.")

    weights = data = first_step = None
    try:
        model = modeling.load_model(folder)
    except GreylordError as error:
        problems.append(str(error))
    else:
        weights = _weights(folder, model)
        rows, data = _rows(folder)
        device = choose_device(cpu=False)
        windows = TrainingWindows(rows, context)
        batch = min(batch_size(device.type, context), len(windows))
        chosen = random.Random(0).sample(range(len(windows)), batch)
        first_step = step(model, [windows[index] for index in chosen], device)
        problems += weights.problems + _problems(first_step)
    return Report(
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        context=context,
        max_length=max_length,
        ids=ids,
        missing=missing,
        weights=weights,
        data=data,
        step=first_step,
        problems=problems,
    )


def _special_ids(folder: Path) -> dict[str, dict[str, int | list[int]]]:
    contents = {name: runs.read_json(folder / name) or {} for name in ("config.json", "generation_config.json")}
    return {
        name: {key: value for key, value in content.items() if key.endswith("_token_id") and value is not None}
        for name, content in contents.items()
    }


def _weights(folder: Path, model: GPT2LMHeadModel) -> Weights:
    stored = load_file(folder / "model.safetensors").values()
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in stored)
    blocks: dict[str, Counter[str]] = {}
    sizes, problems = {}, []
    for name, parameter in model.named_parameters():
        weight = parameter.detach()
        block, part = _place(name)
        blocks.setdefault(block, Counter())[part] += weight.numel()
        finite = weight.isfinite()
        sizes[name] = float(weight[finite].abs().max()) if finite.any() else 0.0
        if broken := weight.numel() - int(finite.sum()):
            problems.append(
                f"{name} has {units.count(broken, 'weight')} of {weight.numel():,} that are NaN or infinite."
            )
        # Biases begin as zeros.
        elif not sizes[name] and name.endswith("weight"):
            problems.append(f"{name} is all zero.")
        if sizes[name] > WEIGHT_BOUND:
            problems.append(f"{name} has weights up to {sizes[name]:g}, beyond {WEIGHT_BOUND:g}.")
    tied = model.lm_head.weight is model.transformer.wte.weight
    if not tied:
        problems.append("The output matrix lm_head.weight is not tied to the embedding transformer.wte.weight.")
    without_positions, positions = modeling.parameter_counts(model)
    largest_in = max(sizes, key=sizes.get)
    return Weights(
        blocks={block: dict(parts) for block, parts in blocks.items()},
        without_positions=without_positions,
        positions=positions,
        dtypes=dict(dtypes),
        largest=sizes[largest_in],
        largest_in=largest_in,
        tied=tied,
        problems=problems,
    )


_PARTS = {"attn": "attention", "mlp": "MLP", "ln_1": "norms", "ln_2": "norms"}
_TABLES = {"wte": "embedding", "wpe": "positions", "ln_f": "final norm", "lm_head": "output matrix"}


def _place(name: str) -> tuple[str, str]:
    """Block and part of a weight's name in GPT2LMHeadModel, as transformer.h.0.attn.c_attn.weight."""
    path = name.split(".")
    return (f"block {path[2]}", _PARTS.get(path[3], path[3])) if path[1] == "h" else (_TABLES[path[-2]], "all")


def _rows(folder: Path) -> tuple[Sequence[np.ndarray], str]:
    """Rows to train on: of the model's own corpus if that is here, else of the built-in realm; and which."""
    try:
        corpus = build.corpus_of(own_dataset(folder))
        if Manifest.read(corpus) is not None:
            return Rows(corpus, "train"), str(corpus)
    except GreylordError:
        pass
    sessions = [session for _, session in record(seed=0, recordings=1, minutes=REALM_MINUTES)]
    return [turns.encode(turns.turns_of(session)) for session in sessions], "the built-in realm"


def _problems(step: Step) -> list[str]:
    """What is amiss with a step, a sentence each."""
    if not math.isfinite(step.loss):
        return ["The loss of a training step is no number."]
    found = []
    if step.loss > UNIFORM_NATS:
        found.append(f"The loss of {step.loss:.2f} nats is above the {UNIFORM_NATS:.2f} of guessing, ln 262.")
    if not math.isfinite(step.gradient_norm) or not step.gradient_norm:
        found.append(f"The gradient's norm is {step.gradient_norm:g}: nothing can be learned.")
    return found
