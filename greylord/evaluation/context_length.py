"""Bits per byte by the tokens before a token, and by the length of the context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel

from greylord.corpus.windows import Span, whole_rows
from greylord.evaluation.bits_per_byte import bits_per_byte, predict, score_spans
from greylord.progress import Progress, silent
from greylord.stream import vocabulary

__all__ = ["PositionRange", "score_contexts", "score_positions"]

SHORTEST = 8
"""The shortest context that is compared is the model's divided by this."""


@dataclass(frozen=True)
class PositionRange:
    """The tokens that are preceded by `first` to `last` tokens of context."""

    first: int
    last: int
    bits_per_byte: float
    """Framing included."""


def score_positions(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    spans: Sequence[Span],
    context: int,
    progress: Progress = silent,
) -> list[PositionRange]:
    """Score tokens by the number of preceding tokens, in ranges of powers of two.

    The spans are cut into pieces as long as the context, and the tokens before a piece are not context.

    Args:
        model: On a CPU or a GPU.
        rows: Ids of recordings, uint16 [n] each.
        spans: Which tokens of the rows to score.
        context: Length of the pieces, in tokens.
        progress: Counts tokens.
    """
    pieces = list(_pieces(rows, spans, context))
    nats, payload_bytes = np.zeros(context), np.zeros(context)
    for prediction in predict(model, pieces, whole_rows(pieces), context, progress):
        positions = slice(prediction.window.scored, prediction.window.end)
        nats[positions] += prediction.nats
        payload_bytes[positions] += prediction.ids < vocabulary.PAD
    ranges, first = [], 1
    while first < context:
        last = min(2 * first, context) - 1
        positions = slice(first, last + 1)
        if size := payload_bytes[positions].sum():
            ranges.append(PositionRange(first, last, bits_per_byte(float(nats[positions].sum()), int(size))))
        first = last + 1
    return ranges


def _pieces(rows: Sequence[np.ndarray], spans: Sequence[Span], context: int) -> Iterator[np.ndarray]:
    """Yield the tokens of the spans as rows, uint16 [at most `context`].

    The first token of each row is context only.
    """
    for span in spans:
        for begin in range(span.begin - 1, span.end - 1, context - 1):
            yield rows[span.row][begin : min(begin + context, span.end)]


def score_contexts(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    spans: Sequence[Span],
    context: int,
    progress: Progress = silent,
) -> dict[int, float]:
    """Score the same spans with shorter context windows.

    The lengths are an eighth, a quarter, a half and all of `context`.

    Args:
        model: On a CPU or a GPU.
        rows: Ids of recordings, uint16 [n] each.
        spans: Which tokens of the rows to score.
        context: Length of the longest window, in tokens.
        progress: Counts tokens.

    Returns:
        Bits per byte by the length of the window in tokens.
    """
    halves = [context // SHORTEST << doubling for doubling in range(SHORTEST.bit_length() - 1)]
    return {length: score_spans(model, rows, spans, length, progress).bits_per_byte for length in [*halves, context]}
