"""GPT-2's weights as plain tensors, from a model folder or from a model in memory.

Neither needs transformers. A damaged folder is refused before torch is imported: config.json and the header of
model.safetensors have everything but the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from greylord import runs
from greylord.errors import UsageError
from greylord.stream import vocabulary

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel

__all__ = ["ACTIVATIONS", "Architecture", "GPT2Weights", "check_tensors", "not_gpt2", "read_architecture"]

ACTIVATIONS = ("relu", "gelu_new", "gelu_pytorch_tanh")
"""Supported activation functions: ReLU as in greylord's models, and GPT-2's GELU under its two names."""
PREFIX = "transformer."
"""Prefix of tensor names. Files of a bare GPT2Model leave it out."""
EMBEDDING, OUTPUT = f"{PREFIX}wte.weight", "lm_head.weight"
FLOATS = ("F64", "F32", "F16", "BF16")
"""Floating-point types that a file may have, by their names in safetensors."""
ALIASES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
"""Alternative names that GPT2Config accepts for its fields. They take precedence."""
_KINDS = {int: "a whole number above 0", float: "a decimal number", str: "a string", bool: "true or false"}


@dataclass(frozen=True)
class Architecture:
    """The fields of a GPT2Config that decide the forward pass, with their defaults.

    Raises:
        ValueError: A field has the wrong type or is out of range.
    """

    n_positions: int = 1_024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    layer_norm_epsilon: float = 1e-5
    activation_function: str = "gelu_new"
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            kind = int if field.default is None else type(field.default)
            # bool is a subclass of int, but true is not a count.
            if type(value) is not kind or (type(value) is int and value < 1):
                raise ValueError(f"{field.name} must be {_KINDS[kind]}, not {value!r}")
        if not 0 <= self.layer_norm_epsilon < math.inf:
            raise ValueError(f"layer_norm_epsilon must be finite and not negative, not {self.layer_norm_epsilon}")
        if self.add_cross_attention:
            raise ValueError("add_cross_attention must be false")
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd, {self.n_embd}, must be divisible by n_head, {self.n_head}")

    def shapes(self) -> Iterator[tuple[str, list[int]]]:
        """Yield the name of each tensor as in `GPT2LMHeadModel.state_dict`, and its shape."""
        width, inner = self.n_embd, self.n_inner or 4 * self.n_embd
        yield EMBEDDING, [vocabulary.VOCAB_SIZE, width]
        yield OUTPUT, [vocabulary.VOCAB_SIZE, width]
        yield f"{PREFIX}wpe.weight", [self.n_positions, width]
        yield from _with_bias("ln_f", width)
        for index in range(self.n_layer):
            block = f"h.{index}"
            yield from _with_bias(f"{block}.ln_1", width)
            yield from _with_bias(f"{block}.attn.c_attn", width, 3 * width)
            yield from _with_bias(f"{block}.attn.c_proj", width, width)
            yield from _with_bias(f"{block}.ln_2", width)
            yield from _with_bias(f"{block}.mlp.c_fc", width, inner)
            yield from _with_bias(f"{block}.mlp.c_proj", inner, width)

    def check_supported(self, what: str) -> None:
        """Check that the decode engine can compute this variant of GPT-2.

        Args:
            what: Name of the model in the error.

        Raises:
            UsageError: The engine cannot compute it.
        """
        if self.activation_function not in ACTIVATIONS:
            problem = f"its activation_function is {self.activation_function!r}, not one of {', '.join(ACTIVATIONS)}"
        elif not self.scale_attn_weights:
            problem = "its scale_attn_weights is false"
        elif self.scale_attn_by_inverse_layer_idx:
            problem = "its scale_attn_by_inverse_layer_idx is true"
        else:
            return
        raise UsageError(f"{what} is a variant of GPT-2 that greylord cannot decode: {problem}.")


def _with_bias(layer: str, *shape: int) -> Iterator[tuple[str, list[int]]]:
    yield f"{PREFIX}{layer}.weight", list(shape)
    yield f"{PREFIX}{layer}.bias", [shape[-1]]


@dataclass(frozen=True, eq=False)
class GPT2Weights:
    """The weights of a GPT-2 for the decode engine.

    Attributes:
        architecture: A variant of GPT-2 that the engine can compute.
        tensors: float32 tensors on one device, by their names in `GPT2LMHeadModel.state_dict`.
    """

    architecture: Architecture
    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def read(cls, folder: Path) -> GPT2Weights:
        """Read a model folder onto the CPU.

        Raises:
            UsageError: The folder does not hold a sound model of greylord, or the engine cannot compute its variant.
        """
        architecture = read_architecture(folder)
        architecture.check_supported(repr(str(folder)))
        stored = check_tensors(folder, architecture)
        with safe_open(folder / runs.WEIGHTS, framework="pt") as file:
            tensors = {name: file.get_tensor(key).float() for name, key in stored.items()}
        for name, tensor in tensors.items():
            # numpy, because torch would first start its threads, which takes 0.1 s or more.
            if not np.isfinite(tensor.numpy()).all():
                raise UsageError(f"{str(folder)!r} has weights that are NaN or infinite, in {name}; train it again.")
        return cls(architecture, tensors)

    @classmethod
    def of(cls, model: GPT2LMHeadModel) -> GPT2Weights:
        """Take the weights of a model in memory.

        Tensors in float32 are shared, others are converted.

        Raises:
            UsageError: The engine cannot compute this variant of GPT-2.
        """
        architecture = Architecture(**{field.name: getattr(model.config, field.name) for field in fields(Architecture)})
        architecture.check_supported("The model")
        return cls(architecture, {name: tensor.float() for name, tensor in model.state_dict().items()})


def read_architecture(folder: Path) -> Architecture:
    """Read the config.json of a model folder.

    Raises:
        UsageError: The folder does not hold a GPT-2 with greylord's vocabulary.
    """
    config = runs.read_json(folder / "config.json")
    if config is None or not (folder / runs.WEIGHTS).is_file():
        raise UsageError(f"{str(folder)!r} is not a model folder: it has no config.json or no {runs.WEIGHTS}.")
    if config.get("model_type") != "gpt2" or config.get("vocab_size") != vocabulary.VOCAB_SIZE:
        raise UsageError(
            f"{str(folder)!r} holds a {config.get('model_type')} of {config.get('vocab_size')} tokens; "
            f"greylord needs a gpt2 of {vocabulary.VOCAB_SIZE} tokens."
        )
    config |= {name: config[alias] for alias, name in ALIASES.items() if alias in config}
    names = (field.name for field in fields(Architecture))
    try:
        return Architecture(**{name: config[name] for name in names if name in config})
    except ValueError as error:
        raise not_gpt2(folder, str(error)) from error


def not_gpt2(folder: Path, why: str) -> UsageError:
    """Make the error for a config.json that does not describe a GPT-2."""
    return UsageError(f"{str(folder)!r} has a config.json that does not describe a GPT-2: {why}.")


def check_tensors(folder: Path, architecture: Architecture) -> dict[str, str]:
    """Compare the header of model.safetensors with the architecture in config.json.

    Returns:
        The key of each tensor in the file, by its name in `GPT2LMHeadModel.state_dict`.

    Raises:
        UsageError: The file is damaged, or a tensor is missing, unexpected, of another shape or not floating-point.
    """
    try:
        with safe_open(folder / runs.WEIGHTS, framework="numpy") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            header = {key: (part.get_shape(), part.get_dtype()) for key, part in slices.items()}
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{str(folder)!r} cannot be loaded: {str(error).splitlines()[0].rstrip('.')}.") from error

    stored: dict[str, str] = {}
    for key in header:
        # Older versions of transformers stored causal masks.
        if key.endswith(".attn.bias"):
            continue
        bare = key.removeprefix(PREFIX)
        name = bare if bare == OUTPUT else PREFIX + bare
        if name in stored:
            raise _mismatch(folder, f"{name!r} is stored twice")
        stored[name] = key
    if architecture.tie_word_embeddings:
        # Tied tensors may be stored once, under either name.
        for name, other in ((OUTPUT, EMBEDDING), (EMBEDDING, OUTPUT)):
            if other in stored:
                stored.setdefault(name, stored[other])

    expected = set()
    for name, shape in architecture.shapes():
        if name not in stored:
            raise _mismatch(folder, f"{name} is missing")
        stored_shape, dtype = header[stored[name]]
        if stored_shape != shape:
            raise _mismatch(folder, f"{name} has the shape {stored_shape}, not {shape}")
        if dtype not in FLOATS:
            raise _mismatch(folder, f"{name} is stored as {dtype}, not as {', '.join(FLOATS)}")
        expected.add(name)
    if unexpected := stored.keys() - expected:
        raise _mismatch(folder, f"{stored[min(unexpected)]!r} is unexpected")
    return stored


def _mismatch(folder: Path, what: str) -> UsageError:
    return UsageError(f"{str(folder)!r} does not have the weights of its config.json: {what}.")
