"""The decode engine: slots that read token ids and say the next ones, after the stream's grammar.

A `Decoder` has N slots, each with what it has heard and said, a place in the key/value cache, and random numbers of
its own: what a slot says depends on its ids and its seed, not on its neighbours.

    decoder = Decoder(model, Sampling(temperature=0.8))
    decoder.start(0, [PAD, SERVER, DELAY_SHORT], seed=7)
    (ids,) = decoder.step([0])
    decoder.hear(0, [CLIENT, DELAY_SHORT, *b"look\\r"])

A learned position table cannot slide: when a slot's ids fill the context, it goes on from the last half of them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import GPT2LMHeadModel, LogitsProcessor

from greylord import vocabulary
from greylord.errors import UsageError
from greylord.forward import Forward
from greylord.turns import MAY_FOLLOW

__all__ = ["DRAFT_TOKENS", "MEMORY_TOKENS", "Decoder", "Grammar", "Sampling"]

READ_TOKENS = 1_024
"""Tokens read at once, which bounds the memory of attention."""
UNIFORMS = 1_024
"""Random numbers drawn ahead, for one call costs as much as many."""
MEMORY_TOKENS = 16_384
"""Ids that a slot remembers at least, to look drafts up in; the context is part of them."""
DRAFT_MATCHES = (12, 6, 3)
"""Lengths of context, the best first, that a draft is looked up by. It is as long as what was found."""
DRAFT_TOKENS = max(DRAFT_MATCHES)


@dataclass(frozen=True)
class Sampling:
    """How the next id is drawn from logits.

    Attributes:
        temperature: logits are divided by it; 0 takes the likeliest id.
        top_k: only so many of the likeliest ids are left; 0 leaves all.
        top_p: only the likeliest ids that together reach this probability are left (Holtzman et al. 2020).

    Raises UsageError for values that make no sense.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"The temperature must be 0 or more, not {self.temperature}.")
        if self.top_k < 0:
            raise UsageError(f"top-k must be 0, for all, or more, not {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p must lie above 0 and up to 1, not {self.top_p}.")

    def draw(self, logits: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Ids, int64 [m], by float32 [m, vocabulary] logits and float64 [m] random numbers from [0, 1)."""
        if not self.temperature:
            return logits.argmax(-1)
        scaled = logits.astype(np.float64)
        scaled -= scaled.max(-1, keepdims=True)
        scaled /= self.temperature
        if 0 < self.top_k < scaled.shape[-1]:
            least = np.partition(scaled, -self.top_k)[:, -self.top_k, None]
            scaled[scaled < least] = -np.inf
        weights = np.exp(scaled)
        if self.top_p < 1:
            order = np.argsort(-weights, kind="stable")
            ranked = np.take_along_axis(weights, order, -1)
            before = np.cumsum(ranked, -1) - ranked
            ranked[before >= self.top_p * ranked.sum(-1, keepdims=True)] = 0
            np.put_along_axis(weights, order, ranked, -1)
        reached = np.cumsum(weights, -1)
        return (reached <= uniforms[:, None] * reached[:, -1:]).sum(-1)


class _Slot:
    """What one slot has heard and said.

    Attributes:
        text: a memory and the ids, a character each: nothing is searched faster than a `str`.
        begin: where in `text` the context begins.
        read: how many ids of the context the cache holds.
    """

    def __init__(self, memory: str, ids: Iterable[int], seed: int) -> None:
        self.text, self.begin, self.read = memory + _text(ids), len(memory), 0
        self._random = np.random.default_rng(seed)
        self._uniforms = np.empty(0)

    def __len__(self) -> int:
        """Ids in the context, those that are yet to be read included."""
        return len(self.text) - self.begin

    def unread(self) -> list[int]:
        return [ord(character) for character in self.text[self.begin + self.read :]]

    def say(self, ids: Sequence[int]) -> None:
        """Add ids drawn with the first uniforms; all but the last are in the cache already."""
        self.text += _text(ids)
        self.read += len(ids)
        self._uniforms = self._uniforms[len(ids) :]

    def restart(self, length: int) -> None:
        """Let the last ids be the whole context, and read them anew."""
        self.text = self.text[-max(length, MEMORY_TOKENS) :]
        self.begin, self.read = len(self.text) - length, 0

    def uniforms(self, count: int) -> np.ndarray:
        """The next `count` random numbers. One belongs to each id that is said, however many are tried at once."""
        if count > len(self._uniforms):
            self._uniforms = np.append(self._uniforms, self._random.random(count + UNIFORMS))
        return self._uniforms[:count]

    def draft(self, length: int) -> list[int]:
        """What followed when the last ids were last said (prompt lookup decoding, Saxena 2023)."""
        for match in DRAFT_MATCHES:
            at = self.text.rfind(self.text[-match:], 0, -1)
            if at >= 0:
                length = min(length, match)
                followed = self.text[at + match :][:length]
                # What goes on into itself repeats, as in LZ77.
                return [ord(character) for character in (followed * length)[:length]]
        return []


def _text(ids: Iterable[int]) -> str:
    return "".join(map(chr, ids))


class Decoder:
    """Slots that decode a model. Sixteen that step together cost about four times what one costs.

    Args:
        model: on a CPU or a GPU, where it stays; its weights are shared.
        sampling: of all slots.
        slots: how many.
        draft_tokens: how many ids a step of one slot looks up and checks at once. What is said does not depend on it,
            but where float32 rounding decides between two ids.
        memory: ids that were said elsewhere, to look drafts up in besides what a slot has heard and said.

    Raises UsageError for a GPT-2 that is not as greylord makes them.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        sampling: Sampling,
        slots: int = 1,
        draft_tokens: int = DRAFT_TOKENS,
        memory: Iterable[int] = (),
    ) -> None:
        self.context = model.config.n_positions
        self._forward = Forward(model, slots)
        self._sampling = sampling
        self._memory = _text(memory)
        self._slots = [_Slot(self._memory, [vocabulary.PAD], 0) for _ in range(slots)]
        self._draft_tokens = draft_tokens

    def start(self, slot: int, ids: Iterable[int], seed: int = 0) -> None:
        """Let a slot forget everything, hear `ids`, at least one, and draw by `seed` from now on."""
        self._slots[slot] = _Slot(self._memory, ids, seed)

    def hear(self, slot: int, ids: Iterable[int]) -> None:
        """Add ids that the slot did not say itself."""
        self._slots[slot].text += _text(ids)

    def fork(self, source: int, target: int) -> None:
        """Let slot `target` be a copy of `source`, with the same random numbers ahead."""
        self._slots[target] = copy.deepcopy(self._slots[source])
        self._forward.copy(source, target, self._slots[source].read)

    def logits(self, slots: Sequence[int]) -> np.ndarray:
        """float32 [len(slots), vocabulary]: of the id that each slot would say next, the grammar not applied."""
        # Two ids wait where logits were asked for before: that of then, and the one heard since.
        self._catch_up(slots, leave=2)
        blocks = [self._slots[slot].unread() for slot in slots]
        logits = self._read(blocks, slots)
        for slot, block in zip(slots, blocks, strict=True):
            self._slots[slot].read += len(block) - 1
        return np.stack([each[-1] for each in logits])

    def step(self, slots: Sequence[int], stops: Collection[int] = ()) -> list[list[int]]:
        """Let each of `slots` say its next ids: one, or more where a draft was right, but none after one of `stops`."""
        self._catch_up(slots)
        drafts = [self._draft(slot) if len(slots) == 1 else [] for slot in slots]
        blocks = [self._slots[slot].unread() + draft for slot, draft in zip(slots, drafts, strict=True)]
        logits, ends = np.concatenate(self._read(blocks, slots)), np.cumsum([len(block) for block in blocks])
        uniforms = np.concatenate(
            [self._slots[slot].uniforms(len(block)) for slot, block in zip(slots, blocks, strict=True)]
        )
        drawn = self._sampling.draw(np.where(MAY_FOLLOW[np.concatenate(blocks)], logits, -np.inf), uniforms)
        said = []
        for slot, draft, ids in zip(slots, drafts, np.split(drawn, ends[:-1]), strict=True):
            right = 0
            while right < len(draft) and ids[right] == draft[right] and draft[right] not in stops:
                right += 1
            said.append(ids[: right + 1].tolist())
            self._slots[slot].say(said[-1])
        return said

    def _draft(self, slot: int) -> list[int]:
        room = self.context - len(self._slots[slot])
        return self._slots[slot].draft(min(self._draft_tokens, room))

    def _catch_up(self, slots: Sequence[int], leave: int = 1) -> None:
        """Read all ids of each slot but the last `leave`."""
        for slot in slots:
            if len(self._slots[slot]) > self.context:
                self._slots[slot].restart(self.context // 2)
        size = max(1, READ_TOKENS // len(slots))
        while any(waiting := [self._slots[slot].unread()[:-leave][:size] for slot in slots]):
            self._read(waiting, slots)
            for slot, block in zip(slots, waiting, strict=True):
                self._slots[slot].read += len(block)

    def _read(self, blocks: Sequence[Sequence[int]], slots: Sequence[int]) -> list[np.ndarray]:
        """Read a block of ids for each slot; returns the logits after each id, float32 [len(block), vocabulary]."""
        low, high = min(slots), max(slots) + 1
        # Slots in between, and the ends of shorter blocks, read padding, which nothing will look at.
        ids = np.full((high - low, max(map(len, blocks))), vocabulary.PAD)
        for slot, block in zip(slots, blocks, strict=True):
            ids[slot - low, : len(block)] = block
        begins = np.array([slot.read for slot in self._slots[low:high]])
        logits = self._forward(slice(low, high), ids, begins)
        return [logits[slot - low, : len(block)] for slot, block in zip(slots, blocks, strict=True)]


class Grammar(LogitsProcessor):
    """The stream's grammar for the stock `model.generate`: a direction, a delay, payload bytes, and never a pad.

    Give it as `logits_processor=[Grammar()]`, with `eos_token_id=None`.
    """

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        allowed = torch.from_numpy(MAY_FOLLOW).to(scores.device)[input_ids[:, -1]]
        return scores.masked_fill(~allowed, -torch.inf)
