"""The decode engine beside the stock `model.generate`: both draw at temperature 1, on the CPU, one stream.

The engine's speed is amortised: it counts the payload bytes of as many ids as fill the context twice, and the time to
go on from half a context whenever it is full. `model.generate` is given its best case, half a context once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import GPT2LMHeadModel

from greylord import model as models
from greylord import runs, vocabulary
from greylord.generation import DRAFT_TOKENS, Decoder, Grammar, Sampling

__all__ = ["main"]

RUNS = 5
DEFAULT_CONTEXT = 1_024
START = (vocabulary.PAD, vocabulary.SERVER, vocabulary.DELAY_SHORT)


def engine_speed(model: GPT2LMHeadModel, seed: int, draft_tokens: int) -> float:
    """Payload bytes a second."""
    decoder = Decoder(model, Sampling(), draft_tokens=draft_tokens)
    decoder.start(0, START, seed)
    said: list[int] = []
    began = time.perf_counter()
    while len(said) < 2 * decoder.context:
        said += decoder.step([0])[0]
    seconds = time.perf_counter() - began
    return sum(token < vocabulary.PAD for token in said) / seconds


def stock_speed(model: GPT2LMHeadModel, seed: int) -> float:
    """Tokens a second."""
    torch.manual_seed(seed)
    count = model.config.n_positions // 2
    began = time.perf_counter()
    model.generate(
        torch.tensor([START]), do_sample=True, max_new_tokens=count, eos_token_id=None, logits_processor=[Grammar()]
    )
    return count / (time.perf_counter() - began)


def main(arguments: Sequence[str] = ()) -> None:
    """Measure the model of a folder, or an untrained one if there is no argument."""
    if arguments:
        model, name = models.load(runs.locate(Path(arguments[0]))).eval(), arguments[0]
    else:
        model, name = models.fresh(DEFAULT_CONTEXT).eval(), "untrained, so that drafts are of no use"
    print(f"{name}; context {model.config.n_positions:,}; {torch.get_num_threads()} threads")
    columns = {
        "engine, bytes/s": lambda seed: engine_speed(model, seed, DRAFT_TOKENS),
        "without drafts": lambda seed: engine_speed(model, seed, 0),
        "generate, tokens/s": lambda seed: stock_speed(model, seed),
    }
    print("".join(f"{column:>20}" for column in columns))
    # Interleaved, so that whatever else the machine does falls on all of them.
    rows = [[speed(seed) for speed in columns.values()] for seed in range(RUNS)]
    for row in rows:
        print("".join(f"{value:20,.0f}" for value in row))
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print("".join(f"{value:20,.0f}" for value in medians) + "  median")
    print("".join(f"{value / medians[-1]:19.2f}x" for value in medians) + "  of generate")
