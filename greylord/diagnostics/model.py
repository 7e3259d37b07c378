"""Check the folder of a model: files, special ids, weights, and a training step."""

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
from greylord.workspace import HERE, Workspace

__all__ = ["UNIFORM_NATS", "WEIGHT_BOUND", "ModelReport", "WeightReport", "inspect"]

WEIGHT_BOUND = 100.0
"""A larger weight is damage: trained weights stay below 3."""
UNIFORM_NATS = math.log(vocabulary.VOCAB_SIZE)
"""Loss of a model that gives every token the same probability."""
REALM_MINUTES = 3
"""Minutes of play in the built-in realm, if the model's corpus is missing. Longer than the longest context window."""


@dataclass(frozen=True)
class WeightReport:
    """Findings in the weights of a model."""

    blocks: dict[str, dict[str, int]]
    """Parameters by block ("embedding", "block 0", ...) and part ("attention", "MLP", "norms", else "all"). Tied
    weights count once."""
    without_positions: int
    """Parameters outside the position table."""
    positions: int
    """Parameters in the position table."""
    dtypes: dict[str, int]
    """Tensors in the file by dtype."""
    largest: float
    """The largest finite magnitude."""
    largest_in: str
    """The tensor with the largest magnitude."""
    tied: bool
    """The output matrix is the embedding."""
    problems: list[str]
    """One sentence each."""


@dataclass(frozen=True)
class ModelReport:
    """Findings in the folder of a model.

    The model is sound if there are no problems.
    """

    layers: int
    width: int
    heads: int
    context: int
    """Positions in the position table."""
    max_length: int | None
    """`model_max_length` of the tokenizer."""
    ids: dict[str, dict[str, int | list[int]]]
    """Special ids, by file and key ("pad_token_id")."""
    missing: list[str]
    """Files of `runs.USE_FILES` and `runs.RECORD_FILES` that are not there."""
    weights: WeightReport | None
    """None if the weights cannot be loaded."""
    data: str | None
    """Origin of the windows of the training step; None without a step."""
    step: Step | None
    """None if the weights cannot be loaded."""
    problems: list[str]
    """One sentence each."""


def inspect(folder: Path, *, workspace: Workspace = HERE) -> ModelReport:
    """Check the folder of a model without changing it.

    Raises:
        UsageError: The folder does not hold a model, or one with another vocabulary.
    """
    config = modeling.read_config(folder)
    context = config.n_positions
    missing = [name for name in (*runs.USE_FILES, *runs.RECORD_FILES) if not (folder / name).is_file()]
    problems = [f"There is no {name}." for name in missing if name in runs.USE_FILES]

    ids = _special_ids(folder)
    for file, values in ids.items():
        for key, value in values.items():
            # There may be several eos ids.
            if not all(index in range(config.vocab_size) for index in (value if isinstance(value, list) else [value])):
                problems.append(f"{key} of {file} is {value}, outside the {config.vocab_size} tokens.")

    max_length = (runs.read_json(folder / "tokenizer_config.json") or {}).get("model_max_length")
    if max_length is not None and type(max_length) is not int:
        problems.append(f"The tokenizer's model_max_length is {max_length!r}, which is not a whole number.")
        max_length = None
    if max_length not in (None, context):
        problems.append(f"The tokenizer's model_max_length is {max_length:,}, but the model has {context:,} positions.")

    weights = data = measured = None
    try:
        model = modeling.load_model(folder)
    except GreylordError as error:
        problems.append(str(error))
    else:
        weights = _inspect_weights(folder, model)
        rows, data = _training_rows(folder, workspace)
        device = choose_device(cpu=False)
        windows = TrainingWindows(rows, context)
        batch = min(batch_size(device.type, context), len(windows))
        chosen = random.Random(0).sample(range(len(windows)), batch)
        measured = step(model, [windows[index] for index in chosen], device)
        problems += weights.problems + _step_problems(measured)
    return ModelReport(
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        context=context,
        max_length=max_length,
        ids=ids,
        missing=missing,
        weights=weights,
        data=data,
        step=measured,
        problems=problems,
    )


def _special_ids(folder: Path) -> dict[str, dict[str, int | list[int]]]:
    contents = {name: runs.read_json(folder / name) or {} for name in ("config.json", "generation_config.json")}
    return {
        name: {key: value for key, value in content.items() if key.endswith("_token_id") and value is not None}
        for name, content in contents.items()
    }


def _inspect_weights(folder: Path, model: GPT2LMHeadModel) -> WeightReport:
    stored = load_file(folder / "model.safetensors").values()
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in stored)
    blocks: dict[str, Counter[str]] = {}
    magnitudes: dict[str, float] = {}
    problems = []
    for name, parameter in model.named_parameters():
        weight = parameter.detach()
        block, part = _block_and_part(name)
        blocks.setdefault(block, Counter())[part] += weight.numel()
        finite = weight.isfinite()
        magnitudes[name] = float(weight[finite].abs().max()) if finite.any() else 0.0
        if broken := weight.numel() - int(finite.sum()):
            problems.append(
                f"{name} has {units.count(broken, 'weight')} of {weight.numel():,} that are NaN or infinite."
            )
        # Biases are initialized to zero.
        elif not magnitudes[name] and name.endswith("weight"):
            problems.append(f"{name} is all zero.")
        if magnitudes[name] > WEIGHT_BOUND:
            problems.append(f"{name} has weights up to {magnitudes[name]:g}, beyond {WEIGHT_BOUND:g}.")
    tied = model.lm_head.weight is model.transformer.wte.weight
    if not tied:
        problems.append("The output matrix lm_head.weight is not tied to the embedding transformer.wte.weight.")
    without_positions, positions = modeling.parameter_counts(model)
    largest_in = max(magnitudes, key=lambda name: magnitudes[name])
    return WeightReport(
        blocks={block: dict(parts) for block, parts in blocks.items()},
        without_positions=without_positions,
        positions=positions,
        dtypes=dict(dtypes),
        largest=magnitudes[largest_in],
        largest_in=largest_in,
        tied=tied,
        problems=problems,
    )


_PARTS = {"attn": "attention", "mlp": "MLP", "ln_1": "norms", "ln_2": "norms"}
_TABLES = {"wte": "embedding", "wpe": "positions", "ln_f": "final norm", "lm_head": "output matrix"}


def _block_and_part(name: str) -> tuple[str, str]:
    """Return the block and the part of a parameter of GPT2LMHeadModel.

    An example of a name is transformer.h.0.attn.c_attn.weight.
    """
    path = name.split(".")
    return (f"block {path[2]}", _PARTS.get(path[3], path[3])) if path[1] == "h" else (_TABLES[path[-2]], "all")


def _training_rows(folder: Path, workspace: Workspace) -> tuple[Sequence[np.ndarray], str]:
    """Return rows to train on, and their origin in words.

    They come from the model's own corpus or, without it, from the built-in realm.
    """
    try:
        corpus = build.corpus_of(own_dataset(folder), workspace=workspace)
        if Manifest.read(corpus) is not None:
            return Rows(corpus, "train"), str(corpus)
    except GreylordError:
        pass
    sessions = [session for _, session in record(seed=0, recordings=1, minutes=REALM_MINUTES)]
    return [turns.encode(session) for session in sessions], "the built-in realm"


def _step_problems(step: Step) -> list[str]:
    """Return what is wrong with a training step, one sentence each."""
    if not math.isfinite(step.loss):
        return [f"The loss of a training step is {step.loss}."]
    problems = []
    if step.loss > UNIFORM_NATS:
        problems.append(f"The loss of {step.loss:.2f} nats is above the {UNIFORM_NATS:.2f} of guessing, ln 262.")
    if not math.isfinite(step.gradient_norm) or not step.gradient_norm:
        problems.append(f"The gradient norm is {step.gradient_norm:g}, so the model cannot learn.")
    return problems
