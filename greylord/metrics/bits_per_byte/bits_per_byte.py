"""Bits per byte as a metric of Hugging Face `evaluate`.

This file is all that `evaluate.load` needs: it also works copied to where greylord is not installed.
"""

import math

import datasets
import evaluate

try:
    from greylord.evaluation.bits_per_byte import bits_per_byte
except ImportError:

    def bits_per_byte(nats: float, payload_bytes: int) -> float:
        """Bits per byte of a stream that costs `nats`. A test holds it to greylord's own."""
        return nats / math.log(2) / payload_bytes


_DESCRIPTION = """
What a byte costs a language model in bits, whatever its tokens are: the nats of all tokens / ln 2 / payload bytes.
The lower the better; a model that knows nothing needs more than 8, and figures compare with those of compressors.
"""
_INPUTS = """
Args:
    nats: what the tokens of each window or recording cost, negative log-likelihoods added up; floats.
    payload_bytes: how many bytes these tokens stand for; tokens that frame the bytes cost nats, but count as no bytes.
Returns:
    bits_per_byte: of all together.
    nats: their sum.
    payload_bytes: their sum.
Examples:
    >>> metric = evaluate.load("greylord/metrics/bits_per_byte")
    >>> metric.add_batch(nats=[100.0, 250.0], payload_bytes=[200, 300])
    >>> metric.compute()["bits_per_byte"]
    1.0098865286222745
"""


class BitsPerByte(evaluate.Metric):
    """Adds up nats and payload bytes over batches, and divides once: no mean of means."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"nats": datasets.Value("float64"), "payload_bytes": datasets.Value("int64")}),
        )

    def _compute(self, nats: list[float], payload_bytes: list[int]) -> dict[str, float]:
        total, size = math.fsum(nats), sum(payload_bytes)
        return {"bits_per_byte": bits_per_byte(total, size), "nats": total, "payload_bytes": size}
