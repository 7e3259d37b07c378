"""The blocks of a model, compiled in place: where, and why not.

Blocks and not the whole model, for that would give attention a mask of all its tokens. All blocks, and all models of
one shape, share what has been compiled, so a run finds ready what its probe has paid for.
"""

from __future__ import annotations

import torch
from transformers import GPT2LMHeadModel

__all__ = ["choose_compilation", "compile_blocks"]


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
