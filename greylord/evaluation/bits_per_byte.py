"""Bits per byte, the one figure that models are compared by, and its protocol.

    bits per byte = nats of all tokens / ln 2 / payload bytes

All tokens are scored but each recording's first, framing tokens included; only payload bytes count below the
line. The windows are as long as the context and move by half of it. Compressors are given the same stream,
one byte a token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import EvalPrediction, PreTrainedModel

from greylord.corpus.batching import IGNORED, batch_size, collate
from greylord.corpus.windows import ScoringWindows, Span, WindowBounds
from greylord.progress import Progress, silent
from greylord.stream import vocabulary

__all__ = [
    "Prediction",
    "Score",
    "ScoreTally",
    "SumsOverBatches",
    "bits_per_byte",
    "kinds_of",
    "payload_bytes",
    "predictions",
    "protocol",
    "score",
    "stream_of",
    "token_nats",
    "window_sums",
]


def bits_per_byte(nats: float, payload_bytes: int) -> float:
    """Bits per byte of a stream that costs `nats`."""
    return nats / math.log(2) / payload_bytes


def token_nats(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The nats that each token costs, float32 [windows, context - 1]; 0 where it is not predicted.

    Args:
        logits: any float, [windows, context, vocabulary].
        labels: int64 [windows, context].
    """
    losses = cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(len(labels), -1)


def window_sums(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Nats, predicted tokens and payload bytes of each window, float32 [windows, 3].

    For the Trainer's `preprocess_logits_for_metrics`: a window's sums are all that leaves the device, and all
    that has to be gathered.
    """
    if isinstance(logits, tuple):
        logits = logits[0]
    nats, targets = token_nats(logits, labels), labels[:, 1:]
    predicted = targets != IGNORED
    payload = predicted & (targets < vocabulary.PAD)
    return torch.stack([nats.sum(1), predicted.sum(1), payload.sum(1)], dim=1)


class SumsOverBatches:
    """The Trainer's `compute_metrics`: adds up `window_sums` over the batches of an evaluation, in float64."""

    def __init__(self) -> None:
        self._sums = np.zeros(3)

    def __call__(self, prediction: EvalPrediction, compute_result: bool = True) -> dict[str, float]:
        self._sums += np.asarray(prediction.predictions.cpu(), np.float64).sum(axis=0)
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
    """What a stream costs, by who sent it. Nats of payload tokens and of framing, and what they count."""

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
        return self.server_bytes + self.client_bytes

    @property
    def nats(self) -> float:
        return self.server_nats + self.client_nats + self.framing_nats

    @property
    def overall(self) -> float:
        """Bits per payload byte, all tokens."""
        return bits_per_byte(self.nats, self.payload_bytes)

    @property
    def server(self) -> float:
        """Bits per byte of the server's payload."""
        return bits_per_byte(self.server_nats, self.server_bytes) if self.server_bytes else math.nan

    @property
    def client(self) -> float:
        """Bits per byte of the client's payload."""
        return bits_per_byte(self.client_nats, self.client_bytes) if self.client_bytes else math.nan

    @property
    def framing(self) -> float:
        """The part of `overall` that direction and delay tokens cost, bits per payload byte."""
        return bits_per_byte(self.framing_nats, self.payload_bytes)


SERVER, CLIENT, FRAMING = range(3)


def kinds_of(ids: np.ndarray) -> np.ndarray:
    """uint8 [n]: whether each of a row's ids is server payload (0), client payload (1) or framing (2)."""
    kinds = np.full(len(ids), FRAMING, np.uint8)
    speakers = np.flatnonzero((ids == vocabulary.CLIENT) | (ids == vocabulary.SERVER))
    spoken = np.diff(np.append(speakers, len(ids)))
    begin = speakers[0] if len(speakers) else len(ids)
    kinds[begin:] = np.repeat(np.where(ids[speakers] == vocabulary.CLIENT, CLIENT, SERVER), spoken)
    kinds[ids >= vocabulary.PAD] = FRAMING
    return kinds


class Prediction(NamedTuple):
    """What a model made of the tokens [scored, end) of a window, n of them."""

    window: WindowBounds
    ids: np.ndarray
    """uint16 [n], the tokens."""
    nats: np.ndarray
    """float32 [n], what each costs."""
    logits: torch.Tensor
    """[n, vocabulary], what was predicted for each, on the model's device."""


@torch.inference_mode()
def predictions(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    spans: Sequence[Span],
    context: int,
    progress: Progress = silent,
) -> Iterator[Prediction]:
    """Predict each token of the spans once, by the protocol, window after window on the model's device."""
    scoring = ScoringWindows(rows, spans, context)
    model.eval()
    batch = batch_size(model.device.type, context)
    with progress("Scoring", sum(map(len, spans))) as advance:
        for first in range(0, len(scoring), batch):
            chosen = range(first, min(first + batch, len(scoring)))
            inputs = collate([scoring[index] for index in chosen])
            labels = inputs["labels"].to(model.device)
            logits = model(input_ids=inputs["input_ids"].to(model.device), use_cache=False).logits
            nats = token_nats(logits, labels).cpu().numpy()
            for place, index in enumerate(chosen):
                window = row, begin, scored, end = scoring.windows[index]
                predicted = slice(scored - begin - 1, end - begin - 1)
                yield Prediction(window, rows[row][scored:end], nats[place, predicted], logits[place, predicted])
                advance(end - scored)


class ScoreTally:
    """Adds up what predictions cost, row by row and in float64."""

    def __init__(self, rows: Sequence[np.ndarray]) -> None:
        self._rows = rows
        self._nats, self._counts = np.zeros((len(rows), 3)), np.zeros((len(rows), 3), np.int64)
        self._kinds_row, self._kinds = None, None

    def add(self, prediction: Prediction) -> None:
        """Take one more."""
        row, _, scored, end = prediction.window
        if row != self._kinds_row:
            self._kinds_row, self._kinds = row, kinds_of(self._rows[row])
        kinds = self._kinds[scored:end]
        self._nats[row] += np.bincount(kinds, prediction.nats, minlength=3)
        self._counts[row] += np.bincount(kinds, minlength=3)

    def report(self) -> list[Score]:
        """The score of each row."""
        return [Score(*nats, *counts) for nats, counts in zip(self._nats.tolist(), self._counts.tolist(), strict=True)]


def score(
    model: PreTrainedModel,
    rows: Sequence[np.ndarray],
    spans: Sequence[Span],
    context: int,
    progress: Progress = silent,
) -> Score:
    """Score the spans by the protocol, in float32 on the model's device."""
    tally = ScoreTally(rows)
    for prediction in predictions(model, rows, spans, context, progress):
        tally.add(prediction)
    return sum(tally.report(), start=Score(0, 0, 0, 0, 0, 0))


def protocol(context: int) -> str:
    """The protocol in words, to stand beside a figure."""
    return f"context {context:,}, stride {context // 2:,}, framing included"


def payload_bytes(rows: Sequence[np.ndarray], spans: Sequence[Span]) -> int:
    """The payload bytes in the spans."""
    return sum(int((rows[span.row][span.begin : span.end] < vocabulary.PAD).sum()) for span in spans)


def stream_of(rows: Sequence[np.ndarray], spans: Sequence[Span]) -> bytes:
    """The stream that compressors get: one byte a token, the spans end to end."""
    return b"".join(rows[span.row][span.begin : span.end].astype(np.uint8).tobytes() for span in spans)
