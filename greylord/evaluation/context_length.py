"""What a token costs by how much has been heard before it, and what a longer context buys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel

from greylord.corpus.windows import Span, whole_rows
from greylord.evaluation.bits_per_byte import bits_per_byte, predictions, score
from greylord.progress import Progress, silent
from greylord.stream import vocabulary

__all__ = ["Positions", "by_context", "by_position"]

SHORTEST = 8
"""The shortest of the contexts compared is the model's by this."""


@dataclass(frozen=True)
class Positions:
    """Tokens before which from `first` to `last` tokens had been heard."""

    first: int
    last: int
    bits_per_byte: float
    """Framing included."""


def by_position(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    spans: Sequence[Span],
    context: int,
    progress: Progress = silent,
) -> list[Positions]:
    """Bits per byte by tokens heard before, from each power of two to the next.

    The spans are cut in pieces as long as the context, and the model hears nothing before each.
    """
    pieces = list(_pieces(rows, spans, context))
    nats, payload_bytes = np.zeros(context), np.zeros(context)
    for prediction in predictions(model, pieces, whole_rows(pieces), context, progress):
        heard = slice(prediction.window.scored, prediction.window.end)
        nats[heard] += prediction.nats
        payload_bytes[heard] += prediction.ids < vocabulary.PAD
    found, first = [], 1
    while first < context:
        last = min(2 * first, context) - 1
        heard = slice(first, last + 1)
        if size := payload_bytes[heard].sum():
            found.append(Positions(first, last, bits_per_byte(float(nats[heard].sum()), int(size))))
        first = last + 1
    return found


def _pieces(rows: Sequence[np.ndarray], spans: Sequence[Span], context: int) -> Iterator[np.ndarray]:
    """The spans' tokens, `context` at a time: as rows of their own, of which the first token is only heard."""
    for span in spans:
        for begin in range(span.begin - 1, span.end - 1, context - 1):
            yield rows[span.row][begin : min(begin + context, span.end)]


def by_context(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    spans: Sequence[Span],
    context: int,
    progress: Progress = silent,
) -> dict[int, float]:
    """Overall bits per byte of the same spans, by the protocol, for an eighth of the context up to all of it."""
    halves = [context // SHORTEST << doubling for doubling in range(SHORTEST.bit_length() - 1)]
    return {length: score(model, rows, spans, length, progress).overall for length in [*halves, context]}
