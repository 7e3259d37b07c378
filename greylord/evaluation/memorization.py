"""What a model leaks of the recordings that it has read: passwords, and stretches of play word for word.

Passwords are found in the recordings when a model is audited, by the rules that mask them; they are neither stored
nor returned. What a model makes of one is measured as by Carlini et al., "The Secret Sharer" (2019): its rank by
likelihood, where it was typed, among random strings of the same shape. A string that the model does not know has any
rank; the exposure in bits is

    log2(strings + 1) - log2(rank)

A password that is a word has a low rank with any model that knows words.
"""

from __future__ import annotations

import copy
import math
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache, GPT2LMHeadModel

from greylord.captures import redaction
from greylord.captures.markup import span_mask
from greylord.captures.session import Direction, Session
from greylord.generation.engine import Decoder, Sampling
from greylord.stream import turns, vocabulary
from greylord.weights import GPT2Weights

__all__ = [
    "MATCH_BYTES",
    "STRINGS",
    "Exposure",
    "Secret",
    "copied_share",
    "excerpts",
    "exposures",
    "generated",
    "secrets_of",
]

STRINGS = 10_000
"""Random strings that a secret is ranked among."""
PREFIX_TOKENS = 64
"""What the model hears before a secret: the prompt, and the name that was given before it."""
LONGEST_SECRET = 64
BATCH = 250
MATCH_BYTES = 50
"""A stretch of so many bytes is a copy: longer than the prompt and than most phrases of the game."""
EXCERPTS = 10
HASHED_BYTES = 1 << 22
"""Bytes of training data hashed at once, which bounds the memory."""
_CLASSES = [string.ascii_lowercase, string.ascii_uppercase, string.digits]
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False, repr=False)
class Secret:
    """A password where it was typed first, and how often it was.

    Attributes:
        prefix: uint16 [at most `PREFIX_TOKENS`], the ids before its first byte.
        tail: uint16 [n], the ids from its first byte to its last; what else is among them is echo.
        places: int64 [bytes], where its bytes stand in `tail`.
        times: how often it was typed.
    """

    prefix: np.ndarray
    tail: np.ndarray
    places: np.ndarray
    times: int


@dataclass(frozen=True)
class Exposure:
    """What a model makes of one secret."""

    times: int
    """How often it was typed."""
    rank: int
    """1 if it is likelier than all `strings`."""
    strings: int

    @property
    def bits(self) -> float:
        """The exposure, from 0 to log2(strings + 1)."""
        return math.log2(self.strings + 1) - math.log2(self.rank)


def secrets_of(sessions: Iterable[Session]) -> list[Secret]:
    """The passwords that were typed in sessions, each once, the most frequent first."""
    found: dict[bytes, list] = {}
    for session in sessions:
        ids = turns.encode(turns.turns_of(session))
        at = np.flatnonzero(ids < vocabulary.PAD)
        for positions in _typed(session):
            text = session.payload[positions].tobytes()
            places = at[positions]
            first = int(places[0])
            prefix, tail = ids[max(0, first - PREFIX_TOKENS) : first], ids[first : places[-1] + 1]
            known = found.setdefault(text, [prefix, tail, places - first, 0])
            known[-1] += 1
    return sorted((Secret(*known) for known in found.values()), key=lambda secret: -secret.times)


def _typed(session: Session) -> Iterator[np.ndarray]:
    """The positions in the payload, int64 [bytes], of each password that the client typed."""
    client = np.flatnonzero(np.repeat(session.directions == Direction.CLIENT, session.sizes))
    masked = np.flatnonzero(np.isin(client, redaction.find(session).positions))
    for run in np.split(masked, np.flatnonzero(np.diff(masked) > 1) + 1):
        if 1 < len(run) <= LONGEST_SECRET and set(session.payload[client[run]].tolist()) != {redaction.MASK}:
            yield client[run]


def exposures(
    model: GPT2LMHeadModel, secrets: Sequence[Secret], strings: int = STRINGS, seed: int = 0
) -> Iterator[Exposure]:
    """The exposure of each secret to a model, on the model's device."""
    random = np.random.default_rng(seed)
    for secret in secrets:
        own = secret.tail[secret.places]
        texts = np.concatenate([own[None], _like(own, strings, random)])
        nats = _nats(model, secret, texts)
        yield Exposure(secret.times, 1 + int((nats[1:] < nats[0]).sum()), strings)


def _like(text: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """uint16 [count, bytes]: random strings with a lower case letter where `text` has one, and so on."""
    columns = []
    for byte in text.tolist():
        alike = next((each for each in _CLASSES if chr(byte) in each), string.punctuation)
        columns.append(random.choice(np.frombuffer(alike.encode(), np.uint8), count))
    return np.stack(columns, axis=1).astype(np.uint16)


@torch.inference_mode()
def _nats(model: GPT2LMHeadModel, secret: Secret, texts: np.ndarray) -> np.ndarray:
    """float32 [texts]: what each of `texts`, uint16 [texts, bytes], would cost in the place of a secret."""
    # The prefix is read once, but for its last token, which predicts the first byte.
    room = model.config.n_positions - len(secret.tail)
    prefix = torch.from_numpy(secret.prefix[-max(2, room) :].astype(np.int64)).to(model.device)
    places = torch.from_numpy(secret.places).to(model.device)
    read, costs = DynamicCache(), []
    model(prefix[None, :-1], past_key_values=read, use_cache=True)
    for first in range(0, len(texts), BATCH):
        batch = torch.from_numpy(texts[first : first + BATCH].astype(np.int64)).to(model.device)
        tails = torch.from_numpy(secret.tail.astype(np.int64)).to(model.device).repeat(len(batch), 1)
        tails[:, places] = batch
        cache = copy.deepcopy(read)
        cache.batch_repeat_interleave(len(batch))
        inputs = torch.cat([prefix[-1:].repeat(len(batch), 1), tails[:, :-1]], dim=1)
        chances = model(inputs, past_key_values=cache, use_cache=True).logits.float().log_softmax(-1)
        costs.append(-chances[:, places].gather(2, batch[:, :, None]).sum((1, 2)))
    return torch.cat(costs).cpu().numpy()


def generated(model: GPT2LMHeadModel, length: int, seed: int = 0) -> np.ndarray:
    """uint8 [length]: payload that a model says of itself, at its own odds."""
    decoder = Decoder(GPT2Weights.of(model), Sampling())
    decoder.start(0, [vocabulary.PAD], seed)
    payload: list[int] = []
    while len(payload) < length:
        payload += [token for token in decoder.step([0])[0] if token < vocabulary.PAD]
    return np.array(payload[:length], np.uint8)


def excerpts(rows: Sequence[np.ndarray], length: int, seed: int = 0) -> np.ndarray:
    """uint8 [at most `length`]: ten stretches of the payload of rows, drawn at random, end to end."""
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(EXCERPTS):
        payload = turns.payload_of(rows[int(random.integers(len(rows)))])
        begin = int(random.integers(max(1, len(payload) - length // EXCERPTS + 1)))
        parts.append(payload[begin : begin + length // EXCERPTS])
    return np.concatenate(parts)


def copied_share(payload: np.ndarray, training: Sequence[np.ndarray], length: int = MATCH_BYTES) -> float:
    """The share of a payload's bytes that lie in a stretch of `length` bytes or more which training data holds too.

    Args:
        payload: uint8 [n].
        training: rows of ids, of which the payload bytes count.
        length: of the shortest copy, in bytes.
    """
    hashes = _hashes(payload, length)
    known = np.zeros(len(hashes), bool)
    for row in training:
        text = turns.payload_of(row)
        for begin in range(0, len(text), HASHED_BYTES):
            known |= np.isin(hashes, _hashes(text[begin : begin + HASHED_BYTES + length - 1], length))
    begins = np.flatnonzero(known)
    return float(span_mask(begins, begins + length, len(payload)).mean())


def _hashes(text: np.ndarray, length: int) -> np.ndarray:
    """uint64 [n - length + 1]: a polynomial hash, modulo 2^64, of each stretch of `length` bytes."""
    count = max(0, len(text) - length + 1)
    hashes = np.zeros(count, np.uint64)
    for offset in range(length if count else 0):
        hashes = hashes * _MULTIPLIER + text[offset : offset + count]
    return hashes
