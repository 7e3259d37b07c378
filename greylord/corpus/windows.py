"""Windows over the rows of a corpus, cut from the memory map when they are needed."""

from __future__ import annotations

import itertools
import random
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict, TypeVar, overload

import datasets
import numpy as np

from greylord.corpus.arrow import load_split

__all__ = [
    "LazySequence",
    "Rows",
    "ScoringWindows",
    "Span",
    "TrainingWindows",
    "Window",
    "WindowBounds",
    "row_arrays",
    "sample_spans",
    "whole_rows",
]

Item = TypeVar("Item")


class LazySequence(Sequence[Item]):
    """A sequence whose items are made on access. Negative indices are out of range."""

    @abstractmethod
    def item(self, index: int) -> Item:
        """Return an item. The index is in range."""

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self.item(place) for place in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.item(index)


class Window(TypedDict):
    """A stretch of one row, as the Trainer's datasets yield it and `collate` takes it."""

    input_ids: np.ndarray
    """uint16 [at most `length`], a view of the memory-mapped corpus."""
    length: int
    """Tokens to which the window is padded."""
    scored_from: int
    """Index of the first predicted token. The tokens before it are context only."""
    first_position: NotRequired[int]
    """Position of the first token in the model's position table; 0 if absent."""


SAMPLE_SPANS, SAMPLE_SPAN_TOKENS = 40, 12_500
"""Size of the sample that evaluations during training score: half a million tokens."""


def row_arrays(dataset: datasets.Dataset) -> list[np.ndarray]:
    """Return the ids of each row, uint16 [tokens], without a copy.

    Raises:
        ValueError: The dataset has an index mapping. Its table would still hold all rows, other splits' included.
    """
    if dataset._indices is not None:
        raise ValueError("the dataset has an index mapping; flatten it first")
    rows = []
    for chunk in dataset.data.column("input_ids").chunks:
        # `values` ignores the offset of a slice, and `offsets` includes it.
        values, offsets = chunk.values.to_numpy(), chunk.offsets.to_numpy()
        rows += [values[begin:end] for begin, end in itertools.pairwise(offsets)]
    return rows


class Rows(LazySequence[np.ndarray]):
    """The ids of one split: a memory-mapped uint16 array for each recording.

    It pickles as its path.

    Attributes:
        starts: Start of each recording; None if its name holds no time.

    Raises:
        GreylordError: The files are missing or damaged.
    """

    def __init__(self, corpus: Path, split: str) -> None:
        self.corpus, self.split = corpus, split
        dataset = load_split(corpus, split)
        self._rows = row_arrays(dataset)
        self.starts: list[datetime | None] = dataset.data.column("started_at").to_pylist()

    def __reduce__(self) -> tuple:
        return Rows, (self.corpus, self.split)

    def __len__(self) -> int:
        return len(self._rows)

    def item(self, index: int) -> np.ndarray:
        return self._rows[index]


class TrainingWindows(LazySequence[Window]):
    """All windows of the rows, for training.

    Consecutive windows share one token, so that an epoch predicts every token except a row's first exactly once. The
    last window of a row may be shorter.

    Args:
        rows: uint16 [tokens] each.
        context: Tokens in a window.
    """

    def __init__(self, rows: Sequence[np.ndarray], context: int) -> None:
        self.rows, self.context = rows, context
        self._ends = np.cumsum([-(-(len(row) - 1) // (context - 1)) for row in rows])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def item(self, index: int) -> Window:
        row = int(np.searchsorted(self._ends, index, "right"))
        first = int(self._ends[row - 1]) if row else 0
        begin = (index - first) * (self.context - 1)
        ids = self.rows[row][begin : begin + self.context]
        return {"input_ids": ids, "length": self.context, "scored_from": 1}


@dataclass(frozen=True)
class Span:
    """Tokens [begin, end) of a row.

    `begin` is at least 1, because nothing predicts a row's first token.
    """

    row: int
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin


def whole_rows(rows: Sequence[np.ndarray]) -> list[Span]:
    """Return the spans of all predictable tokens: every row without its first token.

    Args:
        rows: uint16 [tokens] each.
    """
    return [Span(index, 1, len(row)) for index, row in enumerate(rows)]


def sample_spans(rows: Sequence[np.ndarray], seed: int = 0) -> list[Span]:
    """Draw `SAMPLE_SPANS` spans of `SAMPLE_SPAN_TOKENS` tokens from the rows.

    The spans hold all tokens if there are not more.

    Args:
        rows: uint16 [tokens] each.
    """
    blocks = [
        Span(span.row, begin, min(begin + SAMPLE_SPAN_TOKENS, span.end))
        for span in whole_rows(rows)
        for begin in range(1, span.end, SAMPLE_SPAN_TOKENS)
    ]
    if sum(map(len, blocks)) <= SAMPLE_SPANS * SAMPLE_SPAN_TOKENS:
        return whole_rows(rows)
    chosen, tokens = [], 0
    for index in random.Random(seed).sample(range(len(blocks)), len(blocks)):
        if tokens + len(blocks[index]) <= SAMPLE_SPANS * SAMPLE_SPAN_TOKENS:
            chosen.append(index)
            tokens += len(blocks[index])
    return [blocks[index] for index in sorted(chosen)]


class WindowBounds(NamedTuple):
    """Tokens [begin, end) of a row.

    Those from `scored` on are predicted, the others are context.
    """

    row: int
    begin: int
    scored: int
    end: int


class ScoringWindows(LazySequence[Window]):
    """Windows that predict each token of the spans exactly once.

    The stride is half a context. Only at the beginning of a row are tokens predicted from less than half a context.

    Args:
        rows: uint16 [tokens] each.
        context: Tokens in a window.
        multiple_of: The number of windows is filled up to a multiple with windows without predicted tokens. Evaluation
            by several processes is exact only if the windows divide evenly.
    """

    def __init__(self, rows: Sequence[np.ndarray], spans: Sequence[Span], context: int, multiple_of: int = 1) -> None:
        self.rows, self.context = rows, context
        self.windows = [window for span in spans for window in _windows_of(span, context)]
        self._filling = -len(self.windows) % multiple_of

    def __len__(self) -> int:
        return len(self.windows) + self._filling

    def item(self, index: int) -> Window:
        if index >= len(self.windows):
            return {"input_ids": self.rows[0][:1], "length": self.context, "scored_from": 1}
        row, begin, scored, end = self.windows[index]
        return {"input_ids": self.rows[row][begin:end], "length": self.context, "scored_from": scored - begin}


def _windows_of(span: Span, context: int) -> Iterator[WindowBounds]:
    scored = span.begin
    while scored < span.end:
        begin = max(0, scored - context // 2)
        end = min(begin + context, span.end)
        yield WindowBounds(span.row, begin, scored, end)
        scored = end
