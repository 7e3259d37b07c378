"""Running counts over recordings, one class for each subject.

Each class has `add`, which takes the part of a recording that it counts, and `report`, which returns the totals. Memory
does not grow with the number of recordings, except for hashes of lines and for the words that were typed.
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
"""Delays are counted by the millisecond up to a minute. Longer ones count as a minute."""
QUANTILES = (0.5, 0.9, 0.99, 0.999)
"""Shares of the records for which a delay quantile is reported."""
FREQUENT = 15
"""Number of commands reported."""


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _count_powers(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Count values by power of two.

    Args:
        values: Non-negative integers [n].
        weights: How often each value counts, [n].

    Returns:
        int64 [32]: the number of values that are 0, 1, 2 to 3, 4 to 7 and so on.
    """
    return np.bincount(np.frexp(values)[1], weights, minlength=32).astype(np.int64)


def _by_power(counts: np.ndarray) -> dict[int, int]:
    """Return counts above 0, int64 [n], by the power of two where each begins."""
    return {1 << power >> 1: count for power, count in enumerate(counts.tolist()) if count}


@dataclass(frozen=True)
class Delays:
    """Delays of one side's records after the event before, in milliseconds."""

    records: int
    negative: int
    shortest: int | None
    longest: int | None
    quantiles: dict[float, int]
    """Delay quantiles in ms by their share of the records, at most `DELAY_LIMIT_MS`."""
    tokens: dict[str, float]
    """Share of the records by delay token."""
    by_power: dict[int, int]
    """Records by the power of two at or below their delay; 0 for no delay, -1 for negative ones."""


class DelayTally:
    """Counts delays of one side, by the millisecond."""

    def __init__(self) -> None:
        self._counts = np.zeros(2 * DELAY_LIMIT_MS + 1, np.int64)
        self._tokens = np.zeros(vocabulary.VOCAB_SIZE, np.int64)
        self._extremes: list[int] = []

    def add(self, delays: np.ndarray) -> None:
        """Add delays in milliseconds, int64 [n]."""
        if not len(delays):
            return
        clipped = np.clip(delays, -DELAY_LIMIT_MS, DELAY_LIMIT_MS)
        self._counts += np.bincount(clipped + DELAY_LIMIT_MS, minlength=len(self._counts))
        self._tokens += np.bincount(vocabulary.delay_ids(delays), minlength=len(self._tokens))
        extremes = [*self._extremes, int(delays.min()), int(delays.max())]
        self._extremes = [min(extremes), max(extremes)]

    def report(self) -> Delays:
        """Return the totals."""
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
            | _by_power(_count_powers(np.arange(DELAY_LIMIT_MS + 1), self._counts[DELAY_LIMIT_MS:])),
        )


class TurnTally:
    """Counts turns of one side by their size."""

    def __init__(self) -> None:
        self._counts = np.zeros(32, np.int64)

    def add(self, sizes: np.ndarray) -> None:
        """Add turns, given their payload bytes, int64 [n]."""
        self._counts += _count_powers(sizes)

    def report(self) -> dict[int, int]:
        """Return turns by the power of two at or below their payload bytes.

        Empty turns are under 0.
        """
        return _by_power(self._counts)


@dataclass(frozen=True)
class Markup:
    """Bytes of the payload that are not text. Shares are of the server's bytes."""

    csi_bytes: int
    """Bytes of the server in CSI sequences."""
    csi_share: float | None
    prompts: int
    """Times the server redrew the prompt."""
    prompt_bytes: int
    prompt_share: float | None
    telnet_commands: int
    """Telnet commands of both sides."""
    telnet_bytes: int
    high_bytes: int
    """Bytes from 0x80 on outside telnet commands, of both sides."""


class MarkupTally:
    """Counts control sequences, prompts and telnet commands."""

    def __init__(self) -> None:
        self._server_bytes = self._csi = self._prompts = self._prompt_bytes = 0
        self._commands = self._telnet = self._high = 0

    def add(self, server: Transcript, client: Transcript) -> None:
        """Add the two sides of a recording."""
        prompts = [len(prompt) for prompt in PROMPT.findall(server.payload)]
        self._server_bytes += len(server.payload)
        self._csi += server.csi_bytes
        self._prompts += len(prompts)
        self._prompt_bytes += sum(prompts)
        self._commands += server.telnet_commands + client.telnet_commands
        self._telnet += server.telnet_bytes + client.telnet_bytes
        self._high += server.high_bytes + client.high_bytes

    def report(self) -> Markup:
        """Return the totals."""
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
    """Lines that players typed, without names and passwords.

    The command of a line is its first word.
    """

    lines: int
    """Lines that are not empty."""
    distinct_lines: int
    empty_lines: int
    distinct: int
    """Distinct commands."""
    frequent: dict[str, int]
    """The `FREQUENT` most frequent commands that are not a user's name."""
    logins: int
    """Passwords given."""
    users: int
    """Distinct user names that a password followed."""


class CommandTally:
    """Counts typed lines. Whole lines are stored as hashes only."""

    def __init__(self) -> None:
        self._words: Counter[str] = Counter()
        self._lines: set[int] = set()
        self._users: set[str] = set()
        self._count = self._empty = self._logins = 0

    def add(self, typed: TypedLines, logins: int) -> None:
        """Add the lines typed in a recording, and the number of passwords given."""
        self._words.update(word for line in typed.commands if (word := first_word(line)))
        self._lines.update(map(hash, typed.commands))
        self._users.update(name.decode("latin-1").lower() for name in typed.names)
        self._count += len(typed.commands)
        self._empty += typed.empty
        self._logins += logins

    def report(self) -> Commands:
        """Return the totals."""
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
    """Long lines of the server: at least `LONG_LINE` characters, without markup."""

    lines: int
    distinct: int
    recurring: float | None
    """Share of the lines that occur in another recording too."""
    validation_lines: int
    known: float | None
    """Share of the validation lines that occur in a training recording."""


class _LineHashes(NamedTuple):
    """The distinct long lines of a text."""

    hashes: np.ndarray
    """int64 [distinct lines]."""
    counts: np.ndarray
    """int64 [distinct lines]: how often each occurs."""


def _hash_lines(text: bytes) -> _LineHashes:
    return _LineHashes(*np.unique(hash_long_lines(text), return_counts=True))


def _concatenated(texts: Sequence[_LineHashes]) -> _LineHashes:
    empty = np.zeros(0, np.int64)
    return _LineHashes(*(np.concatenate([empty, *(text[column] for text in texts)]) for column in range(2)))


class LineTally:
    """Counts long lines within and across recordings."""

    def __init__(self) -> None:
        self._recordings: list[_LineHashes] = []
        self._splits: dict[str, list[_LineHashes]] = {"train": [], "validation": []}

    def add(self, text: bytes) -> None:
        """Add a recording, given the text of its server."""
        self._recordings.append(_hash_lines(text))

    def add_to_split(self, split: str, text: bytes) -> None:
        """Add the part of a recording that is in one split."""
        self._splits[split].append(_hash_lines(text))

    def assign_splits(self, is_validation: Sequence[bool]) -> None:
        """Put each recording as a whole into a split."""
        for lines, validates in zip(self._recordings, is_validation, strict=True):
            self._splits["validation" if validates else "train"].append(lines)

    def report(self) -> LongLines:
        """Return the totals."""
        all_lines, train, validation = map(_concatenated, (self._recordings, *self._splits.values()))
        distinct, index, recordings = np.unique(all_lines.hashes, return_inverse=True, return_counts=True)
        recurring = all_lines.counts[recordings[index] > 1].sum()
        known = validation.counts[np.isin(validation.hashes, train.hashes)].sum()
        lines, validation_lines = int(all_lines.counts.sum()), int(validation.counts.sum())
        return LongLines(
            lines=lines,
            distinct=len(distinct),
            recurring=_share(int(recurring), lines),
            validation_lines=validation_lines,
            known=_share(int(known), validation_lines),
        )
