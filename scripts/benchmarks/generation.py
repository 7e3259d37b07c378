"""The decode engine beside the stock `model.generate`.

Both generate one stream on the CPU at temperature 1.

The engine generates two contexts, and at least `LENGTH` ids, so that its speed includes restarts from half a context
whenever the context is full. It has drafts for prompt lookup, as `greylord generate` has. `model.generate` gets its
best case, half a context from an empty cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from transformers import GPT2LMHeadModel, LogitsProcessorList

from greylord.generation import drafts
from greylord.generation.engine import DRAFT_TOKENS, Decoder, Grammar, Sampling
from greylord.stream import vocabulary
from greylord.weights import GPT2Weights

__all__ = ["generation_speeds"]

RUNS = 5
LENGTH = 4_096
"""Fewest ids that the engine generates."""
START = (vocabulary.PAD, vocabulary.SERVER, vocabulary.DELAY_SHORT)


def engine_speed(weights: GPT2Weights, seed: int, draft_tokens: int, memory: Sequence[int] = ()) -> float:
    """Measure the engine, in payload bytes/s."""
    decoder = Decoder(weights, Sampling(), draft_tokens=draft_tokens, memory=memory)
    decoder.start(0, START, seed)
    ids: list[int] = []
    began = time.perf_counter()
    while len(ids) < max(2 * decoder.context, LENGTH):
        ids += decoder.step([0])[0]
    seconds = time.perf_counter() - began
    return sum(token < vocabulary.PAD for token in ids) / seconds


def stock_speed(model: GPT2LMHeadModel, seed: int) -> float:
    """Measure `model.generate`, in tokens/s."""
    torch.manual_seed(seed)
    count = model.config.n_positions // 2
    began = time.perf_counter()
    grammar = LogitsProcessorList([Grammar()])
    model.generate(  # type: ignore[misc]  # transformers annotates `self` with its own protocol
        torch.tensor([START]), do_sample=True, max_new_tokens=count, eos_token_id=None, logits_processor=grammar
    )
    return count / (time.perf_counter() - began)


def generation_speeds(model: GPT2LMHeadModel, trained_tokens: int) -> dict[str, list[float]]:
    """Measure all ways in turns, so that other load affects all of them.

    Args:
        model: On the CPU, in evaluation mode.
        trained_tokens: Tokens of training, which decide the number of drafts.

    Returns:
        One figure for each round, by way: payload bytes/s of the engine with drafts ("greylord") and without, and
        tokens/s of "model.generate".
    """
    weights = GPT2Weights.of(model)
    memory = drafts.sample(model, trained_tokens)
    ways: dict[str, Callable[[int], float]] = {
        "greylord": lambda seed: engine_speed(weights, seed, DRAFT_TOKENS, memory),
        "without drafts": lambda seed: engine_speed(weights, seed, 0),
        "model.generate": lambda seed: stock_speed(model, seed),
    }
    rounds = [{name: speed(seed) for name, speed in ways.items()} for seed in range(RUNS)]
    return {name: [each[name] for each in rounds] for name in ways}
