"""Baselines on the same bytes: compressors, and an order-2 model."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from greylord.corpus.windows import Span
from greylord.evaluation.bits_per_byte import bits_per_byte
from greylord.progress import Progress, silent
from greylord.stream import vocabulary

__all__ = ["COMPRESSORS", "measure_compressors", "measure_order_2", "measure_primed_lzma"]

COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "zlib -9": lambda stream: zlib.compress(stream, 9),
    "bz2 -9": lambda stream: bz2.compress(stream, 9),
    "lzma -9e": lambda stream: lzma.compress(stream, preset=9 | lzma.PRESET_EXTREME),
}


def measure_compressors(stream: bytes, payload_bytes: int, progress: Progress = silent) -> dict[str, float]:
    """Compress a stream with each compressor.

    Args:
        stream: One byte for each token.
        payload_bytes: Number of its bytes that are payload.
        progress: Counts compressors.

    Returns:
        Bits per payload byte by the compressor's name.
    """
    figures = {}
    with progress("Compressing", len(COMPRESSORS)) as advance:
        for name, compress in COMPRESSORS.items():
            figures[name] = 8 * len(compress(stream)) / payload_bytes
            advance(1)
    return figures


PRIMING_BYTES = 16 * 10**6
"""Bytes at the end of the training data that prime lzma. They fit into its window of 64 MiB; more takes minutes."""


def measure_primed_lzma(
    training: Sequence[np.ndarray], stream: bytes, payload_bytes: int, progress: Progress = silent
) -> float:
    """Measure the bits per payload byte of a stream compressed after training data.

    The compressor is lzma -9e. Its bits for the training data alone are subtracted. A compressor learns this way: it
    finds in its window the text that the stream repeats.

    Args:
        training: Ids of recordings, uint16 each. The last `PRIMING_BYTES` are read.
        stream: One byte for each token.
        payload_bytes: Number of its bytes that are payload.
        progress: Counts passes.
    """
    compress = COMPRESSORS["lzma -9e"]
    parts: list[bytes] = []
    size = 0
    for row in reversed(training):
        parts.append(row[1:].astype(np.uint8).tobytes())
        size += len(parts[-1])
        if size >= PRIMING_BYTES:
            break
    before = b"".join(reversed(parts))[-PRIMING_BYTES:]
    with progress("Compressing after training data", 2) as advance:
        alone = len(compress(before))
        advance(1)
        together = len(compress(before + stream))
        advance(1)
    return 8 * (together - alone) / payload_bytes


def measure_order_2(
    training: Sequence[np.ndarray],
    rows: Sequence[np.ndarray],
    spans: Sequence[Span],
    payload_bytes: int,
    progress: Progress = silent,
) -> float:
    """Measure the bits per payload byte of an order-2 model counted on training data.

    Each order's estimate is smoothed with that of the order below, p(x|ab) = (n(abx) + p(x|b)) / (n(ab) + 1), and the
    lowest with the uniform distribution (MacKay and Peto, "A hierarchical Dirichlet language model", 1995).

    Args:
        training: Ids of recordings to count, uint16 each.
        rows: Ids of recordings to predict.
        spans: Which tokens of the rows to predict.
        payload_bytes: Number of these tokens that are payload.
        progress: Counts training tokens.
    """
    size = vocabulary.VOCAB_SIZE
    triples = np.zeros((size, size, size), np.int64)
    with progress("Counting order 2", sum(map(len, training))) as advance:
        for row in training:
            np.add.at(triples, _triples(row, 1, len(row)), 1)
            advance(len(row))
    pairs = triples.sum(axis=0)
    after_two, after_one, singles = triples.sum(axis=2), pairs.sum(axis=1), pairs.sum(axis=0)
    nats = 0.0
    for span in spans:
        first, second, token = _triples(rows[span.row], span.begin, span.end)
        p = (singles[token] + 1 / size) / (singles.sum() + 1)
        p = (pairs[second, token] + p) / (after_one[second] + 1)
        p = (triples[first, second, token] + p) / (after_two[first, second] + 1)
        nats -= float(np.log(p).sum())
    return bits_per_byte(nats, payload_bytes)


def _triples(row: np.ndarray, begin: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the tokens [begin, end) of a row, each with the two before it.

    Returns:
        int64 [end - begin] each: the token two before, the token before, and the token.
    """
    padded = np.concatenate([[vocabulary.PAD], row[max(0, begin - 2) : end]]).astype(np.int64)
    padded = padded[len(padded) - (end - begin) - 2 :]
    return padded[:-2], padded[1:-1], padded[2:]
