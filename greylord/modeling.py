"""The stock GPT2LMHeadModel over the 262 tokens: fresh, or continued from a saved folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import ACT2FN

from greylord.errors import UsageError, did_you_mean, first_line
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
    """What decides a model's size but for its context."""

    layers: int
    width: int
    heads: int

    def __str__(self) -> str:
        return f"{self.layers} layers of {self.width}, {self.heads} heads"


DEFAULT = "default"
PRESETS = {DEFAULT: Shape(4, 128, 4), "medium": Shape(8, 256, 8), "large": Shape(12, 512, 8)}


POSITION_SCALE = 0.1
"""Of the sinusoids that the position table begins with; token embeddings begin with a deviation of 0.02."""
LOOK_SCALE = 2.0
"""Of the queries and keys that look back. On sample recordings the token looked for then gets 0.72 to 0.79 of a head's
attention in the default preset, 0.91 to 0.94 in the medium one."""
FREE_VARIANCE = 4e-6
"""Of positions in a direction that is as good as free of them: a hundredth of the variance of token embeddings."""
PASS_SCALE = 1.5
"""Of the values and outputs that pass on what stands there. From 1.2 to 1.7 it makes no difference."""


def preset(name: str | None) -> Shape:
    """The shape that a preset has; of None the default's. Raises UsageError for an unknown name."""
    name = DEFAULT if name is None else name
    if name not in PRESETS:
        raise UsageError(f"There is no preset {name!r}, only {', '.join(PRESETS)}.{did_you_mean(name, PRESETS)}")
    return PRESETS[name]


def new_model(context: int, shape: Shape = PRESETS[DEFAULT]) -> GPT2LMHeadModel:
    """A new model, its weights drawn from torch's random state. No dropout: it only costs until data repeats."""
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary.VOCAB_SIZE,
            n_positions=context,
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            # On a CPU the default, gelu_new, takes longer than the matrices around it; and it learns no more a token.
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
        positions, attention = _first_positions(context, shape.width), model.transformer.h[0].attn
        model.transformer.wpe.weight.copy_(positions)
        _look_back(attention.c_attn.weight, shape)
        _pass_on(attention.c_attn.weight, attention.c_proj.weight, positions, shape)
    return _prepared(model)


def _first_positions(context: int, width: int) -> torch.Tensor:
    """Sines and cosines in turn of each position, a tenth in height, float32 [context, width] (Vaswani et al. 2017,
    section 3.5).

    The position table begins with them: "so many tokens back" is then one linear map for all positions. From random
    rows each position has to find out by itself where its neighbours are, which takes most of a short training.
    """
    angles = torch.arange(context)[:, None] * _frequencies(width)
    return POSITION_SCALE * torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def _frequencies(width: int) -> torch.Tensor:
    """Radians a position, float32 [width / 2]."""
    return torch.exp(-math.log(10_000) * torch.arange(0, width, 2) / width)


def _look_back(weight: torch.Tensor, shape: Shape) -> None:
    """Let the heads of a block begin by looking one, two, three, ... tokens back, as each has to learn anyway.

    A head's queries are sinusoids as they stand in the position table, its keys those of so many positions later:
    rotated in each pair of sine and cosine. Their product is the largest where the two agree.

    Args:
        weight: of queries, keys and values, [width, 3 width], in place.
        shape: of the model.
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


def _pass_on(weight: torch.Tensor, output: torch.Tensor, positions: torch.Tensor, shape: Shape) -> None:
    """Let the heads of a block begin by passing on the token that they look at.

    A head reads random directions of it, and writes them to random others. All are turned away from those in which
    positions lie: by these a head would pass on where the token stands rather than which it is, for positions begin
    larger than tokens.

    Args:
        weight: of queries, keys and values, [width, 3 width], in place.
        output: of the heads, [width, width], in place.
        positions: the position table, [context, width].
        shape: of the model.
    """
    size = shape.width // shape.heads
    # A projection, but smooth: which directions are left may not depend on rounding. A layer norm takes away what all
    # dimensions have in common.
    taken = positions.double().T @ positions.double() / len(positions) + torch.ones(shape.width, shape.width)
    free = torch.linalg.inv(torch.eye(shape.width) + taken / FREE_VARIANCE).to(weight.dtype)
    for head in range(shape.heads):
        read, written = (torch.nn.init.orthogonal_(torch.empty(shape.width, size)) for _ in range(2))
        heads = slice(head * size, (head + 1) * size)
        weight[:, 2 * shape.width :][:, heads] = PASS_SCALE * free @ read
        output[heads] = PASS_SCALE * (free @ written).T


def read_config(folder: Path) -> GPT2Config:
    """Read the configuration of a model folder.

    Raises:
        UsageError: the folder does not hold a GPT-2 of greylord's vocabulary.
    """
    read_architecture(folder)
    try:
        config = GPT2Config.from_dict(read_json(folder / "config.json"))
    except StrictDataclassError as error:
        raise not_gpt2(folder, " ".join(str(error).split())) from error
    if config.activation_function not in ACT2FN:
        raise not_gpt2(folder, f"there is no activation_function {config.activation_function!r}")
    return config


def load_model(folder: Path) -> GPT2LMHeadModel:
    """Load a model folder in float32.

    Raises:
        UsageError: the folder does not hold a sound GPT-2 of greylord's vocabulary.
    """
    read_config(folder)
    # transformers would fill gaps with random weights.
    check_tensors(folder, read_architecture(folder))
    try:
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
        # What transformers raises for a file of another shape is not documented.
        raise UsageError(f"{str(folder)!r} cannot be loaded: {first_line(error)}.") from error
    return _prepared(model)


def _prepared(model: GPT2LMHeadModel) -> GPT2LMHeadModel:
    # Without it the Trainer counts one more label a row than the model sums, and scales the loss by (L-1)/L.
    model.loss_type = "ForCausalLM"
    return model


def extend_context(model: GPT2LMHeadModel, context: int) -> GPT2LMHeadModel:
    """Lengthen a model's position table to `context`; the new positions begin as a new model's do."""
    table = model.transformer.wpe
    if context <= table.num_embeddings:
        return model
    longer = torch.nn.Embedding(context, table.embedding_dim, dtype=table.weight.dtype)
    with torch.no_grad():
        longer.weight.copy_(_first_positions(context, table.embedding_dim))
        longer.weight[: table.num_embeddings] = table.weight
    model.transformer.wpe = longer
    model.config.n_positions = context
    return model


def shape_of(config: GPT2Config) -> Shape:
    """The shape of a model."""
    return Shape(config.n_layer, config.n_embd, config.n_head)


def parameter_counts(model: GPT2LMHeadModel) -> tuple[int, int]:
    """Weights without the position table, and in it. Tied weights count once."""
    positions = model.transformer.wpe.weight.numel()
    return sum(parameter.numel() for parameter in model.parameters()) - positions, positions


def describe(model: GPT2LMHeadModel, origin: str) -> str:
    weights, positions = parameter_counts(model)
    shape = f"GPT-2, {shape_of(model.config)}"
    return f"{shape}, {weights / 1e6:.2f} M weights and {positions / 1e6:.2f} M for positions; {origin}"
