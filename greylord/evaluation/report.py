"""Everything that `greylord evaluate --deep` finds out about a model, on a bounded part of what it has not read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from transformers import GPT2LMHeadModel

from greylord.corpus.split import time_groups
from greylord.corpus.windows import sample_spans
from greylord.evaluation import baselines, bits_per_byte, context_length, generated_play, pictures
from greylord.evaluation.bits_per_byte import Score, ScoreTally, predictions
from greylord.evaluation.calibration import Calibration, DelayTally
from greylord.evaluation.context_length import Positions
from greylord.evaluation.generated_play import Health
from greylord.evaluation.intervals import Interval, interval_of
from greylord.evaluation.next_command import NextCommand, next_command
from greylord.evaluation.unseen import Unseen
from greylord.files import new_folder
from greylord.progress import Progress, silent

__all__ = ["REPORT", "DeepReport", "evaluate", "is_report", "write"]

REPORT = "report.json"
KIND = "greylord evaluate --deep"
"""What report.json gives as its kind."""
CONTEXT_SPANS = 10
"""Spans, of the forty that are scored, that contexts are compared on: four passes over all would take too long."""


@dataclass(frozen=True)
class DeepReport:
    """The figures. None where there is nothing to count."""

    model: str
    data: str
    protocol: str
    payload_bytes: int
    bits_per_byte: Mapping[str, float]
    """Overall, server, client and framing."""
    interval: Interval | None
    """Of the overall figure, 95 %."""
    compressors: Mapping[str, float]
    commands: NextCommand | None
    delays: Calibration | None
    positions: Sequence[Positions]
    contexts: Mapping[int, float]
    """Overall bits per byte of the same spans, by the length of the context."""
    health: Mapping[str, Health]
    """Of "this model", and of "real play" from the same places."""


def evaluate(
    model: GPT2LMHeadModel, name: str, unseen: Unseen, training: Sequence[np.ndarray], progress: Progress = silent
) -> DeepReport:
    """Find everything out: a few minutes on two CPU cores for a default model.

    Args:
        model: on a CPU or a GPU.
        name: of the model.
        unseen: what it has not read; half a megabyte of it is scored, as evaluations during training do.
        training: rows that it has read, for what learns by counting; none leaves these baselines out.
        progress: shown part by part.
    """
    rows, context = unseen.rows, model.config.n_positions
    spans = sample_spans(rows)
    tally, delays = ScoreTally(rows), DelayTally()
    for prediction in predictions(model, rows, spans, context, progress):
        tally.add(prediction)
        delays.add(prediction)
    scores = tally.report()
    score = sum(scores, start=Score(0, 0, 0, 0, 0, 0))
    stream = bits_per_byte.stream_of(rows, spans)
    compressors = baselines.compressed(stream, score.payload_bytes, progress)
    if training:
        compressors["lzma, primed"] = baselines.primed(training, stream, score.payload_bytes, progress)
    few = spans[:: -(-len(spans) // CONTEXT_SPANS)]
    said, real = generated_play.stretches(model, rows, progress)
    return DeepReport(
        model=name,
        data=unseen.description,
        protocol=bits_per_byte.protocol(context),
        payload_bytes=score.payload_bytes,
        bits_per_byte={part: getattr(score, part) for part in ("overall", "server", "client", "framing")},
        interval=interval_of(scores, time_groups(unseen.starts)),
        compressors=compressors,
        commands=next_command(model, rows, training, progress),
        delays=delays.report(),
        positions=context_length.by_position(model, rows, few, context, progress),
        contexts=context_length.by_context(model, rows, few, context, progress),
        health={"this model": generated_play.health_of(said), "real play": generated_play.health_of(real)},
    )


def is_report(folder: Path) -> bool:
    """Whether a folder is the report of such an evaluation."""
    try:
        return json.loads((folder / REPORT).read_text(encoding="utf-8"))["kind"] == KIND
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write(report: DeepReport, folder: Path) -> None:
    """Write report.json and the pictures, in place of an older report."""
    with new_folder(folder) as place:
        text = json.dumps({"kind": KIND, **asdict(report)}, indent=1, ensure_ascii=False)
        (place / REPORT).write_text(text + "\n", encoding="utf-8")
        (place / "context.png").write_bytes(pictures.context(report.positions, report.contexts))
        if report.commands:
            (place / "commands.png").write_bytes(pictures.commands(report.commands))
        if report.delays:
            (place / "delays.png").write_bytes(pictures.delays(report.delays))
