"""The model: a stock GPT2LMHeadModel over greylord's 262 tokens.

It is new or loaded from a folder.

A new model does not begin from random weights alone. Positions begin as sinusoids, and the heads of the first block
begin by looking one, two, three, ... tokens back and copying the token there. A short training run would otherwise
spend most of its time on learning this.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import ACT2FN
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from greylord.errors import UsageError, did_you_mean, first_line
from greylord.progress import quiet_transformers
from greylord.runs import read_json
from greylord.stream import vocabulary
from greylord.weights import check_tensors, not_gpt2, read_architecture

__all__ = [
    "DEFAULT",
    "PRESETS",
    "Shape",
    "describe",
    "extend_context",
    "load_model",
    "new_model",
    "parameter_counts",
    "preset",
    "read_config",
    "shape_of",
]


class Shape(NamedTuple):
    """The size of a model, apart from its context window."""

    layers: int
    width: int
    heads: int

    def __str__(self) -> str:
        return f"{self.layers} layers, {self.width} wide, {self.heads} heads"


DEFAULT = "default"
PRESETS = {DEFAULT: Shape(4, 128, 4), "medium": Shape(8, 256, 8), "large": Shape(12, 512, 8)}
"""Shapes of new models by name."""


POSITION_SCALE = 0.1
"""Amplitude of the initial position table. Token embeddings begin with a standard deviation of 0.02."""
LOOK_SCALE = 2.0
"""Scale of the queries and keys that look back. On sample recordings a head then gives 0.72 to 0.79 of its attention to
its token in the default preset, 0.91 to 0.94 in the medium one."""
FREE_VARIANCE = 4e-6
"""Variance of positions below which a direction counts as free of them: 1 % of the variance of token embeddings."""
COPY_SCALE = 1.5
"""Scale of the values and outputs that copy a token. From 1.2 to 1.7 it makes no difference."""


def preset(name: str | None) -> Shape:
    """Return the shape of a preset.

    Args:
        name: A key of `PRESETS`; None for the default.

    Raises:
        UsageError: There is no such preset.
    """
    name = DEFAULT if name is None else name
    if name not in PRESETS:
        raise UsageError(f"There is no preset {name!r}, only {', '.join(PRESETS)}.{did_you_mean(name, PRESETS)}")
    return PRESETS[name]


def new_model(context: int, shape: Shape = PRESETS[DEFAULT]) -> GPT2LMHeadModel:
    """Make a new model, with weights from torch's random state.

    It has no dropout, which only costs quality until data repeats.

    Args:
        context: Tokens of its context window.
    """
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary.VOCAB_SIZE,
            n_positions=context,
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            # The default, gelu_new, takes longer on a CPU than the matrices around it, and learns no more.
            activation_function="relu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=vocabulary.PAD,
            eos_token_id=vocabulary.PAD,
            pad_token_id=vocabulary.PAD,
        )
    )
    with torch.no_grad():
        positions = _initial_positions(context, shape.width)
        first_block = cast(GPT2Block, model.transformer.h[0])
        attention = first_block.attn
        model.transformer.wpe.weight.copy_(positions)
        _look_back(attention.c_attn.weight, shape)
        _copy_tokens(attention.c_attn.weight, attention.c_proj.weight, positions, shape)
    return _prepared(model)


def _initial_positions(context: int, width: int) -> torch.Tensor:
    """Return the initial position table, float32 [context, width].

    It alternates sines and cosines of each position.

    Source: Vaswani et al. 2017, section 3.5, scaled by `POSITION_SCALE`. "n tokens back" is then one linear map for all
    positions. In a random table, each position has to learn separately where its neighbours are.
    """
    angles = torch.arange(context)[:, None] * _frequencies(width)
    return POSITION_SCALE * torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def _frequencies(width: int) -> torch.Tensor:
    """Return the frequency of each sine and cosine, float32 [width / 2].

    The unit is radians per position.
    """
    return torch.exp(-math.log(10_000) * torch.arange(0, width, 2) / width)


def _look_back(weight: torch.Tensor, shape: Shape) -> None:
    """Set queries and keys so that head n of a block looks n tokens back.

    Otherwise a model has to learn this.

    The queries of a head are the sinusoids of the position table. Its keys are the sinusoids of n positions later, by a
    rotation of each pair of sine and cosine. The product is largest where the two agree.

    Args:
        weight: Weights of queries, keys and values, [width, 3 width], changed in place.
    """
    size = shape.width // shape.heads
    frequencies = _frequencies(shape.width)[: size // 2]
    for head in range(shape.heads):
        query = head * size
        key = shape.width + query
        weight[:, query : query + size] = weight[:, key : key + size] = 0
        for pair, frequency in enumerate(frequencies.tolist()):
            sine, cosine = 2 * pair, 2 * pair + 1
            angle = frequency * (head + 1)
            weight[sine, query + sine] = weight[cosine, query + cosine] = LOOK_SCALE
            weight[sine, key + sine] = weight[cosine, key + cosine] = LOOK_SCALE * math.cos(angle)
            weight[cosine, key + sine] = LOOK_SCALE * math.sin(angle)
            weight[sine, key + cosine] = -LOOK_SCALE * math.sin(angle)


def _copy_tokens(weight: torch.Tensor, output: torch.Tensor, positions: torch.Tensor, shape: Shape) -> None:
    """Set values and outputs so that the heads of a block copy a token.

    It is the token that the head looks at.

    A head reads the token in random directions and writes it to others. All of them avoid the directions of positions:
    positions begin larger than tokens, so a head would otherwise copy the position and not the token.

    Args:
        weight: Weights of queries, keys and values, [width, 3 width], changed in place.
        output: Weights of the output projection, [width, width], changed in place.
        positions: The position table, [context, width].
    """
    size = shape.width // shape.heads
    # A smooth projection, so that rounding cannot decide which directions remain. The ones stand for the mean over
    # all dimensions, which the layer norm removes.
    taken = positions.double().T @ positions.double() / len(positions) + torch.ones(shape.width, shape.width)
    free = torch.linalg.inv(torch.eye(shape.width) + taken / FREE_VARIANCE).to(weight.dtype)
    for head in range(shape.heads):
        read, written = (torch.nn.init.orthogonal_(torch.empty(shape.width, size)) for _ in range(2))
        heads = slice(head * size, (head + 1) * size)
        weight[:, 2 * shape.width :][:, heads] = COPY_SCALE * free @ read
        output[heads] = COPY_SCALE * (free @ written).T


def read_config(folder: Path) -> GPT2Config:
    """Read the configuration of a model folder.

    Raises:
        UsageError: The folder does not hold a GPT-2 with greylord's vocabulary.
    """
    read_architecture(folder)
    try:
        config = GPT2Config.from_dict(read_json(folder / "config.json") or {})
    except StrictDataclassError as error:
        raise not_gpt2(folder, " ".join(str(error).split())) from error
    if config.activation_function not in ACT2FN:
        raise not_gpt2(folder, f"there is no activation_function {config.activation_function!r}")
    return config


def load_model(folder: Path) -> GPT2LMHeadModel:
    """Load a model folder in float32, on the CPU.

    Raises:
        UsageError: The folder does not hold a sound GPT-2 with greylord's vocabulary.
    """
    read_config(folder)
    # transformers would replace missing tensors by random ones.
    check_tensors(folder, read_architecture(folder))
    try:
        with quiet_transformers():
            model = GPT2LMHeadModel.from_pretrained(
                folder,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
            )
    except MemoryError:
        raise
    except Exception as error:
        # The errors that transformers raises for a file of another shape are not documented.
        raise UsageError(f"{str(folder)!r} cannot be loaded: {first_line(error)}.") from error
    return _prepared(model)


def _prepared(model: GPT2LMHeadModel) -> GPT2LMHeadModel:
    # Without it the Trainer counts one label more per row than the model sums, and scales the loss by (L-1)/L.
    model.loss_type = "ForCausalLM"
    return model


def extend_context(model: GPT2LMHeadModel, context: int) -> GPT2LMHeadModel:
    """Lengthen a model's position table in place.

    New positions begin as in a new model.

    Args:
        context: Number of positions. A longer table stays as it is.
    """
    table = model.transformer.wpe
    if context <= table.num_embeddings:
        return model
    longer = torch.nn.Embedding(context, table.embedding_dim, dtype=table.weight.dtype)
    with torch.no_grad():
        longer.weight.copy_(_initial_positions(context, table.embedding_dim))
        longer.weight[: table.num_embeddings] = table.weight
    model.transformer.wpe = longer
    model.config.n_positions = context
    return model


def shape_of(config: GPT2Config) -> Shape:
    """Return the shape of a model with this configuration."""
    return Shape(config.n_layer, config.n_embd, config.n_head)


def parameter_counts(model: GPT2LMHeadModel) -> tuple[int, int]:
    """Count the parameters of a model.

    Returns:
        Parameters outside the position table, and in it. Tied weights count once.
    """
    positions = model.transformer.wpe.weight.numel()
    return sum(parameter.numel() for parameter in model.parameters()) - positions, positions


def describe(model: GPT2LMHeadModel, origin: str) -> str:
    """Describe a model in a line.

    Args:
        origin: The origin of its weights, in words.
    """
    parameters, positions = parameter_counts(model)
    return f"GPT-2, {shape_of(model.config)}, {(parameters + positions) / 1e6:.2f} M parameters; {origin}"
