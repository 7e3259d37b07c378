"""The kernel of attention that a run computes with, and why. All give the same function, but for rounding."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from greylord.training.device import Device

__all__ = ["blockwise", "choose_attention", "keys_of_blocks"]

BLOCK_QUERIES = 128
"""A block looks at nothing after it, so the more blocks, the less is computed in vain; and the more calls there are."""
MAX_TOKENS = 1_024
"""Up to which blocks are faster. Their weights are kept for the backward pass, by the square of the length."""


def blockwise(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention (Vaswani et al. 2017), matrix by matrix for a block of queries and all keys up to its end.

    Longer windows than `MAX_TOKENS`, masks, dropout and cached keys go to the fused kernel.

    Args:
        module: the attention that calls.
        query: any float, [windows, heads, tokens, size].
        key: the same.
        value: the same.
        attention_mask: further mask, if any.
        dropout: of the weights.
        scaling: of the scores; 1 / sqrt(size) if None.
        options: of the fused kernel.

    Returns:
        [windows, tokens, heads, size], and no weights.
    """
    windows, heads, tokens, size = query.shape
    if attention_mask is not None or dropout or key.shape != query.shape or tokens > MAX_TOKENS:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    scale = size**-0.5 if scaling is None else scaling
    query, key, value = (part.reshape(windows * heads, tokens, size) for part in (query, key, value))
    future = torch.full((tokens, tokens), -torch.inf, dtype=query.dtype, device=query.device).triu_(1)
    mixed = []
    for begin, end in _blocks(tokens):
        mask = future[begin:end, :end].expand(windows * heads, -1, -1)
        scores = torch.baddbmm(mask, query[:, begin:end], key[:, :end].transpose(1, 2), alpha=scale)
        mixed.append(torch.bmm(scores.softmax(-1), value[:, :end]))
    return torch.cat(mixed, 1).view(windows, heads, tokens, size).transpose(1, 2), None


def _blocks(tokens: int) -> list[tuple[int, int]]:
    return [(begin, min(begin + BLOCK_QUERIES, tokens)) for begin in range(0, tokens, BLOCK_QUERIES)]


def keys_of_blocks(tokens: int) -> int | None:
    """The weights that `blockwise` keeps of a window and head; None where it leaves it to the fused kernel."""
    return sum((end - begin) * end for begin, end in _blocks(tokens)) if tokens <= MAX_TOKENS else None


AttentionInterface.register("blockwise", blockwise)
_WORDS = {
    "sdpa": "attention by PyTorch's fused kernel",
    "blockwise": f"attention in blocks of {BLOCK_QUERIES} queries up to {MAX_TOKENS:,} tokens",
}


def choose_attention(asked: str | None, device: Device) -> tuple[str, str]:
    """The name of the kernel for a device, as transformers has it, and the words that say why.

    Args:
        asked: what the user wants, of `ATTENTIONS`; None where that is left to us.
        device: with its precision.
    """
    if asked is not None:
        return asked, f"{_WORDS[asked]}, as the settings have it"
    if device.type == "cpu" and device.bf16:
        return "blockwise", f"{_WORDS['blockwise']}: in bfloat16 faster than a CPU's fused kernel"
    return "sdpa", _WORDS["sdpa"]
