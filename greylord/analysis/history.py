"""Read the history of a run, finished or not.

The formats are greylord's own and that of the original program. Greylord records bits per byte by step, the original
program nats per token by epoch. Lower is better in both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from greylord import model_folders, runs
from greylord.errors import GreylordError, UsageError
from greylord.files import json_text
from greylord.json_fields import is_number
from greylord.workspace import HERE, Workspace

__all__ = ["CurvePoint", "RunHistory", "read_history"]


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation."""

    at: int
    """Step or epoch."""
    validation: float
    training: float | None
    """Mean since the evaluation before."""
    learning_rate: float | None


@dataclass(frozen=True)
class RunHistory:
    """The evaluations of a run, and what their figures mean."""

    name: str
    source: str
    """Path of the file."""
    clock: str
    """Unit of `CurvePoint.at`: "step" or "epoch"."""
    unit: str
    """Unit of `CurvePoint.validation`."""
    training_unit: str
    """Unit of `CurvePoint.training`."""
    label_smoothing: float
    """Label smoothing in the training loss. If above 0, training and validation figures do not compare."""
    going: bool
    """The run has not finished."""
    planned: int | None
    """Planned steps of a run that has not finished; None if unknown."""
    points: list[CurvePoint]
    left_out: int
    """Entries without a validation figure."""
    diverged: bool
    """A validation figure is NaN or infinite."""


class _Row(NamedTuple):
    """One evaluation as the file has it: values of any type."""

    at: object
    validation: object
    training: object
    learning_rate: object


def read_history(path: Path, *, workspace: Workspace = HERE) -> RunHistory:
    """Read the history of a run.

    Args:
        path: The folder of a run, models/latest, or a history file.

    Raises:
        UsageError: There is no history, or it has no known format.
        GreylordError: It holds no evaluation.
    """
    # models/latest is a file too, but names a folder.
    is_history = path.is_file() and path.name != runs.LATEST
    file = path if is_history else _history_file(model_folders.locate(path, workspace=workspace))
    is_journal = file.suffix == ".jsonl"
    try:
        text = json_text(file)
        # The last line of a journal may be incomplete.
        content = [json.loads(line) for line in text.split("\n")[:-1]] if is_journal else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{str(file)!r} is not a training history: it is not JSON ({error}).") from error
    if isinstance(content, Mapping) and isinstance(content.get("val_losses"), list):
        clock, unit, training_unit = "epoch", "nats per token", "nats per token"
        rows, smoothing = _rows_of_original(content), 0.0
    elif isinstance(content, list) and all(isinstance(row, Mapping) for row in content):
        clock, unit, training_unit = "step", "bits per byte", "bits per token"
        keys = ("step", "bits_per_byte", "train_bits_per_token", "learning_rate")
        rows = [_Row(*(row.get(key) for key in keys)) for row in content]
        smoothing = max((_number(row.get("label_smoothing")) or 0.0 for row in content), default=0.0)
    else:
        raise UsageError(f"{str(file)!r} is not a training history: it has neither evaluations nor val_losses.")
    points = []
    for number, row in enumerate(rows, 1):
        at, validation = _number(row.at), _positive(row.validation)
        if validation is not None:
            point = CurvePoint(
                number if at is None else int(at), validation, _positive(row.training), _number(row.learning_rate)
            )
            points.append(point)
    if not points:
        raise GreylordError(
            f"{str(file)!r} holds no evaluation{' yet; wait for the first' if is_journal else ' at all'}."
        )
    folder = file.resolve().parent
    return RunHistory(
        name=folder.name if file.name in (runs.HISTORY, runs.JOURNAL) else file.stem,
        source=str(file),
        clock=clock,
        unit=unit,
        training_unit=training_unit + (f" with label smoothing {smoothing:g}" if smoothing else ""),
        label_smoothing=smoothing,
        going=is_journal,
        planned=_planned_steps(folder) if is_journal else None,
        points=points,
        left_out=len(rows) - len(points),
        diverged=any(isinstance(row.validation, float) and not math.isfinite(row.validation) for row in rows),
    )


def _history_file(run: Path) -> Path:
    for name in (runs.HISTORY, runs.JOURNAL):
        if (run / name).is_file():
            return run / name
    raise UsageError(
        f"{str(run)!r} has no {runs.HISTORY}, and no evaluation yet; give the folder of a run, or its history."
    )


def _planned_steps(run: Path) -> int | None:
    plan = (runs.read_json(run / runs.CONFIG_NAME) or {}).get("plan")
    steps = plan.get("max_steps") if isinstance(plan, Mapping) else None
    return steps if isinstance(steps, int) else None


def _rows_of_original(content: Mapping[str, Any]) -> list[_Row]:
    """Return one row for each of `val_losses`.

    The other lists may be missing, shorter or longer.
    """
    validation = content["val_losses"]
    columns = [content.get(key) for key in ("epochs", "train_losses", "learning_rates")]
    missing = [None] * len(validation)
    epochs, training, rates = ([*column, *missing] if isinstance(column, list) else missing for column in columns)
    return [_Row(*values) for values in zip(epochs, validation, training, rates, strict=False)]


def _number(value: object) -> float | None:
    """Return a finite number from JSON, and None for anything else."""
    return cast(float, value) if is_number(value) else None


def _positive(value: object) -> float | None:
    """Return a loss: a finite number above 0, and None for anything else."""
    number = _number(value)
    return number if number is not None and number > 0 else None
