"""What the history of a run says: whether it overfitted, where it could have stopped, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from greylord import plots
from greylord.analysis.history import Course, Point, read_course
from greylord.units import percent

__all__ = ["DEGREES", "PATIENCES", "Stop", "TrainingReport", "Verdict", "analyze", "picture"]

PATIENCES = (3, 5, 10)

DEGREES = {"none": 0.01, "mild": 0.05, "moderate": 0.15, "severe": math.inf}
"""How far validation may have risen over its best, as a share of it."""
TAIL = 3
"""A run ended at the lowest of this many evaluations after its best: the last alone may be a jump."""
JUMP = 0.05
"""From this rise on, from one evaluation to the next and with training rising too, the rate is to blame."""
LATE, FALLING = 0.75, 0.01
"""A run that still gains this share in the last quarter of its steps gains from more."""
GAP = 0.1
"""With training this far below validation the recordings, and not the model, are the limit."""


@dataclass(frozen=True)
class Verdict:
    """Whether a run overfitted."""

    overfitting: str | None
    """One of `DEGREES`; None where the figures cannot tell."""
    rise: float | None
    """From the best figure of validation to where the run ended, as a share of the best."""
    training_change: float | None
    """Of training meanwhile, as a share."""
    reason: str


@dataclass(frozen=True)
class Stop:
    """What early stopping would have done, after `patience` evaluations without a new best."""

    patience: int
    at: int | None
    """None if it would not have stopped."""
    kept: float
    kept_at: int
    saved: int
    """Steps or epochs after the stop."""


@dataclass(frozen=True)
class TrainingReport:
    """All that `greylord analyze training` tells."""

    course: Course
    best: Point
    verdict: Verdict
    stops: list[Stop]
    advice: list[str]


def analyze(path: Path) -> TrainingReport:
    """Judge the run whose folder or history file is given. Raises as `read_course` does."""
    course = read_course(path)
    best = min(course.points, key=lambda point: point.validation)
    verdict = _judge(course.points, best)
    stops = [_stop(course.points, patience) for patience in PATIENCES]
    return TrainingReport(course, best, verdict, stops, list(_advise(course, best, verdict)))


def _judge(points: Sequence[Point], best: Point) -> Verdict:
    if len(points) == 1:
        return Verdict(None, None, None, "one evaluation alone cannot tell")
    tail = points[points.index(best) + 1 :][-TAIL:]
    if not tail:
        return Verdict("none", 0.0, None, "the last evaluation is the best")
    rise = min(point.validation for point in tail) / best.validation - 1
    trained = [point.training for point in tail if point.training is not None]
    change = min(trained) / best.training - 1 if trained and best.training is not None else None
    degree = next(name for name, limit in DEGREES.items() if rise < limit)
    rose = f"validation ended {percent(rise)} over its best"
    if degree == "none":
        return Verdict(degree, rise, change, rose)
    if change is None:
        return Verdict(None, rise, None, f"{rose}, and without figures of training that may be instability too")
    if change >= 0:
        return Verdict("none", rise, change, f"{rose}, but training rose too, by {percent(change)}: instability")
    return Verdict(degree, rise, change, f"{rose} while training fell by {percent(-change)}")


def _stop(points: Sequence[Point], patience: int) -> Stop:
    best, waited = points[0], 0
    for point in points[1:]:
        if point.validation < best.validation:
            best, waited = point, 0
        else:
            waited += 1
        if waited == patience:
            return Stop(patience, point.at, best.validation, best.at, points[-1].at - point.at)
    return Stop(patience, None, best.validation, best.at, 0)


def _advise(course: Course, best: Point, verdict: Verdict) -> Iterator[str]:
    """What to do next, as far as the figures tell."""
    points, clock = course.points, course.clock
    longer = "Let it run" if course.going else "Train longer"
    if len(points) == 1:
        yield f"{longer}: one evaluation shows no course."
        return
    trouble = list(_instabilities(course, best, verdict))
    if trouble:
        rates = [point.learning_rate for point in points if point.learning_rate]
        peak = f" than {max(rates):g}" if rates else ""
        yield f"Try a lower learning rate{peak}: {', and '.join(trouble)}."
    if verdict.overfitting != "none":
        length = f"--max-steps {best.at}" if clock == "step" else f"--epochs {best.at}"
        yield f"Stop earlier, as with {length}, or train on more recordings: {clock} {best.at:,} was the best."
    if trouble or verdict.overfitting != "none":
        return
    # By steps and not by evaluations: a run that is interrupted is evaluated right then.
    earlier = [point for point in points if point.at <= LATE * points[-1].at] or points[:1]
    gain = 1 - best.validation / min(point.validation for point in earlier)
    what = longer if gain >= FALLING else _limit(points[-1], course.label_smoothing)
    yield f"{what}: validation gained {percent(max(0, gain))} since {clock} {earlier[-1].at:,}."


def _instabilities(course: Course, best: Point, verdict: Verdict) -> Iterator[str]:
    """What speaks for a learning rate that is too high."""
    if course.diverged:
        yield "a figure was no number any more"
    jumps = [
        (after.validation / before.validation - 1, after.at)
        for before, after in pairwise(course.points)
        if before.training is not None and after.training is not None and after.training > before.training
    ]
    rise, at = max(jumps, default=(0.0, 0))
    if rise >= JUMP:
        yield f"at {course.clock} {at:,} validation jumped by {percent(rise)}, and training rose with it"
    elif verdict.overfitting == "none" and verdict.rise >= DEGREES["none"]:
        yield f"validation and training have both risen since {course.clock} {best.at:,}"


def _limit(last: Point, label_smoothing: float) -> str:
    """What holds a run that gains nothing any more, and what to try."""
    if last.training is None:
        return "Try a larger model or more recordings (without figures of training it cannot be told which)"
    if label_smoothing:
        return "Try a larger model or more recordings (training with label smoothing does not compare with validation)"
    gap = 1 - last.training / last.validation
    if gap >= GAP:
        return f"Train on more recordings, training lies {percent(gap)} below validation"
    where = f"only {percent(gap)} below" if gap > 0 else "above"
    return f"Try a larger model or a higher learning rate, training lies {where} validation"


def picture(report: TrainingReport) -> bytes:
    """The course of the run with its best evaluation and the stops, as a PNG."""
    course, best, verdict = report.course, report.best, report.verdict
    overfitted = verdict.overfitting not in (None, "none")
    return plots.training_analysis(
        at=[point.at for point in course.points],
        validation=[point.validation for point in course.points],
        training=[point.training for point in course.points],
        learning_rates=[point.learning_rate for point in course.points],
        clock=course.clock,
        units=(course.unit, course.training_unit),
        best=(best.at, best.validation),
        stops={stop.patience: stop.at for stop in report.stops},
        overfitted=overfitted,
        title=f"{course.name}: {best.validation:.3f} {course.unit} at {course.clock} {best.at:,}, "
        f"overfitting {verdict.overfitting or 'unknown'}",
    )
