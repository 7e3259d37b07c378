"""What a run computes on, in which precision, and why."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["Device", "choose_device", "missing_cuda", "peak_memory"]


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
