"""Generation in one call: a prompt's ids in, the continuation's ids out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from greylord.errors import SettingError, UsageError
from greylord.generation.engine import Decoder, Sampling
from greylord.generation.sampling import MAX_FRAMING_TOKENS
from greylord.stream import vocabulary
from greylord.weights import GPT2Weights

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

__all__ = ["generate"]


def generate(
    model: GPT2LMHeadModel,
    prompt_ids: Sequence[int] | np.ndarray,
    *,
    max_bytes: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Continue a stream of ids.

    Args:
        model: On a CPU or a GPU.
        prompt_ids: Integers [m], at least one. A stream begins with `<|pad|>`, which alone starts a new session.
        max_bytes: Payload bytes to generate. The continuation ends with the last of them, or earlier if the model
            sends none for 1,000 tokens.
        temperature: Divides the logits; at 0 the likeliest id is taken.
        top_k: Number of likeliest ids to sample from; 0 for all.
        top_p: Sample from the likeliest ids that together reach this probability.
        seed: The same seed gives the same continuation.

    Returns:
        uint16 [n], the new ids without the prompt: payload bytes, direction tokens and delay tokens.

    Raises:
        UsageError: The prompt is empty or has an id outside the vocabulary, a setting is out of range, or the engine
            does not compute this variant of GPT-2.

    Example:
        ids = generate(model, [256], max_bytes=400, seed=7)
        print(bytes(ids[ids < 256].tolist()).decode("cp437"))
    """
    prompt = np.asarray(prompt_ids)
    if not prompt.size or prompt.ndim > 1 or not np.issubdtype(prompt.dtype, np.integer):
        raise UsageError(f"prompt_ids must be one or more ids in a row, not {prompt.dtype} {list(prompt.shape)}.")
    if prompt.min() < 0 or prompt.max() >= vocabulary.VOCAB_SIZE:
        outside = prompt.min() if prompt.min() < 0 else prompt.max()
        raise UsageError(f"prompt_ids must lie between 0 and {vocabulary.VOCAB_SIZE - 1}, not {outside}.")
    for name, value, least in (("max_bytes", max_bytes, 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or value < least:
            raise SettingError(f"{name} must be a whole number from {least}, not {value!r}.", name)
    decoder = Decoder(GPT2Weights.of(model), Sampling(temperature, top_k, top_p))
    decoder.start(0, prompt.tolist(), seed)
    ids: list[int] = []
    left, framing = max_bytes, 0
    while left and framing < MAX_FRAMING_TOKENS:
        for token in decoder.step([0])[0]:
            ids.append(token)
            is_payload = token < vocabulary.PAD
            left, framing = left - is_payload, 0 if is_payload else framing + 1
            if not left:
                break
    return np.array(ids, np.uint16)
