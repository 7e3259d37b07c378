"""Memorization: passwords and verbatim play that a model reveals.

Both come from its training recordings.

Passwords are found in the recordings during the audit, by the rules that mask them. They are neither stored nor
returned. A password's exposure is measured as by Carlini et al., "The Secret Sharer" (2019): its rank by likelihood,
in the place where it was typed, among random strings of the same shape. A model that does not know a string gives it
any rank. The exposure in bits is

    log2(strings + 1) - log2(rank)

Any model that knows words gives a high rank to a password that is a word.
"""

from __future__ import annotations

import copy
import math
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache, GPT2LMHeadModel

from greylord.captures import redaction
from greylord.captures.markup import span_mask
from greylord.captures.session import Direction, Session
from greylord.generation.generate import generate
from greylord.stream import turns, vocabulary
from greylord.stream.ngrams import ngram_hashes

__all__ = [
    "MATCH_BYTES",
    "STRINGS",
    "Exposure",
    "Secret",
    "copied_share",
    "find_secrets",
    "generate_payload",
    "measure_exposures",
    "sample_excerpts",
]

STRINGS = 10_000
"""Random strings that a secret is ranked among."""
PREFIX_TOKENS = 64
"""Context before a secret: the password prompt, and the user name typed before it."""
LONGEST_SECRET = 64
BATCH = 250
MATCH_BYTES = 50
"""Bytes from which a match counts as a copy: longer than the prompt and than most phrases of the game."""
EXCERPTS = 10
HASHED_BYTES = 1 << 22
"""Bytes of training data hashed at once, to bound the memory."""
_CLASSES = [string.ascii_lowercase, string.ascii_uppercase, string.digits]


@dataclass(frozen=True, eq=False, repr=False)
class Secret:
    """A password where it was typed first.

    Attributes:
        prefix: uint16 [at most `PREFIX_TOKENS`], the ids before its first byte.
        tail: uint16 [n], the ids from its first byte to its last; the server's echo may lie between.
        places: int64 [bytes], the indices of its bytes in `tail`.
        times: Number of times that it was typed.
    """

    prefix: np.ndarray
    tail: np.ndarray
    places: np.ndarray
    times: int


@dataclass(frozen=True)
class Exposure:
    """The rank of one secret."""

    times: int
    """Number of times that the secret was typed."""
    rank: int
    """1 if the secret is likelier than every random string."""
    strings: int
    """Random strings that it was ranked among."""

    @property
    def bits(self) -> float:
        """The exposure in bits, from 0 to log2(strings + 1)."""
        return math.log2(self.strings + 1) - math.log2(self.rank)


def find_secrets(sessions: Iterable[Session]) -> list[Secret]:
    """Find the passwords typed in sessions, each once, the most frequent first.

    Args:
        sessions: With their credentials, since masked ones hold no passwords.
    """
    first_typed: dict[bytes, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    times: Counter[bytes] = Counter()
    for session in sessions:
        ids = turns.encode(session)
        payload_places = np.flatnonzero(ids < vocabulary.PAD)
        for positions in _typed_passwords(session):
            places = payload_places[positions]
            first = int(places[0])
            prefix, tail = ids[max(0, first - PREFIX_TOKENS) : first], ids[first : places[-1] + 1]
            password = session.payload[positions].tobytes()
            first_typed.setdefault(password, (prefix, tail, places - first))
            times[password] += 1
    return [Secret(*first_typed[password], count) for password, count in times.most_common()]


def _typed_passwords(session: Session) -> Iterator[np.ndarray]:
    """Yield the payload positions, int64 [bytes], of each password that was typed."""
    client = np.flatnonzero(np.repeat(session.directions == Direction.CLIENT, session.sizes))
    credentials = np.flatnonzero(np.isin(client, redaction.find(session).positions))
    for run in np.split(credentials, np.flatnonzero(np.diff(credentials) > 1) + 1):
        if 1 < len(run) <= LONGEST_SECRET and set(session.payload[client[run]].tolist()) != {redaction.MASK}:
            yield client[run]


def measure_exposures(
    model: GPT2LMHeadModel, secrets: Sequence[Secret], strings: int = STRINGS, seed: int = 0
) -> Iterator[Exposure]:
    """Rank each secret among random strings of the same shape.

    Args:
        model: On a CPU or a GPU, in evaluation mode.
        secrets: Passwords from `find_secrets`.
        strings: Number of random strings.
        seed: Seeds the strings.
    """
    random = np.random.default_rng(seed)
    for secret in secrets:
        password = secret.tail[secret.places]
        texts = np.concatenate([password[None], _random_strings(password, strings, random)])
        nats = _string_nats(model, secret, texts)
        yield Exposure(secret.times, 1 + int((nats[1:] < nats[0]).sum()), strings)


def _random_strings(text: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Draw strings of the shape of `text`.

    A lower-case letter, for example, becomes a random lower-case letter.

    Args:
        text: uint16 [bytes].
        count: Number of strings.
        random: Source of randomness.

    Returns:
        uint16 [count, bytes].
    """
    columns = []
    for byte in text.tolist():
        characters = next((each for each in _CLASSES if chr(byte) in each), string.punctuation)
        columns.append(random.choice(np.frombuffer(characters.encode(), np.uint8), count))
    return np.stack(columns, axis=1).astype(np.uint16)


@torch.inference_mode()
def _string_nats(model: GPT2LMHeadModel, secret: Secret, texts: np.ndarray) -> np.ndarray:
    """Compute the nats of strings in the place of a secret.

    Args:
        model: On a CPU or a GPU, in evaluation mode.
        secret: Supplies the context.
        texts: uint16 [strings, bytes].

    Returns:
        float32 [strings].
    """
    # The prefix is read once, without its last token: that one predicts the first byte.
    room = model.config.n_positions - len(secret.tail)
    prefix = torch.from_numpy(secret.prefix[-max(2, room) :].astype(np.int64)).to(model.device)
    places = torch.from_numpy(secret.places).to(model.device)
    prefix_cache, nats = DynamicCache(), []
    model(prefix[None, :-1], past_key_values=prefix_cache, use_cache=True)
    for first in range(0, len(texts), BATCH):
        batch = torch.from_numpy(texts[first : first + BATCH].astype(np.int64)).to(model.device)
        tails = torch.from_numpy(secret.tail.astype(np.int64)).to(model.device).repeat(len(batch), 1)
        tails[:, places] = batch
        cache = copy.deepcopy(prefix_cache)
        cache.batch_repeat_interleave(len(batch))
        inputs = torch.cat([prefix[-1:].repeat(len(batch), 1), tails[:, :-1]], dim=1)
        logprobs = model(inputs, past_key_values=cache, use_cache=True).logits.float().log_softmax(-1)
        nats.append(-logprobs[:, places].gather(2, batch[:, :, None]).sum((1, 2)))
    return torch.cat(nats).cpu().numpy()


def generate_payload(model: GPT2LMHeadModel, length: int, seed: int = 0) -> np.ndarray:
    """Generate payload of a new session at temperature 1.

    Returns:
        uint8 [length].
    """
    return turns.payload_of(generate(model, [vocabulary.PAD], max_bytes=length, seed=seed))


def sample_excerpts(rows: Sequence[np.ndarray], length: int, seed: int = 0) -> np.ndarray:
    """Draw ten random excerpts of the payload of rows, and join them.

    Returns:
        uint8 [at most `length`].
    """
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(EXCERPTS):
        payload = turns.payload_of(rows[int(random.integers(len(rows)))])
        begin = int(random.integers(max(1, len(payload) - length // EXCERPTS + 1)))
        parts.append(payload[begin : begin + length // EXCERPTS])
    return np.concatenate(parts)


def copied_share(payload: np.ndarray, training: Sequence[np.ndarray], length: int = MATCH_BYTES) -> float:
    """Compute the share of a payload that was copied from training data.

    Args:
        payload: uint8 [n].
        training: Ids of recordings, uint16 each; their payload is compared.
        length: Bytes of the shortest stretch that counts as a copy.

    Returns:
        Share of the bytes, from 0 to 1.
    """
    hashes = ngram_hashes(payload, length)
    is_copied = np.zeros(len(hashes), bool)
    for row in training:
        text = turns.payload_of(row)
        for begin in range(0, len(text), HASHED_BYTES):
            is_copied |= np.isin(hashes, ngram_hashes(text[begin : begin + HASHED_BYTES + length - 1], length))
    begins = np.flatnonzero(is_copied)
    return float(span_mask(begins, begins + length, len(payload)).mean())
