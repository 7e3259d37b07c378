"""Counts that add up over recordings, one class an idea: `add` takes a recording's part, `report` tells the sum.

What they hold does not grow with the recordings, but for hashes of lines and the words typed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from greylord.stream import vocabulary
from greylord.stream.lines import PROMPT, Transcript, TypedLines, first_word, hash_long_lines

__all__ = [
    "DELAY_LIMIT_MS",
    "QUANTILES",
    "CommandTally",
    "Commands",
    "DelayTally",
    "Delays",
    "LineTally",
    "LongLines",
    "Markup",
    "MarkupTally",
    "TurnTally",
]

DELAY_LIMIT_MS = 60_000
"""Delays are counted by the millisecond as far as a minute, and longer ones as a minute."""
QUANTILES = (0.5, 0.9, 0.99, 0.999)
FREQUENT = 15
"""Commands told."""


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _powers(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """int64 [32]: how many values are 0, 1, 2 to 3, 4 to 7 and so on; `values` are whole and not negative."""
    return np.bincount(np.frexp(values)[1], weights, minlength=32).astype(np.int64)


def _by_power(counts: np.ndarray) -> dict[int, int]:
    """Those counts by the smallest value of each, without the zeros."""
    return {1 << power >> 1: count for power, count in enumerate(counts.tolist()) if count}


@dataclass(frozen=True)
class Delays:
    """How long after the event before one side's records came, in milliseconds."""

    records: int
    negative: int
    shortest: int | None
    longest: int | None
    quantiles: dict[float, int]
    """The smallest delay that this share of the records does not exceed; at most `DELAY_LIMIT_MS`."""
    tokens: dict[str, float]
    """The share of the records that each delay token stands for."""
    by_power: dict[int, int]
    """Records by the power of two that their delay reaches; 0 for none, -1 for negative ones."""


class DelayTally:
    """Delays of one side, by the millisecond."""

    def __init__(self) -> None:
        self._counts = np.zeros(2 * DELAY_LIMIT_MS + 1, np.int64)
        self._tokens = np.zeros(vocabulary.VOCAB_SIZE, np.int64)
        self._extremes: list[int] = []

    def add(self, delays: np.ndarray) -> None:
        """Count int64 [n] milliseconds."""
        if not len(delays):
            return
        near = np.clip(delays, -DELAY_LIMIT_MS, DELAY_LIMIT_MS)
        self._counts += np.bincount(near + DELAY_LIMIT_MS, minlength=len(self._counts))
        self._tokens += np.bincount(vocabulary.delay_ids(delays), minlength=len(self._tokens))
        seen = [*self._extremes, int(delays.min()), int(delays.max())]
        self._extremes = [min(seen), max(seen)]

    def report(self) -> Delays:
        records = int(self._counts.sum())
        if not records:
            return Delays(0, 0, None, None, {}, {}, {})
        names = vocabulary.int_to_vocab()
        negative = int(self._counts[:DELAY_LIMIT_MS].sum())
        ranks = np.searchsorted(np.cumsum(self._counts), [share * records for share in QUANTILES])
        return Delays(
            records=records,
            negative=negative,
            shortest=self._extremes[0],
            longest=self._extremes[1],
            quantiles=dict(zip(QUANTILES, (ranks - DELAY_LIMIT_MS).tolist(), strict=True)),
            tokens={
                names[token]: int(self._tokens[token]) / records
                for token in range(vocabulary.DELAY_SHORT, vocabulary.VOCAB_SIZE)
            },
            by_power=({-1: negative} if negative else {})
            | _by_power(_powers(np.arange(DELAY_LIMIT_MS + 1), self._counts[DELAY_LIMIT_MS:])),
        )


class TurnTally:
    """Turns of one side, by length."""

    def __init__(self) -> None:
        self._counts = np.zeros(32, np.int64)

    def add(self, sizes: np.ndarray) -> None:
        """Count turns of int64 [n] payload bytes."""
        self._counts += _powers(sizes)

    def report(self) -> dict[int, int]:
        """Turns by the power of two that their payload bytes reach; 0 for empty ones."""
        return _by_power(self._counts)


@dataclass(frozen=True)
class Markup:
    """What of the payload is no text. The shares are of the server's bytes."""

    csi_bytes: int
    """Of the server, in CSI sequences."""
    csi_share: float | None
    prompts: int
    """Redraws of the prompt, by the server."""
    prompt_bytes: int
    prompt_share: float | None
    telnet_commands: int
    """Of both sides."""
    telnet_bytes: int
    high_bytes: int
    """Of both sides: bytes from 0x80 on outside telnet commands."""


class MarkupTally:
    """Control sequences, prompts and telnet."""

    def __init__(self) -> None:
        self._server_bytes = self._csi = self._prompts = self._prompt_bytes = 0
        self._commands = self._telnet = self._high = 0

    def add(self, server: Transcript, client: Transcript) -> None:
        """Count the two sides of a recording."""
        prompts = [len(prompt) for prompt in PROMPT.findall(server.payload)]
        self._server_bytes += len(server.payload)
        self._csi += server.csi_bytes
        self._prompts += len(prompts)
        self._prompt_bytes += sum(prompts)
        self._commands += server.telnet_commands + client.telnet_commands
        self._telnet += server.telnet_bytes + client.telnet_bytes
        self._high += server.high_bytes + client.high_bytes

    def report(self) -> Markup:
        return Markup(
            csi_bytes=self._csi,
            csi_share=_share(self._csi, self._server_bytes),
            prompts=self._prompts,
            prompt_bytes=self._prompt_bytes,
            prompt_share=_share(self._prompt_bytes, self._server_bytes),
            telnet_commands=self._commands,
            telnet_bytes=self._telnet,
            high_bytes=self._high,
        )


@dataclass(frozen=True)
class Commands:
    """What players typed, but for names and passwords. A command is the first word of a line."""

    lines: int
    distinct_lines: int
    empty_lines: int
    distinct: int
    frequent: dict[str, int]
    """The most frequent ones that are no user's name."""
    logins: int
    """Passwords given."""
    users: int
    """Distinct names before them."""


class CommandTally:
    """Lines typed. Of whole lines it keeps hashes only."""

    def __init__(self) -> None:
        self._words: Counter[str] = Counter()
        self._lines: set[int] = set()
        self._users: set[str] = set()
        self._count = self._empty = self._logins = 0

    def add(self, typed: TypedLines, logins: int) -> None:
        """Count a recording's lines and the passwords given in it."""
        self._words.update(word for line in typed.commands if (word := first_word(line)))
        self._lines.update(map(hash, typed.commands))
        self._users.update(name.decode("latin-1").lower() for name in typed.names)
        self._count += len(typed.commands)
        self._empty += typed.empty
        self._logins += logins

    def report(self) -> Commands:
        shown = Counter({word: count for word, count in self._words.items() if word not in self._users})
        return Commands(
            lines=self._count,
            distinct_lines=len(self._lines),
            empty_lines=self._empty,
            distinct=len(self._words),
            frequent=dict(shown.most_common(FREQUENT)),
            logins=self._logins,
            users=len(self._users),
        )


@dataclass(frozen=True)
class LongLines:
    """Lines of the server as a screen shows them, of at least `LONG_LINE` characters."""

    lines: int
    distinct: int
    recurring: float | None
    """The share of the lines that stand in another recording too."""
    validation_lines: int
    known: float | None
    """The share of validation's lines that stand in a training recording."""


class _Hashes(NamedTuple):
    """Distinct long lines of a text, and how often each stands there."""

    hashes: np.ndarray
    counts: np.ndarray


def _hashes(text: bytes) -> _Hashes:
    return _Hashes(*np.unique(hash_long_lines(text), return_counts=True))


def _joined(texts: Sequence[_Hashes]) -> _Hashes:
    empty = np.zeros(0, np.int64)
    return _Hashes(*(np.concatenate([empty, *(text[column] for text in texts)]) for column in range(2)))


class LineTally:
    """Long lines, recording by recording."""

    def __init__(self) -> None:
        self._whole: list[_Hashes] = []
        self._parts: dict[str, list[_Hashes]] = {"train": [], "validation": []}

    def add(self, text: bytes) -> None:
        """Take the server's text of the next recording."""
        self._whole.append(_hashes(text))

    def add_part(self, split: str, text: bytes) -> None:
        """Take the part of a recording that is on one side of the split."""
        self._parts[split].append(_hashes(text))

    def divide(self, validating: Sequence[bool]) -> None:
        """Put each recording on one side of the split."""
        for hashes, validates in zip(self._whole, validating, strict=True):
            self._parts["validation" if validates else "train"].append(hashes)

    def report(self) -> LongLines:
        everywhere, train, validation = map(_joined, (self._whole, *self._parts.values()))
        distinct, index, recordings = np.unique(everywhere.hashes, return_inverse=True, return_counts=True)
        recurring = everywhere.counts[recordings[index] > 1].sum()
        known = validation.counts[np.isin(validation.hashes, train.hashes)].sum()
        lines, validation_lines = int(everywhere.counts.sum()), int(validation.counts.sum())
        return LongLines(
            lines=lines,
            distinct=len(distinct),
            recurring=_share(int(recurring), lines),
            validation_lines=validation_lines,
            known=_share(int(known), validation_lines),
        )
