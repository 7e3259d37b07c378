"""The table of `make bench`.

Usage: python -m scripts.benchmarks DATASET [SECONDS]
"""

from __future__ import annotations

import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.table import Table

from greylord.cli import console
from greylord.corpus.build import build_corpus
from greylord.corpus.windows import Rows, sample_spans
from greylord.evaluation import baselines
from greylord.evaluation.bits_per_byte import payload_bytes, stream_of
from greylord.training.hardware import choose_device, keep_freed_memory
from scripts.benchmarks.corpus import corpus_speeds
from scripts.benchmarks.generation import generation_speeds
from scripts.benchmarks.startup import first_byte_seconds
from scripts.benchmarks.training import recipes, training_speeds

CONTEXTS = (256, 1_024)


def main(dataset: Path, seconds: float) -> None:
    """Print one table: corpus, training, bits per byte, and generation.

    Args:
        dataset: A folder of recordings.
        seconds: Training time for bits per byte.
    """
    console.quieten()
    device = choose_device(cpu=False)
    console.say("machine", f"{platform.processor() or platform.machine()}; {device.reason}")
    console.say("torch", torch.__version__)
    if why := keep_freed_memory(device.type):
        console.say("memory", why)
    table = console.table("", "greylord", "beside", "", "ratio")
    speeds = corpus_speeds(dataset)
    _row(table, "corpus, MB/s", speeds["greylord"], "its tokenizer", speeds["tokenizer"], ".1f")
    corpus = build_corpus(dataset).folder
    for context in CONTEXTS:
        speeds = training_speeds(corpus, context)
        for other in ("bare loop", "naive"):
            _row(table, f"training at {context:,}, tokens/s", speeds["greylord"], other, speeds[other], ",.0f")
    validation = Rows(corpus, "validation")
    spans = sample_spans(validation)
    model, tokens, figures = recipes(corpus, seconds)
    figures |= baselines.measure_compressors(stream_of(validation, spans), payload_bytes(validation, spans))
    own = figures.pop("greylord")
    for other, figure in figures.items():
        _row(table, f"bits per byte after {seconds:g} s", [own], other, [figure], ".3f")
    model = model.cpu().eval()
    speeds = generation_speeds(model, tokens)
    for other in ("without drafts", "model.generate"):
        _row(table, "generation, bytes/s", speeds["greylord"], other, speeds[other], ",.0f")
    times = first_byte_seconds(model)
    _row(table, "first byte generated, s", times["greylord"], "stock import", times["stock import"], ".2f")
    console.out.print()
    console.out.print(table)


def _row(table: Table, label: str, own: Sequence[float], other: str, figures: Sequence[float], style: str) -> None:
    """Add the medians of all rounds, and the median of each round's ratio.

    The machine's load changes between rounds.

    Args:
        table: The table that gets the row.
        label: What was measured, with its unit.
        own: greylord's figures, one for each round.
        other: Name of the way to compare with.
        figures: Its figures, one for each round.
        style: How figures are printed, as ".2f".
    """
    ratio = statistics.median(mine / theirs for mine, theirs in zip(own, figures, strict=True))
    table.add_row(
        label, f"{statistics.median(own):{style}}", f"{statistics.median(figures):{style}}", other, f"{ratio:.2f}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 120)
