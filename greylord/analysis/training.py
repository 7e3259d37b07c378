"""Judge a run by its history: did it overfit, and what should be tried next?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from greylord import plots
from greylord.analysis.history import CurvePoint, RunHistory, read_history
from greylord.units import percent
from greylord.workspace import HERE, Workspace

__all__ = ["DEGREES", "PATIENCES", "EarlyStop", "TrainingReport", "Verdict", "analyze", "draw"]

PATIENCES = (3, 5, 10)
"""Evaluations without a new best before early stopping ends a run."""
DEGREES = {"none": 0.01, "mild": 0.05, "moderate": 0.15, "severe": math.inf}
"""Degrees of overfitting, with the largest rise of validation over its best in each, as a share of the best."""
TAIL = 3
"""Evaluations at the end, after the best, whose lowest figure gives the rise. The last one may be an outlier."""
JUMP = 0.05
"""A rise of validation by this share in one evaluation, while training rises too, means too high a learning rate."""
LATE = 0.75
GAIN = 0.01
"""A run whose best fell by this share after `LATE` of its steps would gain from more steps."""
GAP = 0.1
"""With training below validation by this share, recordings are the limit and not the size of the model."""


@dataclass(frozen=True)
class Verdict:
    """The judgement of a run: did it overfit?"""

    overfitting: str | None
    """A key of `DEGREES`; None if the figures cannot tell."""
    rise: float | None
    """Rise of validation from its best to the end of the run, as a share of the best."""
    training_change: float | None
    """Change of training meanwhile, as a share."""
    reason: str


@dataclass(frozen=True)
class EarlyStop:
    """The result that early stopping would have had."""

    patience: int
    """Evaluations without a new best before the run stops."""
    at: int | None
    """Step or epoch at which the run would have stopped; None if it would not have."""
    kept: float
    """The best validation figure up to then."""
    kept_at: int
    saved: int
    """Steps or epochs after the stop."""


@dataclass(frozen=True)
class TrainingReport:
    """The analysis of a run."""

    course: RunHistory
    best: CurvePoint
    verdict: Verdict
    stops: list[EarlyStop]
    """One for each of `PATIENCES`."""
    advice: list[str]
    """Sentences. They name settings by their fields, as `max_steps`."""


def analyze(path: Path, *, workspace: Workspace = HERE) -> TrainingReport:
    """Judge a run.

    Args:
        path: The folder of a run, models/latest, or a history file.

    Raises:
        UsageError: There is no history, or it has no known format.
        GreylordError: It holds no evaluation.
    """
    history = read_history(path, workspace=workspace)
    best = min(history.points, key=lambda point: point.validation)
    verdict = _judge(history.points, best)
    stops = [_stop_early(history.points, patience) for patience in PATIENCES]
    return TrainingReport(history, best, verdict, stops, list(_advise(history, best, verdict)))


def _judge(points: Sequence[CurvePoint], best: CurvePoint) -> Verdict:
    if len(points) == 1:
        return Verdict(None, None, None, "one evaluation cannot tell")
    tail = points[points.index(best) + 1 :][-TAIL:]
    if not tail:
        return Verdict("none", 0.0, None, "the last evaluation is the best")
    rise = min(point.validation for point in tail) / best.validation - 1
    training = [point.training for point in tail if point.training is not None]
    change = min(training) / best.training - 1 if training and best.training is not None else None
    degree = next(name for name, limit in DEGREES.items() if rise < limit)
    rose = f"validation ended {percent(rise)} over its best"
    if degree == "none":
        return Verdict(degree, rise, change, rose)
    if change is None:
        return Verdict(None, rise, None, f"{rose}; without training figures this may be instability too")
    if change >= 0:
        return Verdict("none", rise, change, f"{rose}, but training rose too, by {percent(change)}: instability")
    return Verdict(degree, rise, change, f"{rose} while training fell by {percent(-change)}")


def _stop_early(points: Sequence[CurvePoint], patience: int) -> EarlyStop:
    best, waited = points[0], 0
    for point in points[1:]:
        if point.validation < best.validation:
            best, waited = point, 0
        else:
            waited += 1
        if waited == patience:
            return EarlyStop(patience, point.at, best.validation, best.at, points[-1].at - point.at)
    return EarlyStop(patience, None, best.validation, best.at, 0)


def _advise(history: RunHistory, best: CurvePoint, verdict: Verdict) -> Iterator[str]:
    """Yield what to do next, as far as the figures tell."""
    points, clock = history.points, history.clock
    longer = "Let it run" if history.going else "Train longer"
    if len(points) == 1:
        yield f"{longer}: one evaluation is not a curve yet."
        return
    signs = list(_signs_of_instability(history, best, verdict))
    if signs:
        rates = [point.learning_rate for point in points if point.learning_rate]
        peak = f" than {max(rates):g}" if rates else ""
        yield f"Try a lower learning rate{peak}: {', and '.join(signs)}."
    if verdict.overfitting != "none":
        length = f"max_steps {best.at}" if clock == "step" else f"epochs {best.at}"
        yield f"Stop earlier, with {length}, or train on more recordings: {clock} {best.at:,} was the best."
    if signs or verdict.overfitting != "none":
        return
    # By steps and not by number of evaluations: an interrupted run has one more evaluation where it was interrupted.
    earlier = [point for point in points if point.at <= LATE * points[-1].at] or points[:1]
    gain = 1 - best.validation / min(point.validation for point in earlier)
    advice = longer if gain >= GAIN else _advise_at_plateau(points[-1], history.label_smoothing)
    yield f"{advice}: validation gained {percent(max(0, gain))} since {clock} {earlier[-1].at:,}."


def _signs_of_instability(history: RunHistory, best: CurvePoint, verdict: Verdict) -> Iterator[str]:
    """Yield the signs of a learning rate that is too high."""
    if history.diverged:
        yield "a validation figure was NaN or infinite"
    jumps = [
        (after.validation / before.validation - 1, after.at)
        for before, after in pairwise(history.points)
        if before.training is not None and after.training is not None and after.training > before.training
    ]
    rise, at = max(jumps, default=(0.0, 0))
    if rise >= JUMP:
        yield f"at {history.clock} {at:,} validation jumped by {percent(rise)}, and training rose with it"
    elif verdict.overfitting == "none" and verdict.rise is not None and verdict.rise >= DEGREES["none"]:
        yield f"validation and training have both risen since {history.clock} {best.at:,}"


def _advise_at_plateau(last: CurvePoint, label_smoothing: float) -> str:
    """Return what to try for a run that has stopped improving."""
    if last.training is None:
        return "Try a larger model or more recordings (without training figures, the history cannot tell which)"
    if label_smoothing:
        return "Try a larger model or more recordings (with label smoothing, training and validation do not compare)"
    gap = 1 - last.training / last.validation
    if gap >= GAP:
        return f"Train on more recordings, training is {percent(gap)} below validation"
    place = f"only {percent(gap)} below" if gap > 0 else "above"
    return f"Try a larger model or a higher learning rate, training is {place} validation"


def draw(report: TrainingReport) -> bytes:
    """Draw the curves of a run with its best evaluation and the early stops.

    Returns:
        A PNG.
    """
    history, best, overfitting = report.course, report.best, report.verdict.overfitting
    return plots.training_analysis(
        at=[point.at for point in history.points],
        validation=[point.validation for point in history.points],
        training=[point.training for point in history.points],
        learning_rates=[point.learning_rate for point in history.points],
        clock=history.clock,
        units=(history.unit, history.training_unit),
        best=(best.at, best.validation),
        stops={stop.patience: stop.at for stop in report.stops},
        overfitted=overfitting not in (None, "none"),
        title=f"{history.name}: {best.validation:.3f} {history.unit} at {history.clock} {best.at:,}, "
        f"overfitting {overfitting or 'unknown'}",
    )
