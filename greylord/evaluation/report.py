"""The report of a deep evaluation: every figure about a model.

The figures are measured on a bounded part of unseen recordings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from transformers import GPT2LMHeadModel

from greylord import plots
from greylord.corpus.split import time_groups
from greylord.corpus.windows import sample_spans
from greylord.evaluation import baselines, bits_per_byte, context_length, generated_play
from greylord.evaluation.bits_per_byte import NOTHING, ScoreTally, predict
from greylord.evaluation.calibration import Calibration, CalibrationTally
from greylord.evaluation.context_length import PositionRange
from greylord.evaluation.generated_play import Health
from greylord.evaluation.intervals import Interval, bootstrap_interval
from greylord.evaluation.next_command import NextCommandReport, measure_next_command
from greylord.evaluation.unseen import Unseen
from greylord.files import new_folder
from greylord.progress import Progress, silent

__all__ = ["PRIMED", "REPORT", "DeepReport", "is_report", "make_report", "write_report"]

REPORT = "report.json"
KIND = "greylord evaluate --deep"
"""The `kind` in report.json."""
CONTEXT_SPANS = 10
"""Spans, of the forty that are scored, for comparing context lengths: four passes over all would take too long."""
PRIMED = "lzma, primed"
"""lzma that has read training recordings before the bytes to compress."""
KINDS = {"top 1": "top_1", "top 5": "top_5", "top 1,\nby verb": "macro_top_1", "top 5,\nby verb": "macro_top_5"}
"""Fields of `HitRates` by their labels in the picture."""


@dataclass(frozen=True)
class DeepReport:
    """The figures of a deep evaluation; None where there is nothing to count."""

    model: str
    data: str
    protocol: str
    payload_bytes: int
    bits_per_byte: Mapping[str, float]
    """Overall, server, client and framing."""
    interval: Interval | None
    """Confidence interval of the overall figure."""
    compressors: Mapping[str, float]
    commands: NextCommandReport | None
    delays: Calibration | None
    positions: Sequence[PositionRange]
    contexts: Mapping[int, float]
    """Overall bits per byte of the same spans, by the length of the context in tokens."""
    health: Mapping[str, Health]
    """Keys are "this model", and "real play" from the same places."""


def make_report(
    model: GPT2LMHeadModel, name: str, unseen: Unseen, training: Sequence[np.ndarray], progress: Progress = silent
) -> DeepReport:
    """Measure every figure. It takes minutes on two CPU cores for a default model.

    Args:
        model: On a CPU or a GPU.
        name: The model's name, for the report.
        unseen: Recordings to score. Half a megabyte of them is sampled, as in evaluations during training.
        training: Ids of training recordings, uint16 each, for baselines that learn. Without any, these are left out.
        progress: Shows the progress of each part.
    """
    rows, context = unseen.rows, model.config.n_positions
    spans = sample_spans(rows)
    tally, delays = ScoreTally(rows), CalibrationTally()
    for prediction in predict(model, rows, spans, context, progress):
        tally.add(prediction)
        delays.add(prediction)
    scores = tally.report()
    score = sum(scores, start=NOTHING)
    stream = bits_per_byte.stream_of(rows, spans)
    compressors = baselines.measure_compressors(stream, score.payload_bytes, progress)
    if training:
        compressors[PRIMED] = baselines.measure_primed_lzma(training, stream, score.payload_bytes, progress)
    few = spans[:: -(-len(spans) // CONTEXT_SPANS)]
    generated, real = generated_play.sample_stretches(model, rows, progress)
    return DeepReport(
        model=name,
        data=unseen.description,
        protocol=bits_per_byte.protocol(context),
        payload_bytes=score.payload_bytes,
        bits_per_byte={
            "overall": score.bits_per_byte,
            "server": score.server,
            "client": score.client,
            "framing": score.framing,
        },
        interval=bootstrap_interval(scores, time_groups(unseen.starts)),
        compressors=compressors,
        commands=measure_next_command(model, rows, training, progress),
        delays=delays.report(),
        positions=context_length.score_positions(model, rows, few, context, progress),
        contexts=context_length.score_contexts(model, rows, few, context, progress),
        health={
            "this model": generated_play.measure_health(generated),
            "real play": generated_play.measure_health(real),
        },
    )


def is_report(folder: Path) -> bool:
    """Check whether a folder holds the report of a deep evaluation."""
    try:
        return json.loads((folder / REPORT).read_text(encoding="utf-8"))["kind"] == KIND
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_report(report: DeepReport, folder: Path) -> None:
    """Write report.json and the pictures, in place of an older report."""
    with new_folder(folder) as place:
        text = json.dumps({"kind": KIND, **asdict(report)}, indent=1, ensure_ascii=False)
        (place / REPORT).write_text(text + "\n", encoding="utf-8")
        positions = {
            f"{each.first}-{each.last}" if each.last > each.first else str(each.first): each.bits_per_byte
            for each in report.positions
        }
        (place / "context.png").write_bytes(plots.context_lengths(positions, report.contexts))
        if commands := report.commands:
            shares = {
                name: {label: getattr(rates, field) for label, field in KINDS.items()}
                for name, rates in commands.hits.items()
            }
            (place / "commands.png").write_bytes(plots.next_commands(shares, commands.turns))
        if calibration := report.delays:
            delays = {
                name: (each.expected_calibration_error, [(b.turns, b.predicted, b.observed) for b in each.bins])
                for name, each in calibration.delays.items()
            }
            (place / "delays.png").write_bytes(plots.delay_calibration(delays, calibration.turns))
