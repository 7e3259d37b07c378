"""Sampled ids beside a model, for the decode engine's prompt lookup.

A stream mostly repeats itself, but a new one has nothing to repeat yet. The ids are the model's own output and not the
recordings, so they reveal no more than the model does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from greylord.errors import UsageError
from greylord.generation.engine import MEMORY_TOKENS, Decoder, Sampling
from greylord.progress import Progress, silent
from greylord.runs import DRAFTS, read_json
from greylord.stream import vocabulary
from greylord.weights import GPT2Weights

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

__all__ = ["TRAINED_TOKENS_PER_ID", "read", "sample", "write"]

STREAMS = 32
"""Sessions sampled together. On a CPU an id takes the least time with this number."""
TRAINED_TOKENS_PER_ID = 500
"""Trained tokens for each sampled id, so that sampling takes a hundredth of a run's time on a CPU."""


def sample(model: GPT2LMHeadModel, trained_tokens: int, progress: Progress = silent) -> list[int]:
    """Sample the ids to store, at temperature 1.

    Args:
        model: On a CPU or a GPU.
        trained_tokens: Tokens that the model was trained on. They decide how many ids are sampled, up to the decoder's
            memory.
        progress: Counts ids of a session.

    Returns:
        The sessions, one after the other; none after very short training, or for a model that cannot be decoded.
    """
    steps = min(trained_tokens // TRAINED_TOKENS_PER_ID, MEMORY_TOKENS) // STREAMS
    if not steps:
        return []
    try:
        weights = GPT2Weights.of(model)
    except UsageError:
        return []
    decoder = Decoder(weights, Sampling(), STREAMS)
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
    """Write drafts.json into a model folder."""
    (folder / DRAFTS).write_text(json.dumps({"ids": list(ids)}) + "\n", encoding="utf-8")


def read(folder: Path) -> list[int]:
    """Read drafts.json of a model folder.

    Without a valid file there are no ids, which only costs speed.
    """
    ids = (read_json(folder / DRAFTS) or {}).get("ids")
    if not isinstance(ids, list):
        return []
    return ids if all(type(token) is int and 0 <= token < vocabulary.VOCAB_SIZE for token in ids) else []
