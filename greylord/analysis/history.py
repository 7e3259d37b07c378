"""The history of a run: ours, also of a run that has not ended, and the original program's.

The original tells nats per token by epoch, we tell bits by step. The lower a figure the better.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greylord import runs
from greylord.errors import GreylordError, UsageError
from greylord.files import json_text
from greylord.json_fields import is_number

__all__ = ["Course", "Point", "read_course"]


@dataclass(frozen=True)
class Point:
    """One evaluation. Training is that since the evaluation before."""

    at: int
    validation: float
    training: float | None
    learning_rate: float | None


@dataclass(frozen=True)
class Course:
    """A run as its history tells it."""

    name: str
    source: str
    clock: str
    """What the `at` of points counts: "step" or "epoch"."""
    unit: str
    """Of validation."""
    training_unit: str
    label_smoothing: float
    """Share of a uniform target in the figures of training. With any they do not compare with those of validation."""
    going: bool
    """The run has not ended."""
    planned: int | None
    """Steps that a run which has not ended is to have."""
    points: list[Point]
    left_out: int
    """Entries without a figure of validation."""
    diverged: bool
    """Some of them say that it was no number any more."""


def read_course(path: Path) -> Course:
    """Read the history in a run's folder, or a history file.

    Raises:
        UsageError: there is no history, or it is none that we know.
        GreylordError: it holds no evaluation.
    """
    # models/latest is a file as well: it names a folder.
    file = path if path.is_file() and path.name != runs.LATEST else _history_of(runs.locate(path))
    going = file.suffix == ".jsonl"
    try:
        text = json_text(file)
        # The last line of a journal may be half written.
        content = [json.loads(line) for line in text.split("\n")[:-1]] if going else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{str(file)!r} is no training history: it is no JSON ({error}).") from error
    if isinstance(content, Mapping) and isinstance(content.get("val_losses"), list):
        clock, unit, training_unit = "epoch", "nats per token", "nats per token"
        rows, smoothing = _rows_of_original(content), 0.0
    elif isinstance(content, list) and all(isinstance(row, Mapping) for row in content):
        clock, unit, training_unit = "step", "bits per byte", "bits per token"
        keys = ("step", "bits_per_byte", "train_bits_per_token", "learning_rate")
        rows = [tuple(row.get(key) for key in keys) for row in content]
        smoothing = max((_number(row.get("label_smoothing")) or 0.0 for row in content), default=0.0)
    else:
        raise UsageError(f"{str(file)!r} is no training history: it has neither evaluations nor val_losses.")
    points = [
        Point(number if _number(at) is None else int(at), figure, _figure(training), _number(rate))
        for number, (at, validation, training, rate) in enumerate(rows, 1)
        if (figure := _figure(validation)) is not None
    ]
    if not points:
        raise GreylordError(f"{str(file)!r} holds no evaluation {'yet; wait for the first' if going else 'at all'}.")
    folder = file.resolve().parent
    return Course(
        name=folder.name if file.name in (runs.HISTORY, runs.JOURNAL) else file.stem,
        source=str(file),
        clock=clock,
        unit=unit,
        training_unit=training_unit + (f" with label smoothing {smoothing:g}" if smoothing else ""),
        label_smoothing=smoothing,
        going=going,
        planned=_planned_steps(folder) if going else None,
        points=points,
        left_out=len(rows) - len(points),
        diverged=any(isinstance(row[1], float) and not math.isfinite(row[1]) for row in rows),
    )


def _history_of(run: Path) -> Path:
    for name in (runs.HISTORY, runs.JOURNAL):
        if (run / name).is_file():
            return run / name
    raise UsageError(f"{str(run)!r} has no {runs.HISTORY}, and no evaluation yet; give a run's folder or its history.")


def _planned_steps(run: Path) -> int | None:
    plan = (runs.read_json(run / runs.CONFIG_NAME) or {}).get("plan")
    steps = plan.get("max_steps") if isinstance(plan, Mapping) else None
    return steps if isinstance(steps, int) else None


def _rows_of_original(content: Mapping[str, Any]) -> list[tuple]:
    """Epoch, validation, training and rate of each of `val_losses`, whatever the lengths of the other lists."""
    validation = content["val_losses"]
    columns = [content.get(key) for key in ("epochs", "train_losses", "learning_rates")]
    missing = [None] * len(validation)
    epochs, training, rates = ([*column, *missing] if isinstance(column, list) else missing for column in columns)
    return list(zip(epochs, validation, training, rates, strict=False))


def _number(value: object) -> float | None:
    return value if is_number(value) else None


def _figure(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None
