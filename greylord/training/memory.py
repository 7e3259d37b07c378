"""What fits into memory: the estimate, and the measured step that checks it.

The estimate counts what autograd keeps of a stock GPT-2 without dropout, tensor by tensor (Korthikanti et al. 2022
do it for their Transformer), and what is alive besides at the two moments that need most: the gradient of the
logits, and the gradients in the last block's MLP, when the logits are gone. Attention is linear in the context, but
where a CPU computes it in blocks.
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
    "Kept",
    "Memory",
    "Point",
    "Step",
    "device_bytes",
    "estimate",
    "kept",
    "least",
    "measure",
    "points",
    "step",
]

CONTEXTS = tuple(2**power for power in range(int(math.log2(MIN_CONTEXT)), int(math.log2(MAX_CONTEXT)) + 1))
CUDA_CONTEXT_BYTES = 500_000_000
"""What the CUDA driver and cuBLAS take of a card before the first tensor."""
CPU_RESERVE = 2 / 3
"""Of a pass's tensors: what the C library's allocator holds of those that have been freed. Measured with glibc, where
a third to two thirds came out; nothing of it is left with MALLOC_MMAP_THRESHOLD_=1000000."""
LEARNING_RATE = 1e-4
"""Of the measured step: AdamW's first moves each weight by as much, and a full rate there wants a warm-up."""


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of a pass, but not the first of a run: gradients and moments are there."""

    weights: int
    """In float32, and the matrices once more in bfloat16 where autocast keeps them."""
    gradients: int
    """In float32, and that of an MLP's matrix once more, before it is added to the one of the pass before."""
    optimizer: int
    """The two moments of AdamW, in float32."""
    activations: int
    """What blocks and norms keep, and what their gradients need beyond the room that the logits have left."""
    attention: int
    """Queries, keys, values, the output, and of each query and head the log-sum-exp or, in blocks, all weights."""
    logits: int
    """The log-probabilities and the two gradients that the loss has of them, in float32."""
    reserve: int
    """What a CPU's allocator holds of freed tensors."""
    device: int
    """What is held without a tensor: by the driver or, on a CPU, by the process."""

    @property
    def tensors(self) -> int:
        """What `torch.cuda.max_memory_allocated` sees."""
        return self.total - self.reserve - self.device

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


@dataclass(frozen=True)
class Kept:
    """Bytes a token that autograd keeps from the forward pass for the backward pass, parameters not counted."""

    block: int
    """By the norms and the MLP of one block."""
    attention: int
    """By the attention of one block."""
    ends: int
    """By the ids, the labels and the last norm."""
    logits: int
    """By the loss."""


FLOAT32, INT64 = 4, 8


def kept(shape: modeling.Shape, context: int, device: Device) -> Kept:
    """What autograd keeps of a token in windows of a context, on a mean.

    Norms compute in float32, matrices in the compute type. A norm keeps its input, its output (as the matrix's
    input), mean and reciprocal deviation. ReLU keeps its output, four times as wide as the model, which is the input
    of the MLP's second matrix too.
    """
    compute, width = _compute_bytes(device), shape.width
    norm = FLOAT32 * (width + 2) + compute * width
    blocks = keys_of_blocks(context) if choose_attention(None, device)[0] == "blockwise" else None
    of_query = FLOAT32 if blocks is None else compute * blocks / context
    return Kept(
        block=2 * norm + compute * 4 * width,
        attention=4 * compute * width + round(of_query * shape.heads),
        ends=norm + 2 * INT64,
        logits=FLOAT32 * vocabulary.VOCAB_SIZE,
    )


def _compute_bytes(device: Device) -> int:
    return 2 if device.bf16 else FLOAT32


def estimate(shape: modeling.Shape, context: int, windows: int, device: Device, device_bytes: int) -> Memory:
    """What training holds with so many windows of so many tokens in a pass."""
    matrices = shape.layers * 12 * shape.width**2 + vocabulary.VOCAB_SIZE * shape.width
    parameters = matrices + (13 * shape.layers + 2 + context) * shape.width
    tokens, token = windows * context, kept(shape, context, device)
    logits = 3 * token.logits
    # ReLU's backward pass needs one tensor more: its output is alive, and the gradients of output and input.
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
    """What a device or, where tensors lie in its memory, a process holds before the first tensor."""
    return CUDA_CONTEXT_BYTES if device.type == "cuda" else peak_memory(device.type)


@dataclass(frozen=True)
class Point:
    """A context, and an optimizer step in passes that fit.

    Attributes:
        context: tokens.
        fitting: windows that fit into one pass.
        micro_batch: windows in one pass of the plan; divides `batch_size`.
        batch_size: windows in an optimizer step.
        memory: the estimate for such a pass.
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
        return self.batch_size * self.context


def points(shape: modeling.Shape, tokens: int, memory: int, device: Device, device_bytes: int) -> list[Point]:
    """The contexts of which a window fits into `memory` bytes, in steps of as near to `tokens` as windows allow.

    Micro-batches are the largest that fit and, on a CPU, stay in its cache.
    """
    found = []
    for context in CONTEXTS:
        none, one = (estimate(shape, context, windows, device, device_bytes).total for windows in (0, 1))
        fitting = (memory - none) // (one - none)
        if fitting < 1 or memory < _evaluation(shape, context, device, device_bytes):
            continue
        batch = max(1, round(tokens / context))
        micro_batch = largest_divisor(batch, min(fitting, MAX_MICRO_TOKENS.get(device.type, tokens) // context))
        found.append(
            Point(
                context=context,
                fitting=fitting,
                micro_batch=micro_batch,
                batch_size=batch,
                memory=estimate(shape, context, micro_batch, device, device_bytes),
            )
        )
    return found


def least(shape: modeling.Shape, device: Device, device_bytes: int) -> int:
    """The bytes that one window of the shortest context needs."""
    training = estimate(shape, MIN_CONTEXT, 1, device, device_bytes).total
    return max(training, _evaluation(shape, MIN_CONTEXT, device, device_bytes))


def _evaluation(shape: modeling.Shape, context: int, device: Device, device_bytes: int) -> int:
    """What an evaluation in a run holds: nothing is kept, so no more than what training keeps of one block."""
    standing = estimate(shape, context, 0, device, device_bytes)
    tokens, token = batch_size(device.type, context) * context, kept(shape, context, device)
    return standing.total - standing.gradients + tokens * max(token.block, 3 * token.logits)


@dataclass(frozen=True)
class Step:
    """One training step, measured."""

    windows: int
    tokens: int
    """In the windows, padding included."""
    loss: float
    """Nats a predicted token, before the step."""
    gradient_norm: float
    """Before clipping."""
    seconds: float
    peak_memory_bytes: int
    """As `greylord.training.device.peak_memory` has it."""
    device: str

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


def step(model: GPT2LMHeadModel, windows: Sequence[Window], device: Device) -> Step:
    """Train the model in memory for one step on windows, and measure it."""
    # Without dropout, as models are trained here; with it, attention would need memory by the square of the context.
    model.to(device.type).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    inputs = {name: tensor.to(model.device) for name, tensor in collate(windows).items()}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def forward_and_backward() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.bf16):
            loss = model(**inputs, use_cache=False).loss
        loss.backward()
        return loss

    # The first pass pays for what later ones find ready; a step without gradients makes the moments, and no more.
    forward_and_backward()
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    began = time.perf_counter()
    loss = forward_and_backward()
    norm = clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    optimizer.step()
    # A GPU has finished when its figures are read.
    loss, norm = loss.item(), norm.item()
    return Step(
        windows=len(windows),
        tokens=len(windows) * windows[0]["length"],
        loss=loss,
        gradient_norm=norm,
        seconds=time.perf_counter() - began,
        peak_memory_bytes=peak_memory(device.type),
        device=device.reason,
    )


def measure(shape: modeling.Shape, point: Point, device: Device) -> Step | None:
    """One real step of a point's micro-batch on random bytes; None if a GPU has run out of memory."""
    draw = np.random.default_rng(0)
    rows = draw.integers(vocabulary.PAD, size=(point.micro_batch, point.context))
    windows = [{"input_ids": row, "length": point.context, "scored_from": 1} for row in rows]
    try:
        return step(modeling.new_model(point.context, shape), windows, device)
    except torch.OutOfMemoryError:
        return None
