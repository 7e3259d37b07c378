"""The device of a run: precision, attention kernel, compilation, and memory."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AttentionInterface, GPT2LMHeadModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from greylord.training.config import Job

__all__ = [
    "Device",
    "blockwise",
    "choose_attention",
    "choose_compilation",
    "choose_device",
    "compile_blocks",
    "device_of",
    "keep_freed_memory",
    "keys_of_blocks",
    "missing_cuda",
    "peak_memory",
]


@dataclass(frozen=True)
class Device:
    """A device and its precision.

    Attributes:
        type: PyTorch's name of it: "cpu", "cuda" or "mps".
        bf16: Computes in mixed precision with bfloat16.
        reason: Name, precision and the reason for it, in words.
    """

    type: str
    bf16: bool
    reason: str


def choose_device(cpu: bool, bf16: bool | None = None, fp16: bool = False) -> Device:
    """Choose the device that the Trainer takes, and its precision.

    The default is bfloat16 where the hardware computes in it. Emulated bfloat16 is slower than float32.

    Args:
        cpu: Use no GPU.
        bf16: Use bfloat16 or not; None to have it chosen.
        fp16: Use float16, and bfloat16 only if `bf16` is true.
    """
    if not cpu and torch.cuda.is_available():
        chosen, precision = _precision(torch.cuda.is_bf16_supported(including_emulation=False), "GPU", bf16, fp16)
        return Device("cuda", chosen, f"{torch.cuda.get_device_name()}, {precision}")
    if not cpu and torch.backends.mps.is_available():
        kind = "float16 (as set)" if fp16 else "bfloat16 (as set)" if bf16 else "float32"
        return Device("mps", bool(bf16), f"Apple GPU, {kind}")
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    chosen, precision = _precision(native, "CPU", bf16, fp16)
    threads = torch.get_num_threads()
    return Device("cpu", chosen, f"CPU, {threads} thread{'s' * (threads != 1)}, {precision}")


def device_of(job: Job) -> Device:
    """Choose the device of a job."""
    return choose_device(job.cpu, job.overrides.get("bf16"), job.overrides.get("fp16", False))


def _precision(native: bool, hardware: str, bf16: bool | None, fp16: bool) -> tuple[bool, str]:
    """Choose whether to use bfloat16. Returns the choice and a description."""
    if fp16:
        return bool(bf16), "float16 (as set)"
    if bf16 is not None:
        return bf16, f"{'bfloat16' if bf16 else 'float32'} (as set)"
    return native, "bfloat16" if native else f"float32 (this {hardware} does not compute in bfloat16)"


def missing_cuda() -> str | None:
    """Return advice if there is an NVIDIA GPU that this build of torch cannot use."""
    has_card = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
    if not has_card or torch.version.cuda is not None or torch.version.hip is not None:
        return None
    return (
        f"there is an NVIDIA GPU, but this torch ({torch.__version__}) cannot use it: install the CUDA build "
        'with `pip install --force-reinstall "torch>=2.10"` (on Windows with the line from pytorch.org/get-started)'
    )


def peak_memory(device: str) -> int:
    """Return the peak memory in bytes.

    On a CUDA device it is the memory of tensors, elsewhere that of the process.

    Args:
        device: Type of the device, such as "cpu".
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1_024 * peak


OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Environment variables of glibc's allocator. A user who sets one keeps it."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3), from malloc.h."""
NEVER = -1
"""The trim threshold at which glibc never returns free memory to the system."""
LARGEST_MMAP_THRESHOLD = 32 << 20
"""The most bytes that mallopt(3) lets an allocation take from the heap."""


def keep_freed_memory(device: str) -> str | None:
    """Make glibc keep the memory that this process frees, if it computes on a CPU.

    By default glibc returns the large tensors of a step to the system, and the next step fetches them again.

    Args:
        device: Type of the device, such as "cpu".

    Returns:
        A description of the change; None if nothing was changed.
    """
    if device != "cpu" or platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in OWN_SETTINGS):
        return None
    libc = ctypes.CDLL(None)
    if not (libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and libc.mallopt(M_TRIM_THRESHOLD, NEVER)):
        return None
    return "freed memory is kept for the next step (glibc would return it to the system)"


BLOCK_QUERIES = 128
"""Queries in a block. Smaller blocks compute fewer masked scores, but need more calls."""
MAX_TOKENS = 1_024
"""Longest window for which blocks are faster. They keep all attention weights for the backward pass, and these grow
with the square of the length."""


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
    """Compute causal attention (Vaswani et al. 2017) in blocks of queries.

    Each block attends to all keys up to its end. Windows above `MAX_TOKENS`, masks, dropout and cached keys go to
    PyTorch's fused kernel.

    Args:
        module: The attention layer that calls.
        query: Any float, [windows, heads, tokens, size].
        key: As `query`.
        value: As `query`.
        attention_mask: A further mask, if any.
        dropout: Share of the attention weights to drop.
        scaling: Factor of the scores; 1 / sqrt(size) if None.
        options: Passed on to the fused kernel.

    Returns:
        The output, [windows, tokens, heads, size], and None in place of the attention weights.
    """
    windows, heads, tokens, size = query.shape
    if attention_mask is not None or dropout or key.shape != query.shape or tokens > MAX_TOKENS:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    scale = size**-0.5 if scaling is None else scaling
    query, key, value = (part.reshape(windows * heads, tokens, size) for part in (query, key, value))
    future = torch.full((tokens, tokens), -torch.inf, dtype=query.dtype, device=query.device).triu_(1)
    outputs = []
    for begin, end in _blocks(tokens):
        mask = future[begin:end, :end].expand(windows * heads, -1, -1)
        scores = torch.baddbmm(mask, query[:, begin:end], key[:, :end].transpose(1, 2), alpha=scale)
        outputs.append(torch.bmm(scores.softmax(-1), value[:, :end]))
    return torch.cat(outputs, 1).view(windows, heads, tokens, size).transpose(1, 2), None


def _blocks(tokens: int) -> list[tuple[int, int]]:
    return [(begin, min(begin + BLOCK_QUERIES, tokens)) for begin in range(0, tokens, BLOCK_QUERIES)]


def keys_of_blocks(tokens: int) -> int | None:
    """Return the attention weights that `blockwise` keeps for a window and head.

    Returns None if the fused kernel is used.
    """
    return sum((end - begin) * end for begin, end in _blocks(tokens)) if tokens <= MAX_TOKENS else None


AttentionInterface.register("blockwise", blockwise)
_KERNELS = {
    "sdpa": "attention by PyTorch's fused kernel",
    "blockwise": f"attention in blocks of {BLOCK_QUERIES} queries, for windows up to {MAX_TOKENS:,} tokens",
}


def choose_attention(attention: str | None, device: Device) -> tuple[str, str]:
    """Choose the attention kernel.

    Args:
        attention: One of `ATTENTIONS`; None to have it chosen.

    Returns:
        The kernel's name in transformers, and a description.
    """
    if attention is not None:
        return attention, f"{_KERNELS[attention]} (as set)"
    if device.type == "cpu" and device.bf16:
        return "blockwise", f"{_KERNELS['blockwise']} (faster than the fused kernel on a CPU in bfloat16)"
    return "sdpa", _KERNELS["sdpa"]


def choose_compilation(compile: bool | None, device: str) -> tuple[bool, str]:
    """Choose whether the model's blocks are compiled.

    Args:
        compile: True or false as set; None to have it chosen.
        device: Type of the device, such as "cuda".

    Returns:
        The choice, and a description.
    """
    if compile is None and device != "cuda":
        return False, "off (only faster on a GPU)"
    if compile is False:
        return False, "off (as set)"
    try:
        layer = torch.compile(torch.nn.Linear(8, 8).to(device))
        layer(torch.ones(2, 8, device=device)).sum().backward()
    except Exception as error:
        # A compiler that is missing, too old or broken fails in many ways. Training works without it.
        message = str(error).strip() or type(error).__name__
        return False, f"off (the compiler fails: {message.splitlines()[0]})"
    return True, "blocks are compiled; each new shape takes a moment"


def compile_blocks(model: GPT2LMHeadModel) -> None:
    """Compile a model's blocks in place, at their first call.

    A copy of the model is not compiled.
    """
    for block in model.transformer.h:
        # Each shape is compiled separately: a run has three of them, and thousands of steps.
        block.compile(dynamic=False)
