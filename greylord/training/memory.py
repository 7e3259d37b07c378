"""The memory that training needs: an estimate, and a measured step to check it.

The estimate adds up the tensors that autograd keeps for a stock GPT-2 without dropout (as Korthikanti et al. 2022 do
for their Transformer), and the other tensors that are alive at the two peaks: at the gradient of the logits, and at the
gradients in the last block's MLP, when the logits have been freed. Attention takes memory linear in the context, unless
a CPU computes it in blocks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_
from transformers import GPT2LMHeadModel

from greylord import modeling
from greylord.corpus.batching import batch_size, collate
from greylord.corpus.windows import Window
from greylord.stream import vocabulary
from greylord.stream.limits import MAX_CONTEXT
from greylord.training.config import MIN_CONTEXT
from greylord.training.hardware import Device, choose_attention, keys_of_blocks, peak_memory
from greylord.training.hf_trainer import MAX_GRAD_NORM
from greylord.training.plan import MAX_MICRO_TOKENS, largest_divisor

__all__ = [
    "CONTEXTS",
    "Memory",
    "MemoryPoint",
    "Step",
    "TokenBytes",
    "device_bytes",
    "estimate",
    "least",
    "measure",
    "points",
    "step",
    "token_bytes",
]

CONTEXTS = tuple(2**power for power in range(int(math.log2(MIN_CONTEXT)), int(math.log2(MAX_CONTEXT)) + 1))
CUDA_CONTEXT_BYTES = 500_000_000
"""Memory of a GPU that the CUDA driver and cuBLAS take before the first tensor."""
CPU_RESERVE = 2 / 3
"""Memory of freed tensors that the C library's allocator keeps, relative to a pass's tensors. With glibc a third to two
thirds were measured, and nothing with MALLOC_MMAP_THRESHOLD_=1000000."""
LEARNING_RATE = 1e-4
"""Learning rate of the measured step. AdamW's first step moves each weight by this much; more would need a warm-up."""
FLOAT32, INT64 = 4, 8
"""Bytes of a value."""


@dataclass(frozen=True)
class Memory:
    """Bytes in use at the peak of a pass.

    Gradients and the optimizer's moments exist already.

    Attributes:
        weights: Weights in float32, and the matrices again in bfloat16 if autocast keeps them.
        gradients: Gradients in float32, and again that of one MLP matrix, before it is added to the last pass's.
        optimizer: The two moments of AdamW, in float32.
        activations: Tensors that blocks and norms keep, and those of their gradients that exceed the logits' space.
        attention: Queries, keys, values and outputs, and the log-sum-exp of each query and head or, in blocks, all
            attention weights.
        logits: The log-probabilities, and the loss's two gradients with respect to them, in float32.
        reserve: Freed tensors that a CPU's allocator keeps.
        device: Memory without a tensor: of the CUDA driver or, on a CPU, of the process.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    attention: int
    logits: int
    reserve: int
    device: int

    @property
    def tensors(self) -> int:
        """Bytes of tensors, as `torch.cuda.max_memory_allocated` counts them."""
        return self.total - self.reserve - self.device

    @property
    def total(self) -> int:
        """Bytes of all items."""
        return sum(asdict(self).values())


@dataclass(frozen=True)
class TokenBytes:
    """Bytes per token that autograd keeps for the backward pass.

    Parameters are not included.

    Attributes:
        block: Bytes of the norms and the MLP of one block.
        attention: Bytes of the attention of one block.
        ends: Bytes of ids and labels, and of the last norm.
        logits: Bytes of the loss.
    """

    block: int
    attention: int
    ends: int
    logits: int


def token_bytes(shape: modeling.Shape, context: int, device: Device) -> TokenBytes:
    """Return the bytes per token that autograd keeps, averaged over a window.

    Norms compute in float32, matrices in the precision of the device. A norm keeps its input, its output (the input of
    a matrix), its mean and its reciprocal deviation. ReLU keeps its output, four times as wide as the model, and this
    is also the input of the MLP's second matrix.

    Args:
        context: Tokens of a window.
    """
    compute, width = _compute_bytes(device), shape.width
    norm = FLOAT32 * (width + 2) + compute * width
    blocks = keys_of_blocks(context) if choose_attention(None, device)[0] == "blockwise" else None
    per_query = FLOAT32 if blocks is None else compute * blocks / context
    return TokenBytes(
        block=2 * norm + compute * 4 * width,
        attention=4 * compute * width + round(per_query * shape.heads),
        ends=norm + 2 * INT64,
        logits=FLOAT32 * vocabulary.VOCAB_SIZE,
    )


def _compute_bytes(device: Device) -> int:
    return 2 if device.bf16 else FLOAT32


def estimate(shape: modeling.Shape, context: int, windows: int, device: Device, device_bytes: int) -> Memory:
    """Estimate the memory of training.

    Args:
        context: Tokens of a window.
        windows: Windows in a pass.
        device_bytes: Bytes held before the first tensor.
    """
    matrices = shape.layers * 12 * shape.width**2 + vocabulary.VOCAB_SIZE * shape.width
    parameters = matrices + (13 * shape.layers + 2 + context) * shape.width
    tokens, token = windows * context, token_bytes(shape, context, device)
    logits = 3 * token.logits
    # ReLU's backward pass needs one more tensor: its output and the gradients of output and input are alive.
    hidden = _compute_bytes(device) * 4 * shape.width
    activations = shape.layers * token.block + token.ends + max(0, hidden - logits)
    attention = shape.layers * token.attention
    freed = round(CPU_RESERVE * (activations + attention + logits)) if device.type == "cpu" else 0
    return Memory(
        weights=FLOAT32 * parameters + 2 * matrices * device.bf16,
        gradients=FLOAT32 * (parameters + 4 * shape.width**2),
        optimizer=2 * FLOAT32 * parameters,
        activations=tokens * activations,
        attention=tokens * attention,
        logits=tokens * logits,
        reserve=tokens * freed,
        device=device_bytes,
    )


def device_bytes(device: Device) -> int:
    """Return the bytes in use before the first tensor.

    They belong to the CUDA driver or, on a CPU, to the process.
    """
    return CUDA_CONTEXT_BYTES if device.type == "cuda" else peak_memory(device.type)


@dataclass(frozen=True)
class MemoryPoint:
    """A context window, and an optimizer step in passes that fit into memory.

    Attributes:
        context: Tokens of a window.
        fitting: The most windows that fit into one pass.
        micro_batch: Windows in one pass; a divisor of `batch_size`.
        batch_size: Windows in an optimizer step.
        memory: Estimate for a pass of `micro_batch` windows.
    """

    context: int
    fitting: int
    micro_batch: int
    batch_size: int
    memory: Memory

    @property
    def accumulation(self) -> int:
        """Passes in an optimizer step."""
        return self.batch_size // self.micro_batch

    @property
    def tokens_per_step(self) -> int:
        """Tokens in an optimizer step."""
        return self.batch_size * self.context


def points(shape: modeling.Shape, tokens: int, memory: int, device: Device, device_bytes: int) -> list[MemoryPoint]:
    """Return a point for each context window that fits into memory, shortest first.

    Micro-batches are the largest that fit and, on a CPU, stay in its cache.

    Args:
        tokens: Tokens in an optimizer step; each point comes as near as whole windows allow.
        memory: Bytes available.
        device_bytes: Bytes held before the first tensor.
    """
    fitting_points = []
    for context in CONTEXTS:
        empty, one = (estimate(shape, context, windows, device, device_bytes).total for windows in (0, 1))
        fitting = (memory - empty) // (one - empty)
        if fitting < 1 or memory < _evaluation(shape, context, device, device_bytes):
            continue
        batch = max(1, round(tokens / context))
        micro_batch = largest_divisor(batch, min(fitting, MAX_MICRO_TOKENS.get(device.type, tokens) // context))
        fitting_points.append(
            MemoryPoint(
                context=context,
                fitting=fitting,
                micro_batch=micro_batch,
                batch_size=batch,
                memory=estimate(shape, context, micro_batch, device, device_bytes),
            )
        )
    return fitting_points


def least(shape: modeling.Shape, device: Device, device_bytes: int) -> int:
    """Return the bytes that training on one window of the shortest context needs."""
    training = estimate(shape, MIN_CONTEXT, 1, device, device_bytes).total
    return max(training, _evaluation(shape, MIN_CONTEXT, device, device_bytes))


def _evaluation(shape: modeling.Shape, context: int, device: Device, device_bytes: int) -> int:
    """Estimate the bytes of an evaluation during a run.

    Autograd keeps nothing, so one block is alive at a time.
    """
    standing = estimate(shape, context, 0, device, device_bytes)
    tokens, token = batch_size(device.type, context) * context, token_bytes(shape, context, device)
    return standing.total - standing.gradients + tokens * max(token.block, 3 * token.logits)


@dataclass(frozen=True)
class Step:
    """One measured training step.

    Attributes:
        windows: Windows in the step.
        tokens: Tokens in the windows, padding included.
        loss: Nats per predicted token, before the step.
        gradient_norm: Norm of the gradients before clipping.
        peak_memory_bytes: As `hardware.peak_memory` returns it.
        device: Description of the device.
    """

    windows: int
    tokens: int
    loss: float
    gradient_norm: float
    seconds: float
    peak_memory_bytes: int
    device: str

    @property
    def tokens_per_second(self) -> float:
        """Speed of the step."""
        return self.tokens / self.seconds


def step(model: GPT2LMHeadModel, windows: Sequence[Window], device: Device) -> Step:
    """Measure one training step of a model. The step changes its weights."""
    # greylord trains without dropout. With it, attention would need memory that grows with the square of the context.
    model.to(device.type).eval()  # type: ignore[arg-type]  # transformers hides the signature behind a decorator
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    inputs = {name: tensor.to(model.device) for name, tensor in collate(windows).items()}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def forward_and_backward() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.bf16):
            loss = model(**inputs, use_cache=False).loss
        loss.backward()
        return loss

    # The first pass includes one-off costs. The step with zero gradients only creates the moments.
    forward_and_backward()
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    began = time.perf_counter()
    loss_tensor = forward_and_backward()
    norm_tensor = clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    optimizer.step()
    # Reading the values waits for a GPU to finish.
    loss, norm = loss_tensor.item(), norm_tensor.item()
    return Step(
        windows=len(windows),
        tokens=len(windows) * windows[0]["length"],
        loss=loss,
        gradient_norm=norm,
        seconds=time.perf_counter() - began,
        peak_memory_bytes=peak_memory(device.type),
        device=device.reason,
    )


def measure(shape: modeling.Shape, point: MemoryPoint, device: Device) -> Step | None:
    """Measure one step of a point's micro-batch on random bytes.

    Returns None if a GPU runs out of memory.
    """
    draw = np.random.default_rng(0)
    rows = draw.integers(vocabulary.PAD, size=(point.micro_batch, point.context))
    windows: list[Window] = [{"input_ids": row, "length": point.context, "scored_from": 1} for row in rows]
    try:
        return step(modeling.new_model(point.context, shape), windows, device)
    except torch.OutOfMemoryError:
        return None
