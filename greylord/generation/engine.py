"""The decode engine: slots that read token ids and sample the next ones.

Sampling follows the grammar of the stream.

A `Decoder` has N slots. Each has its own ids, its own rows of the key/value cache and its own random numbers, so what
it samples depends on its ids and its seed, and not on the other slots.

    decoder = Decoder(GPT2Weights.read(folder), Sampling(temperature=0.8))
    decoder.start(0, [PAD, SERVER, DELAY_SHORT], seed=7)
    (ids,) = decoder.step([0])
    decoder.append(0, [CLIENT, DELAY_SHORT, *b"look\\r"])

A learned position table cannot slide. When a slot's ids exceed the context, the last half of them becomes the context.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import torch

from greylord.generation.forward import Forward
from greylord.generation.sampling import Sampling
from greylord.stream import vocabulary
from greylord.stream.turns import MAY_FOLLOW
from greylord.weights import GPT2Weights

__all__ = ["DRAFT_TOKENS", "MEMORY_TOKENS", "Decoder", "Grammar", "Sampling"]

READ_TOKENS = 1_024
"""Tokens read in one pass, to bound the memory of attention."""
UNIFORMS = 1_024
"""Random numbers drawn in one call. A call for one number takes as long."""
MEMORY_TOKENS = 16_384
"""Ids that each slot keeps for prompt lookup, the context included."""
DRAFT_MATCHES = (12, 6, 3)
"""Numbers of last ids to look up, tried in this order. A draft is at most as long as its match."""
DRAFT_TOKENS = max(DRAFT_MATCHES)


class _Slot:
    """The ids of one slot.

    Attributes:
        text: Memory and ids, one character for each id: nothing is searched faster than a `str`.
        begin: Where in `text` the context begins.
        read: Number of ids of the context that are in the cache.
    """

    def __init__(self, memory: str, ids: Iterable[int], seed: int) -> None:
        self.text, self.begin, self.read = memory + _text(ids), len(memory), 0
        self._random = np.random.default_rng(seed)
        self._uniforms = np.empty(0)

    def __len__(self) -> int:
        """Count the ids of the context, read and unread."""
        return len(self.text) - self.begin

    def unread(self) -> list[int]:
        """Return the ids of the context that are not in the cache yet."""
        return [ord(character) for character in self.text[self.begin + self.read :]]

    def accept(self, ids: Sequence[int]) -> None:
        """Append ids sampled with the first uniforms.

        All except the last are in the cache already.
        """
        self.text += _text(ids)
        self.read += len(ids)
        self._uniforms = self._uniforms[len(ids) :]

    def restart(self, length: int) -> None:
        """Make the last `length` ids the context, all of it unread."""
        self.text = self.text[-max(length, MEMORY_TOKENS) :]
        self.begin, self.read = len(self.text) - length, 0

    def uniforms(self, count: int) -> np.ndarray:
        """Return the next random numbers, float64 [count].

        `accept` uses up one for each id.
        """
        if count > len(self._uniforms):
            self._uniforms = np.append(self._uniforms, self._random.random(count + UNIFORMS))
        return self._uniforms[:count]

    def draft(self, length: int) -> list[int]:
        """Return the ids that followed the last ids at their last occurrence.

        Source: prompt lookup decoding, Saxena 2023.
        """
        for match in DRAFT_MATCHES:
            at = self.text.rfind(self.text[-match:], 0, -1)
            if at >= 0:
                length = min(length, match)
                followed = self.text[at + match :][:length]
                # A match that overlaps its continuation repeats, as in LZ77.
                return [ord(character) for character in (followed * length)[:length]]
        return []


def _text(ids: Iterable[int]) -> str:
    return "".join(map(chr, ids))


class Decoder:
    """Slots that decode one model.

    One step of sixteen slots costs about four times as much as a step of one.

    Args:
        weights: Weights of the model, on a CPU or a GPU; they are not copied.
        sampling: Settings for all slots.
        slots: Number of slots.
        draft_tokens: Longest draft that a step of one slot checks. It changes the speed, and the ids only where float32
            rounding decides between two.
        memory: Ids for prompt lookup, in addition to a slot's own.
    """

    def __init__(
        self,
        weights: GPT2Weights,
        sampling: Sampling,
        slots: int = 1,
        draft_tokens: int = DRAFT_TOKENS,
        memory: Iterable[int] = (),
    ) -> None:
        self._forward = Forward(weights, slots)
        self.context = self._forward.context
        self._sampling = sampling
        self._memory = _text(memory)
        self._slots = [_Slot(self._memory, [vocabulary.PAD], 0) for _ in range(slots)]
        self._draft_tokens = draft_tokens

    def start(self, slot: int, ids: Iterable[int], seed: int = 0) -> None:
        """Restart a slot.

        Args:
            slot: The slot.
            ids: Ids that the slot continues, at least one.
            seed: Seeds the slot's random numbers.
        """
        self._slots[slot] = _Slot(self._memory, ids, seed)

    def append(self, slot: int, ids: Iterable[int]) -> None:
        """Append ids that the slot did not sample itself."""
        self._slots[slot].text += _text(ids)

    def fork(self, source: int, target: int) -> None:
        """Make slot `target` a copy of `source`, random numbers included."""
        self._slots[target] = copy.deepcopy(self._slots[source])
        self._forward.copy(source, target, self._slots[source].read)

    def logits(self, slots: Sequence[int]) -> np.ndarray:
        """Compute the logits of each slot's next id, without applying the grammar.

        Returns:
            float32 [len(slots), vocabulary].
        """
        # An earlier call left its last id unread, and one more was appended since.
        self._catch_up(slots, leave=2)
        blocks = [self._slots[slot].unread() for slot in slots]
        logits = self._read(blocks, slots)
        for slot, block in zip(slots, blocks, strict=True):
            self._slots[slot].read += len(block) - 1
        return np.stack([each[-1] for each in logits])

    def step(self, slots: Sequence[int], stops: Collection[int] = ()) -> list[list[int]]:
        """Sample the next ids of each slot: one, or several where a draft was right.

        Args:
            slots: Slots to advance.
            stops: Ids after which a slot samples nothing more in this step.

        Returns:
            The new ids of each slot, in the order of `slots`.
        """
        self._catch_up(slots)
        drafts = [self._draft(slot) if len(slots) == 1 else [] for slot in slots]
        blocks = [self._slots[slot].unread() + draft for slot, draft in zip(slots, drafts, strict=True)]
        logits, ends = np.concatenate(self._read(blocks, slots)), np.cumsum([len(block) for block in blocks])
        uniforms = np.concatenate(
            [self._slots[slot].uniforms(len(block)) for slot, block in zip(slots, blocks, strict=True)]
        )
        drawn = self._sampling.draw(np.where(MAY_FOLLOW[np.concatenate(blocks)], logits, -np.inf), uniforms)
        sampled = []
        for slot, draft, ids in zip(slots, drafts, np.split(drawn, ends[:-1]), strict=True):
            right = 0
            while right < len(draft) and ids[right] == draft[right] and draft[right] not in stops:
                right += 1
            sampled.append(ids[: right + 1].tolist())
            self._slots[slot].accept(sampled[-1])
        return sampled

    def _draft(self, slot: int) -> list[int]:
        room = self.context - len(self._slots[slot])
        return self._slots[slot].draft(min(self._draft_tokens, room))

    def _catch_up(self, slots: Sequence[int], leave: int = 1) -> None:
        """Read all ids of each slot except the last `leave`."""
        for slot in slots:
            if len(self._slots[slot]) > self.context:
                self._slots[slot].restart(self.context // 2)
        size = max(1, READ_TOKENS // len(slots))
        while any(waiting := [self._slots[slot].unread()[:-leave][:size] for slot in slots]):
            self._read(waiting, slots)
            for slot, block in zip(slots, waiting, strict=True):
                self._slots[slot].read += len(block)

    def _read(self, blocks: Sequence[Sequence[int]], slots: Sequence[int]) -> list[np.ndarray]:
        """Read a block of ids for each slot.

        Returns:
            The logits after each id, float32 [len(block), vocabulary] for each slot.
        """
        low, high = min(slots), max(slots) + 1
        # Slots in between, and the ends of shorter blocks, read padding, whose results are never used.
        ids = np.full((high - low, max(map(len, blocks))), vocabulary.PAD)
        for slot, block in zip(slots, blocks, strict=True):
            ids[slot - low, : len(block)] = block
        begins = np.array([slot.read for slot in self._slots[low:high]])
        logits = self._forward(slice(low, high), ids, begins)
        return [logits[slot - low, : len(block)] for slot, block in zip(slots, blocks, strict=True)]


class Grammar:
    """A logits processor by which the stock `model.generate` follows the grammar.

    The grammar is direction, delay, payload, and no pads. Pass it as `logits_processor=[Grammar()]`, with
    `eos_token_id=None`.
    """

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        allowed = torch.from_numpy(MAY_FOLLOW).to(scores.device)[input_ids[:, -1]]
        return scores.masked_fill(~allowed, -torch.inf)
