"""The decode engine beside the stock `model.generate`: both draw at temperature 1, on the CPU, one stream.

The engine's speed is amortised: it counts the payload bytes of two contexts, at least of `LENGTH` ids, which is some
screens of play, and the time to go on from half a context whenever it is full. It looks drafts up in what the model
said after its training, as `greylord generate` does. `model.generate` is given its best case, half a context once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from transformers import GPT2LMHeadModel

from greylord import drafts, vocabulary
from greylord.generation import DRAFT_TOKENS, Decoder, Grammar, Sampling

__all__ = ["generation_speeds"]

RUNS = 5
LENGTH = 4_096
"""Ids that the engine says at least."""
START = (vocabulary.PAD, vocabulary.SERVER, vocabulary.DELAY_SHORT)


def engine_speed(model: GPT2LMHeadModel, seed: int, draft_tokens: int, memory: Sequence[int] = ()) -> float:
    """Payload bytes a second."""
    decoder = Decoder(model, Sampling(), draft_tokens=draft_tokens, memory=memory)
    decoder.start(0, START, seed)
    said: list[int] = []
    began = time.perf_counter()
    while len(said) < max(2 * decoder.context, LENGTH):
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


def generation_speeds(model: GPT2LMHeadModel, trained_tokens: int) -> dict[str, list[float]]:
    """Payload bytes a second of the engine, with drafts and without, and tokens a second of `model.generate`: of five
    rounds in which each takes its turn, so that whatever else the machine does falls on all of them."""
    memory = drafts.generate(model, trained_tokens)
    ways = {
        "greylord": lambda seed: engine_speed(model, seed, DRAFT_TOKENS, memory),
        "without drafts": lambda seed: engine_speed(model, seed, 0),
        "model.generate": lambda seed: stock_speed(model, seed),
    }
    rounds = [{name: speed(seed) for name, speed in ways.items()} for seed in range(RUNS)]
    return {name: [each[name] for each in rounds] for name in ways}
