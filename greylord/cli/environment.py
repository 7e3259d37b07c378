"""Find the environment variable that made a library fail, on import or first use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import greylord

__all__ = ["blamed_variable"]

_PACKAGE = Path(greylord.__file__).parent
_READ_BY_LIBRARIES = re.compile(
    r"(HF|HUGGINGFACE|TRANSFORMERS|DATASETS|ACCELERATE|TORCH|PYTORCH|CUDA|NCCL|MPL)\w*|(LOCAL_|NODE_|GROUP_)?RANK"
    r"|(LOCAL_)?WORLD_SIZE|MASTER_PORT|OMPI_\w+|PMI_\w+|MV2_\w+"
)


def blamed_variable(error: Exception) -> str | None:
    """Find the environment variable whose value a library has refused.

    Args:
        error: Raised by a command.

    Returns:
        Name of the variable; None if greylord raised the error, or its text quotes no variable's value.
    """
    for each in _chain(error):
        if not isinstance(each, ValueError) or _raised_by_greylord(each):
            continue
        for name, value in os.environ.items():
            # A bare number may be in the message by chance.
            if not _READ_BY_LIBRARIES.fullmatch(name) or not value.strip() or value.isdecimal():
                continue
            # Libraries quote a value unchanged or by its repr.
            quoted = "|".join(map(re.escape, (value.strip(), repr(value.strip())[1:-1])))
            if re.search(rf"(?<!\w)({quoted})(?!\w)", str(each), re.IGNORECASE):
                return name
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _raised_by_greylord(error: BaseException) -> bool:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and _PACKAGE in Path(frame.tb_frame.f_code.co_filename).parents
