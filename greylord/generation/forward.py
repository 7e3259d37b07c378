"""GPT-2's forward pass over static key/value caches, a few tokens at a time.

It computes one row or many.

A token of the default model costs 0.8 M multiplications, less time than the calls around them. So this pass makes few
calls, and none that only serve generality.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import gelu, pad

from greylord.weights import EMBEDDING, OUTPUT, PREFIX, GPT2Weights

__all__ = ["Forward"]

ONE_THREAD_TOKENS = 64
"""Tokens up to which a CPU computes on one thread. A second thread saves a tenth (17 tokens) to a third (64) of the
time, but on a busy machine each call waits for it."""

_Affine = tuple[torch.Tensor, torch.Tensor]
"""A weight and a bias."""


class _Layer(NamedTuple):
    """The weights and biases of one block.

    Matrices are [in, out]; norms have scales and shifts.
    """

    ln_1: _Affine
    c_attn: _Affine
    attn_proj: _Affine
    ln_2: _Affine
    c_fc: _Affine
    mlp_proj: _Affine

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor], block: str) -> _Layer:
        """Return the weights of a block, given its name, such as "h.0"."""
        names = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
        return cls(*(_affine(tensors, f"{block}.{name}") for name in names))


def _affine(tensors: Mapping[str, torch.Tensor], name: str) -> _Affine:
    return tensors[f"{PREFIX}{name}.weight"], tensors[f"{PREFIX}{name}.bias"]


class Forward:
    """The forward pass of a model, on the device of its weights.

    Args:
        weights: Weights of the model; they are not copied.
        rows: Rows of the key/value cache.
    """

    def __init__(self, weights: GPT2Weights, rows: int = 1) -> None:
        architecture, tensors = weights.architecture, weights.tensors
        self.context = architecture.n_positions
        self.device = tensors[EMBEDDING].device
        self._width, self._heads = architecture.n_embd, architecture.n_head
        self._size = self._width // self._heads
        self._scale, self._epsilon = self._size**-0.5, architecture.layer_norm_epsilon
        is_relu = architecture.activation_function == "relu"
        self._activation = torch.relu if is_relu else partial(gelu, approximate="tanh")
        self._no_mask = torch.zeros((), device=self.device)
        self._tokens, self._output = tensors[EMBEDDING], tensors[OUTPUT].t()
        # Padding is written to one extra position.
        self._positions = pad(tensors[f"{PREFIX}wpe.weight"], (0, 0, 0, 1))
        self._layers = [_Layer.of(tensors, f"h.{index}") for index in range(architecture.n_layer)]
        self._norm = _affine(tensors, "ln_f")
        shape = (2, rows * self._heads, self.context + 1, self._size)
        # Views of tensors that can never take part in autograd cost less.
        with torch.inference_mode():
            self._caches = [torch.zeros(shape, device=self.device) for _ in self._layers]

    @torch.inference_mode()
    def __call__(self, rows: slice, ids: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """Read tokens into the cache, and compute the logits after each.

        Args:
            rows: The n rows of the cache to use.
            ids: int64 [n, t]. Tokens beyond the context are padding; their logits are undefined.
            begins: int64 [n], tokens of each row that are in the cache already. Later entries are overwritten.

        Returns:
            float32 [n, t, vocabulary], equal to the stock model's logits up to rounding.
        """
        n, t = ids.shape
        heads, size = self._heads, self._size
        places = np.minimum(begins[:, None] + np.arange(t), self.context)
        first, end = int(places.min()), int(places.max()) + 1
        positions = torch.from_numpy(places).to(self.device)
        mask, weight = self._no_mask, 0
        if n * t > 1:
            future = torch.arange(end, device=self.device) > positions[:, :, None]
            mask, weight = torch.zeros(future.shape, device=self.device).masked_fill_(future, -torch.inf), 1
            mask = mask.repeat_interleave(heads, 0) if n > 1 else mask
        cached = slice(rows.start * heads, rows.stop * heads)
        with _threads_for(n * t):
            x = self._tokens[torch.from_numpy(ids).to(self.device)] + self._positions[positions]
            x = x.view(n * t, -1)
            for layer, cache in zip(self._layers, self._caches, strict=True):
                attention = _linear(self._normed(x, layer.ln_1), layer.c_attn)
                attention = attention.view(n, t, 3, heads, size).permute(2, 0, 3, 1, 4).reshape(3, n * heads, t, size)
                queries, new = attention[0], attention[1:]
                past = cache[:, cached, :end]
                if n == 1:
                    past.narrow(2, first, t).copy_(new)
                else:
                    index = positions.repeat_interleave(heads, 0)[None, :, :, None].expand(2, -1, -1, size)
                    past.scatter_(2, index, new)
                keys, values = past.unbind()
                scores = torch.baddbmm(mask, queries, keys.transpose(1, 2), beta=weight, alpha=self._scale)
                mixed = torch.bmm(scores.softmax(-1), values)
                mixed = mixed.view(n, heads, t, size).transpose(1, 2).reshape(n * t, -1)
                x += _linear(mixed, layer.attn_proj)
                hidden = _linear(self._normed(x, layer.ln_2), layer.c_fc)
                x += _linear(self._activation(hidden), layer.mlp_proj)
            logits = torch.mm(self._normed(x, self._norm), self._output)
        return logits.view(n, t, -1).cpu().numpy()

    @torch.inference_mode()
    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of row `source` in the cache to row `target`."""
        heads = self._heads
        old, new = (slice(row * heads, (row + 1) * heads) for row in (source, target))
        with _threads_for(1):
            for cache in self._caches:
                cache[:, new, :tokens] = cache[:, old, :tokens]

    def _normed(self, x: torch.Tensor, norm: _Affine) -> torch.Tensor:
        return torch.layer_norm(x, (self._width,), *norm, self._epsilon)


def _linear(x: torch.Tensor, layer: _Affine) -> torch.Tensor:
    weight, bias = layer
    return torch.addmm(bias, x, weight)


@contextlib.contextmanager
def _threads_for(tokens: int) -> Iterator[None]:
    """Compute on one CPU thread within the block if there are few tokens."""
    threads = torch.get_num_threads()
    if tokens > ONE_THREAD_TOKENS or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
