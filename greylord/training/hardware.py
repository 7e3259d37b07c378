"""The device that a run computes on: precision, attention kernel, compilation, and the memory it keeps."""

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
    """Type of the device, whether mixed precision with bfloat16 is on, and the sentence that says why."""

    type: str
    bf16: bool
    reason: str


def choose_device(cpu: bool, bf16: bool | None = None, fp16: bool = False) -> Device:
    """The device that the Trainer will take, and bfloat16 only where the hardware computes in it: emulated, it is
    slower than float32.

    Args:
        cpu: use no GPU.
        bf16: what was asked for; None to have it chosen.
        fp16: whether float16 was asked for. Then bfloat16 is only on where it was asked for too.
    """
    if not cpu and torch.cuda.is_available():
        chosen, why = _precision(torch.cuda.is_bf16_supported(including_emulation=False), "card", bf16, fp16)
        return Device("cuda", chosen, f"{torch.cuda.get_device_name()}, {why}")
    if not cpu and torch.backends.mps.is_available():
        kind = "float16, as asked for" if fp16 else "bfloat16, as asked for" if bf16 else "float32"
        return Device("mps", bool(bf16), f"Apple GPU, {kind}")
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    chosen, why = _precision(native, "processor", bf16, fp16)
    threads = torch.get_num_threads()
    return Device("cpu", chosen, f"CPU, {threads} thread{'s' * (threads != 1)}, {why}")


def device_of(job: Job) -> Device:
    """What a job computes on."""
    return choose_device(job.cpu, job.overrides.get("bf16"), job.overrides.get("fp16", False))


def _precision(native: bool, what: str, asked: bool | None, fp16: bool) -> tuple[bool, str]:
    """Whether to compute in bfloat16, and the words that say why."""
    if fp16:
        return bool(asked), "float16, as asked for"
    if asked is not None:
        return asked, ("bfloat16" if asked else "float32") + ", as asked for"
    return native, "bfloat16" if native else f"float32: the {what} does not compute in bfloat16"


def missing_cuda() -> str | None:
    """The sentence for those who have an NVIDIA card and a torch that cannot use it."""
    card = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
    if not card or torch.version.cuda is not None or torch.version.hip is not None:
        return None
    return (
        f"There is an NVIDIA card, but this torch ({torch.__version__}) cannot use it: install the CUDA build "
        'with `pip install --force-reinstall "torch>=2.10"` (Windows: the line that pytorch.org/get-started shows).'
    )


def peak_memory(device: str) -> int:
    """Bytes: the most that tensors held on a CUDA device, elsewhere the most that the process held."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1_024 * peak


OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Of the environment: who sets one of them has chosen otherwise."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h; see mallopt(3)."""
NEVER, MOST = -1, 32 << 20
"""When glibc gives free memory back; and bytes up to which it takes an allocation from the heap, by mallopt(3) the
most that can be asked for."""


def keep_freed_memory(device: str) -> str | None:
    """Have this process keep freed memory if it computes on a CPU, and return the words that say why.

    Args:
        device: type of the device, as "cpu".

    Returns:
        None where nothing has been changed.
    """
    if device != "cpu" or platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in OWN_SETTINGS):
        return None
    libc = ctypes.CDLL(None)
    if not (libc.mallopt(M_MMAP_THRESHOLD, MOST) and libc.mallopt(M_TRIM_THRESHOLD, NEVER)):
        return None
    return "what a step frees is kept for the next: glibc would give it back and have it fetched anew"


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


def choose_compilation(asked: bool | None, device: str) -> tuple[bool, str]:
    """Whether to compile on a type of device, and the words that say why.

    Args:
        asked: what the user wants; None where that is left to us.
        device: as "cuda".
    """
    if asked is None and device != "cuda":
        return False, "off: only on a GPU it is faster"
    if asked is False:
        return False, "off, as the settings have it"
    try:
        layer = torch.compile(torch.nn.Linear(8, 8).to(device))
        layer(torch.ones(2, 8, device=device)).sum().backward()
    except Exception as error:
        # A compiler that is missing, too old or broken shows in many ways, and none of them is worth a run.
        what = str(error).strip() or type(error).__name__
        return False, f"off: the compiler fails ({what.splitlines()[0]})"
    return True, "blocks compiled; each new shape takes a moment"


def compile_blocks(model: GPT2LMHeadModel) -> None:
    """Compile a model's blocks when they are called. A copy of the model is not compiled."""
    for block in model.transformer.h:
        # A shape is compiled for itself: there are three, and a run of thousands of steps.
        block.compile(dynamic=False)
