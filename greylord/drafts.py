"""What a model said of itself when it was trained, kept beside it: there the decode engine looks its drafts up.

A stream says mostly what has been said before, but one that has just begun has said nothing yet. These are the model's
own words, not the recordings', so they tell no more than the model does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from transformers import GPT2LMHeadModel

from greylord import vocabulary
from greylord.generation import MEMORY_TOKENS, Decoder, Sampling
from greylord.progress import Progress, silent
from greylord.runs import DRAFTS, read_json

__all__ = ["TRAINED_TOKENS_PER_ID", "generate", "read", "write"]

STREAMS = 32
"""Sessions that are said side by side: on a CPU an id is then cheapest."""
TRAINED_TOKENS_PER_ID = 500
"""Of a run for each id said after it, up to the decoder's memory. On a CPU that takes a hundredth of its time."""


def generate(model: GPT2LMHeadModel, trained_tokens: int, progress: Progress = silent) -> list[int]:
    """Ids that a model says at its own odds after training on so many tokens; none if those are few."""
    steps = min(trained_tokens // TRAINED_TOKENS_PER_ID, MEMORY_TOKENS) // STREAMS
    if not steps:
        return []
    decoder = Decoder(model, Sampling(), STREAMS)
    streams = [[vocabulary.PAD] for _ in range(STREAMS)]
    for seed, stream in enumerate(streams):
        decoder.start(seed, stream, seed)
    with progress("Generating drafts", steps) as advance:
        for _ in range(steps):
            for stream, ids in zip(streams, decoder.step(range(STREAMS)), strict=True):
                stream += ids
            advance(1)
    return [token for stream in streams for token in stream]


def write(folder: Path, ids: Sequence[int]) -> None:
    """Write drafts.json into the folder of a model."""
    (folder / DRAFTS).write_text(json.dumps({"ids": list(ids)}) + "\n", encoding="utf-8")


def read(folder: Path) -> list[int]:
    """The ids of drafts.json in the folder of a model; none where there is no such file, which costs speed only."""
    ids = (read_json(folder / DRAFTS) or {}).get("ids")
    known = isinstance(ids, list) and all(type(token) is int and 0 <= token < vocabulary.VOCAB_SIZE for token in ids)
    return ids if known else []
