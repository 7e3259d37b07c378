"""GPT-2's forward pass over static key/value caches: a few tokens at a time, of one row or many.

A token of the default model costs 0.8 M multiplications, less than the calls that arrange them. So this pass makes
few calls, and none that the stock model makes for generality. It reads the model's own weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import gelu, pad
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from greylord.errors import UsageError

__all__ = ["ACTIVATIONS", "Forward"]

ONE_THREAD_TOKENS = 64
"""Up to so many tokens one CPU thread computes. A second would save a tenth (of 17 tokens) to a third (of 64) of the
time, and on a busy machine each call would wait for it."""


class _Layer(NamedTuple):
    """A layer's matrices [in, out] and vectors, and its norms, a scale and a shift each."""

    norm_1: tuple[torch.Tensor, torch.Tensor]
    attend: torch.Tensor
    attend_bias: torch.Tensor
    mix: torch.Tensor
    mix_bias: torch.Tensor
    norm_2: tuple[torch.Tensor, torch.Tensor]
    widen: torch.Tensor
    widen_bias: torch.Tensor
    narrow: torch.Tensor
    narrow_bias: torch.Tensor

    @classmethod
    def of(cls, block: GPT2Block) -> _Layer:
        attention, mlp = block.attn, block.mlp
        return cls(
            norm_1=(block.ln_1.weight, block.ln_1.bias),
            attend=attention.c_attn.weight,
            attend_bias=attention.c_attn.bias,
            mix=attention.c_proj.weight,
            mix_bias=attention.c_proj.bias,
            norm_2=(block.ln_2.weight, block.ln_2.bias),
            widen=mlp.c_fc.weight,
            widen_bias=mlp.c_fc.bias,
            narrow=mlp.c_proj.weight,
            narrow_bias=mlp.c_proj.bias,
        )


_tanh_gelu = partial(gelu, approximate="tanh")
ACTIVATIONS = {"relu": torch.relu, "gelu_new": _tanh_gelu, "gelu_pytorch_tanh": _tanh_gelu}
"""Those of greylord's models, now and before, and GPT-2's own."""


class Forward:
    """The forward pass of a model, on its device, with a key/value cache of `rows` rows.

    Raises UsageError for a GPT-2 of another activation or another scale of attention than greylord's.
    """

    def __init__(self, model: GPT2LMHeadModel, rows: int = 1) -> None:
        config, body = model.config, model.transformer
        if (
            config.activation_function not in ACTIVATIONS
            or not config.scale_attn_weights
            or config.scale_attn_by_inverse_layer_idx
        ):
            raise UsageError(
                f"This is no plain GPT-2: its activation_function must be one of {', '.join(ACTIVATIONS)} (it is "
                f"{config.activation_function}), and its attention scaled by the width of a head alone."
            )
        self.context = config.n_positions
        self.device = model.device
        self._width, self._heads, self._size = config.n_embd, config.n_head, config.n_embd // config.n_head
        self._scale, self._epsilon = self._size**-0.5, config.layer_norm_epsilon
        self._activation = ACTIVATIONS[config.activation_function]
        self._no_mask = torch.zeros((), device=self.device)
        self._tokens, self._output = body.wte.weight, model.lm_head.weight.detach().t()
        # Padding goes to one position more than there are.
        self._positions = pad(body.wpe.weight.detach(), (0, 0, 0, 1))
        self._layers = [_Layer.of(block) for block in body.h]
        self._norm = body.ln_f.weight, body.ln_f.bias
        shape = (2, rows * self._heads, self.context + 1, self._size)
        # Views of tensors that can never take part in autograd cost less.
        with torch.inference_mode():
            self._caches = [torch.zeros(shape, device=self.device) for _ in body.h]

    @torch.inference_mode()
    def __call__(self, rows: slice, ids: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """Read tokens into the cache, each row's after those that it has read before.

        Args:
            rows: of the cache, n of them.
            ids: int64 [n, t]. What reaches beyond the context is padding, whose logits mean nothing.
            begins: int64 [n], the tokens that each row has read. Whatever the cache holds after them is forgotten.

        Returns:
            float32 [n, t, vocabulary]: the logits after each token, equal to the stock model's.
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
                attention = torch.addmm(layer.attend_bias, self._normed(x, *layer.norm_1), layer.attend)
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
                x += torch.addmm(layer.mix_bias, mixed, layer.mix)
                hidden = torch.addmm(layer.widen_bias, self._normed(x, *layer.norm_2), layer.widen)
                x += torch.addmm(layer.narrow_bias, self._activation(hidden), layer.narrow)
            logits = torch.mm(self._normed(x, *self._norm), self._output)
        return logits.view(n, t, -1).cpu().numpy()

    @torch.inference_mode()
    def copy(self, source: int, target: int, tokens: int) -> None:
        """Let row `target` have read what row `source` has, its first `tokens`."""
        heads = self._heads
        old, new = (slice(row * heads, (row + 1) * heads) for row in (source, target))
        with _threads_for(1):
            for cache in self._caches:
                cache[:, new, :tokens] = cache[:, old, :tokens]

    def _normed(self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        return torch.layer_norm(x, (self._width,), scale, shift, self._epsilon)


@contextlib.contextmanager
def _threads_for(tokens: int) -> Iterator[None]:
    """One CPU thread for few tokens."""
    threads = torch.get_num_threads()
    if tokens > ONE_THREAD_TOKENS or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
