"""Bits per byte, the figure by which models are compared, and its protocol.

    bits per byte = nats of all tokens / ln 2 / payload bytes

Every token of a recording except its first is scored, framing tokens included. Only payload bytes count in the
denominator. Windows are as long as the context, with a stride of half a context. Compressors get the same stream, one
byte for each token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

import datasets
import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.nn.functional import cross_entropy
from transformers import EvalPrediction, PreTrainedModel

from greylord.corpus.batching import IGNORED, batch_size, collate
from greylord.corpus.windows import ScoringWindows, Span, WindowBounds, row_arrays, whole_rows
from greylord.errors import SettingError, UsageError
from greylord.progress import Progress, quiet_transformers, silent
from greylord.stream import vocabulary

__all__ = [
    "Prediction",
    "Score",
    "ScoreTally",
    "SumsOverBatches",
    "bits_per_byte",
    "payload_bytes",
    "predict",
    "protocol",
    "score",
    "score_spans",
    "stream_of",
    "token_kinds",
    "token_nats",
    "window_sums",
]


def bits_per_byte(nats: float, payload_bytes: int) -> float:
    """Convert the nats of a stream to bits per payload byte."""
    return nats / math.log(2) / payload_bytes


def token_nats(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the negative log-likelihood of each token in nats.

    Args:
        logits: Any floating-point type, [windows, context, vocabulary].
        labels: int64 [windows, context].

    Returns:
        float32 [windows, context - 1]; 0 for tokens that are not scored.
    """
    losses = cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(len(labels), -1)


def window_sums(logits: torch.Tensor | tuple[torch.Tensor, ...], labels: torch.Tensor) -> torch.Tensor:
    """Sum the nats, scored tokens and payload bytes of each window.

    This is the Trainer's `preprocess_logits_for_metrics`: only these sums leave the device and are gathered.

    Args:
        logits: Any floating-point type, [windows, context, vocabulary], alone or first in a tuple.
        labels: int64 [windows, context].

    Returns:
        float32 [windows, 3].
    """
    if isinstance(logits, tuple):
        logits = logits[0]
    nats, targets = token_nats(logits, labels), labels[:, 1:]
    is_scored = targets != IGNORED
    is_payload = is_scored & (targets < vocabulary.PAD)
    return torch.stack([nats.sum(1), is_scored.sum(1), is_payload.sum(1)], dim=1)


class SumsOverBatches:
    """The Trainer's `compute_metrics`, which adds up `window_sums`.

    It sums over the batches of an evaluation in float64.
    """

    def __init__(self) -> None:
        self._sums = np.zeros(3)

    def __call__(self, prediction: EvalPrediction, compute_result: bool = True) -> dict[str, float]:
        # Evaluation batch by batch passes tensors on the device, although EvalPrediction names arrays.
        self._sums += torch.as_tensor(prediction.predictions).cpu().double().numpy().sum(axis=0)
        if not compute_result:
            return {}
        (nats, tokens, payload_bytes), self._sums = self._sums.tolist(), np.zeros(3)
        return {
            "bits_per_byte": bits_per_byte(nats, int(payload_bytes)),
            "nats": nats,
            "tokens": int(tokens),
            "payload_bytes": int(payload_bytes),
        }


@dataclass(frozen=True)
class Score:
    """The cost of a stream, split by sender and into payload and framing.

    Scores of several streams can be added.

    Attributes:
        server_nats: Nats of the server's payload.
        client_nats: Nats of the client's payload.
        framing_nats: Nats of direction and delay tokens.
        server_bytes: Payload bytes of the server.
        client_bytes: Payload bytes of the client.
        framing_tokens: Direction and delay tokens.
    """

    server_nats: float
    client_nats: float
    framing_nats: float
    server_bytes: int
    client_bytes: int
    framing_tokens: int

    def __add__(self, other: Score) -> Score:
        return Score(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @property
    def payload_bytes(self) -> int:
        """Payload bytes of both sides."""
        return self.server_bytes + self.client_bytes

    @property
    def nats(self) -> float:
        """Nats of all tokens."""
        return self.server_nats + self.client_nats + self.framing_nats

    @property
    def bits_per_byte(self) -> float:
        """Bits of all tokens, framing included, per payload byte."""
        return bits_per_byte(self.nats, self.payload_bytes)

    @property
    def server(self) -> float:
        """Bits per byte of the server's payload; NaN without any."""
        return bits_per_byte(self.server_nats, self.server_bytes) if self.server_bytes else math.nan

    @property
    def client(self) -> float:
        """Bits per byte of the client's payload; NaN without any."""
        return bits_per_byte(self.client_nats, self.client_bytes) if self.client_bytes else math.nan

    @property
    def framing(self) -> float:
        """Bits of framing per payload byte: the framing part of `bits_per_byte`."""
        return bits_per_byte(self.framing_nats, self.payload_bytes)


NOTHING = Score(0, 0, 0, 0, 0, 0)
SERVER, CLIENT, FRAMING = range(3)


def token_kinds(ids: np.ndarray) -> np.ndarray:
    """Classify the ids of a row.

    Args:
        ids: uint16 [n].

    Returns:
        uint8 [n]: 0 for payload of the server, 1 for payload of the client, 2 for framing.
    """
    kinds = np.full(len(ids), FRAMING, np.uint8)
    begins = np.flatnonzero((ids == vocabulary.CLIENT) | (ids == vocabulary.SERVER))
    lengths = np.diff(np.append(begins, len(ids)))
    first = begins[0] if len(begins) else len(ids)
    kinds[first:] = np.repeat(np.where(ids[begins] == vocabulary.CLIENT, CLIENT, SERVER), lengths)
    kinds[ids >= vocabulary.PAD] = FRAMING
    return kinds


class Prediction(NamedTuple):
    """A model's prediction of the n tokens that a window scores."""

    window: WindowBounds
    ids: np.ndarray
    """uint16 [n], the tokens themselves."""
    nats: np.ndarray
    """float32 [n], the cost of each token."""
    logits: torch.Tensor
    """[n, vocabulary], on the model's device."""


@torch.inference_mode()
def predict(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    spans: Sequence[Span],
    context: int,
    progress: Progress = silent,
) -> Iterator[Prediction]:
    """Predict each token of the spans once, window by window, on the model's device.

    Args:
        model: Put into evaluation mode.
        rows: Ids of recordings, uint16 each.
        spans: Which tokens of the rows to predict.
        context: Length of the windows, in tokens.
        progress: Counts tokens.
    """
    scoring = ScoringWindows(rows, spans, context)
    model.eval()
    batch = batch_size(model.device.type, context)
    with progress("Scoring", sum(map(len, spans))) as advance:
        for first in range(0, len(scoring), batch):
            indices = range(first, min(first + batch, len(scoring)))
            inputs = collate([scoring[index] for index in indices])
            labels = inputs["labels"].to(model.device)
            logits = model(input_ids=inputs["input_ids"].to(model.device), use_cache=False).logits
            nats = token_nats(logits, labels).cpu().numpy()
            for place, index in enumerate(indices):
                window = row, begin, scored, end = scoring.windows[index]
                predicted = slice(scored - begin - 1, end - begin - 1)
                yield Prediction(window, rows[row][scored:end], nats[place, predicted], logits[place, predicted])
                advance(end - scored)


class ScoreTally:
    """Adds up the cost of predictions for each row, in float64.

    Args:
        rows: Ids of the recordings that are predicted, uint16 each.
    """

    def __init__(self, rows: Sequence[np.ndarray]) -> None:
        self._rows = rows
        self._nats, self._counts = np.zeros((len(rows), 3)), np.zeros((len(rows), 3), np.int64)
        self._kinds_row, self._kinds = -1, np.empty(0, np.uint8)

    def add(self, prediction: Prediction) -> None:
        """Add one window."""
        row, _, scored, end = prediction.window
        if row != self._kinds_row:
            self._kinds_row, self._kinds = row, token_kinds(self._rows[row])
        kinds = self._kinds[scored:end]
        self._nats[row] += np.bincount(kinds, prediction.nats, minlength=3)
        self._counts[row] += np.bincount(kinds, minlength=3)

    def report(self) -> list[Score]:
        """Return the score of each row."""
        rows = zip(self._nats.tolist(), self._counts.tolist(), strict=True)
        return [Score(server, client, framing, *counts) for (server, client, framing), counts in rows]


def score(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray] | datasets.Dataset,
    *,
    context: int | None = None,
    progress: Progress = silent,
) -> Score:
    """Score a model on whole recordings.

    Args:
        model: On a CPU or a GPU; computes in its own precision.
        rows: Ids of recordings, integers [n] each; or a split of a corpus.
        context: Length of the windows, in tokens; the model's `n_positions` by default.
        progress: Counts tokens.

    Returns:
        The sum over all rows.

    Raises:
        UsageError: The rows hold nothing to score, or something else than ids.
        SettingError: The context is not between 2 and the model's `n_positions`.

    Example:
        figures = score(model, [row])
        print(f"{figures.bits_per_byte:.3f}, server {figures.server:.3f}, client {figures.client:.3f}")
    """
    longest = model.config.n_positions
    length = longest if context is None else context
    if not 2 <= length <= longest:
        raise SettingError(
            f"context must lie between 2 and the model's {longest:,} positions, not {context}.", "context"
        )
    arrays = row_arrays(rows) if isinstance(rows, datasets.Dataset) else [_checked_ids(row) for row in rows]
    if not any(len(row) > 1 for row in arrays):
        raise UsageError("There is nothing to score: no row has a second id.")
    with quiet_transformers():
        return score_spans(model, arrays, whole_rows(arrays), length, progress)


def _checked_ids(row: ArrayLike) -> np.ndarray:
    """Return a row as an array of integers. Raises UsageError if it is not a row of ids."""
    ids = np.asarray(row)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise UsageError(f"Each row must be an array of ids, not {ids.dtype} {list(ids.shape)}; put one row in a list.")
    if ids.size and not 0 <= ids.min() <= ids.max() < vocabulary.VOCAB_SIZE:
        raise UsageError(f"Ids must lie between 0 and {vocabulary.VOCAB_SIZE - 1}, not {ids.min()} to {ids.max()}.")
    return ids.astype(np.uint16)


def score_spans(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    spans: Sequence[Span],
    context: int,
    progress: Progress = silent,
) -> Score:
    """Score a model on parts of recordings; tokens before a part are context.

    Args:
        model: On a CPU or a GPU; computes in its own precision.
        rows: Ids of recordings, uint16 [n] each.
        spans: Which tokens of the rows to score.
        context: Length of the windows, in tokens.
        progress: Counts tokens.

    Returns:
        The sum over all spans.
    """
    tally = ScoreTally(rows)
    for prediction in predict(model, rows, spans, context, progress):
        tally.add(prediction)
    return sum(tally.report(), start=NOTHING)


def protocol(context: int) -> str:
    """Describe the protocol in words, to be printed beside a figure."""
    return f"context {context:,}, stride {context // 2:,}, framing included"


def payload_bytes(rows: Sequence[np.ndarray], spans: Sequence[Span]) -> int:
    """Count the payload bytes in the spans of rows, uint16 [n] each."""
    return sum(int((rows[span.row][span.begin : span.end] < vocabulary.PAD).sum()) for span in spans)


def stream_of(rows: Sequence[np.ndarray], spans: Sequence[Span]) -> bytes:
    """Join the spans of rows to the stream that compressors get.

    Args:
        rows: Ids of recordings, uint16 [n] each.
        spans: Which tokens of the rows to join.

    Returns:
        One byte for each token.
    """
    return b"".join(rows[span.row][span.begin : span.end].astype(np.uint8).tobytes() for span in spans)
