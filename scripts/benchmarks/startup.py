"""Time to the first byte of `greylord generate` as a process.

It is compared with a bare import of the stock model class.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from transformers import GPT2LMHeadModel

from greylord.errors import GreylordError

__all__ = ["first_byte_seconds"]

ROUNDS = 5
STOCK = "import torch; from transformers import GPT2LMHeadModel; print()"


def first_byte_seconds(model: GPT2LMHeadModel) -> dict[str, list[float]]:
    """Measure both ways in turns, after a round that reads their files into memory.

    Returns:
        Seconds for each round, by way: "greylord" and "stock import".
    """
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        ways = {
            "greylord": ("-m", "greylord", "generate", "--model-dir", folder, "--length", "1"),
            "stock import": ("-c", STOCK),
        }
        rounds = [{name: first_byte(arguments) for name, arguments in ways.items()} for _ in range(1 + ROUNDS)]
    return {name: [each[name] for each in rounds[1:]] for name in ways}


def first_byte(arguments: Sequence[str]) -> float:
    """Measure the seconds to the first byte of a Python process.

    The time begins with the start of the process.

    Raises:
        GreylordError: The process fails or has no output.
    """
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - began
        process.stdout.read()
    if process.returncode or not first:
        raise GreylordError(f"python {' '.join(arguments)} ended with {process.returncode} after {len(first)} bytes.")
    return seconds
