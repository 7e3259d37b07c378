"""Bits per byte as a metric of Hugging Face `evaluate`.

`evaluate.load` needs only this file. A copy of it works where greylord is not installed.
"""

import math

import datasets
import evaluate

try:
    from greylord.evaluation.bits_per_byte import bits_per_byte
except ImportError:

    def bits_per_byte(nats: float, payload_bytes: int) -> float:
        """Convert the nats of a stream to bits per payload byte, as greylord does."""
        return nats / math.log(2) / payload_bytes


_DESCRIPTION = """
Bits per byte of a language model with any tokenizer: nats of all tokens / ln 2 / payload bytes. Lower is better. A
model that knows nothing needs more than 8. The figures can be compared with those of compressors.
"""
_INPUTS = """
Args:
    nats: Sum of the tokens' negative log-likelihoods for each window or recording, floats.
    payload_bytes: Number of bytes that these tokens stand for, integers. Framing tokens add nats but no bytes.
Returns:
    bits_per_byte: Total nats / ln 2 / total payload bytes.
    nats: Total nats.
    payload_bytes: Total payload bytes.
Examples:
    >>> metric = evaluate.load("greylord/metrics/bits_per_byte")
    >>> metric.add_batch(nats=[100.0, 250.0], payload_bytes=[200, 300])
    >>> metric.compute()["bits_per_byte"]
    1.0098865286222745
"""


class BitsPerByte(evaluate.Metric):
    """Sums nats and payload bytes over batches, and divides once.

    A mean of means would be wrong.
    """

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
