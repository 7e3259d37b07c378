"""Pictures, all in one style. Each function returns the bytes of a PNG."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from greylord.escaping import visible

__all__ = [
    "compared_curves",
    "is_analysis",
    "label",
    "png",
    "recordings_histograms",
    "training_analysis",
    "training_curves",
]

INK, MUTED, BLUE, AMBER, RED = "#1f2430", "#7b8190", "#2563eb", "#f59e0b", "#dc2626"
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.color": "#e5e7eb",
    "legend.frameon": False,
    "savefig.dpi": 144,
    "text.color": INK,
    # A name may hold a dollar sign.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


LABEL_CHARACTERS = 80
ANALYSIS = "greylord analyze"
"""What the pictures of an analysis give as their software: one may be written over by the next."""


def png(figure: Figure, software: str = "greylord") -> bytes:
    """A picture as a file's contents."""
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A box stands for a character that the font does not have.
        warnings.filterwarnings("ignore", r"Glyph \d+ ")
        figure.savefig(target, format="png", metadata={"Software": software})
    return target.getvalue()


def label(text: str) -> str:
    """Make a label of a text that may hold a name: one line, its middle left out if it is long.

    A blank goes before a leading underscore, with which matplotlib would leave it out of a legend.
    """
    shown = visible(text)
    if len(shown) > LABEL_CHARACTERS:
        shown = f"{shown[: LABEL_CHARACTERS // 2]}...{shown[-LABEL_CHARACTERS // 2 :]}"
    return f" {shown}" if shown.startswith("_") else shown


def is_analysis(path: Path) -> bool:
    """Whether a file is a picture of an analysis."""
    with path.open("rb") as file:
        return f"Software\0{ANALYSIS}".encode() in file.read(256)


def training_curves(
    steps: Sequence[int],
    validation: Sequence[float],
    training: Sequence[tuple[int, float]],
    best_step: int,
    baselines: Mapping[str, float],
    title: str,
    label_smoothing: float = 0.0,
) -> bytes:
    """The course of a run.

    Args:
        steps: optimizer steps of the evaluations.
        validation: bits per byte at each.
        training: optimizer steps, and the mean bits per token since the one before.
        best_step: the one whose weights were kept.
        baselines: bits per byte of others on the same bytes, drawn as lines.
        title: above the picture.
        label_smoothing: share of a uniform target in the training loss, for the legend.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.subplots()
        axes.set_title(label(title))
        smoothed = f" with label smoothing {label_smoothing:g}" if label_smoothing else ""
        axes.plot(*zip(*training, strict=True), color=AMBER, label=f"training, bits per token{smoothed}")
        axes.plot(steps, validation, color=BLUE, marker="o", linewidth=2, label="validation, bits per byte")
        best = validation[list(steps).index(best_step)]
        axes.annotate(
            f"{best:.3f}", (best_step, best), xytext=(0, -16), textcoords="offset points", ha="center", color=BLUE
        )
        _baselines(axes, baselines)
        axes.set_xlabel("optimizer steps")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(0, max(steps) * 1.02)
        _log_scale(axes, [*validation, *(bits for _, bits in training), *baselines.values()])
        axes.legend(loc="upper right")
        return png(figure)


def _log_scale(axes: Axes, figures: Sequence[float]) -> None:
    """A logarithmic y axis around the figures, labelled with plain numbers."""
    axes.set_yscale("log")
    axes.set_ylim(0.8 * min(figures), 1.15 * max(figures))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _baselines(axes: Axes, baselines: Mapping[str, float]) -> None:
    """A labelled line for each figure; labels that would lie over each other are set apart."""
    lowest = 0.0
    for name, value in sorted(baselines.items(), key=lambda item: item[1]):
        axes.axhline(value, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        lowest = max(value, lowest * 1.09)
        axes.annotate(
            f"{name}  {value:.3f}", (1, lowest), xycoords=axes.get_yaxis_transform(), color=MUTED, va="center", size=9
        )


def training_analysis(
    at: Sequence[int],
    validation: Sequence[float],
    training: Sequence[float | None],
    learning_rates: Sequence[float | None],
    clock: str,
    units: tuple[str, str],
    best: tuple[int, float],
    stops: Mapping[int, int | None],
    overfitted: bool,
    title: str,
) -> bytes:
    """The course of a run, and what can be learned from it.

    Args:
        at: steps or epochs of the evaluations.
        validation: the figure of each.
        training: that of training since the evaluation before.
        learning_rates: the rate at each.
        clock: what `at` counts, "step" or "epoch".
        units: of validation and of training.
        best: where the lowest figure of validation is, and the figure.
        stops: by patience, where early stopping would have ended the run.
        overfitted: what follows the best is shaded.
        title: above the picture.
    """
    rated = any(rate is not None for rate in learning_rates)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 5.6), layout="constrained")
        panels = figure.subplots(2 if rated else 1, sharex=True, squeeze=False, height_ratios=(4, 1) if rated else None)
        axes, lowest = panels[0, 0], panels[-1, 0]
        axes.set_title(label(title), pad=22)
        trained = [math.nan if value is None else value for value in training]
        axes.plot(at, trained, color=AMBER, marker=".", label=f"training, {units[1]}")
        axes.plot(at, validation, color=BLUE, marker="o", markersize=4, linewidth=2, label=f"validation, {units[0]}")
        axes.plot(*best, color=BLUE, marker="o", markersize=11, fillstyle="none", markeredgewidth=1.6)
        # On the side where training is not.
        offset = (0, -20 if trained[list(at).index(best[0])] > best[1] else 11)
        axes.annotate(
            f"{best[1]:.3f}", best, xytext=offset, textcoords="offset points", ha="center", color=BLUE, weight="bold"
        )
        if overfitted:
            axes.axvspan(best[0], max(at), color=RED, alpha=0.07, linewidth=0, label="worse than the best")
        _stop_lines(axes, stops)
        _log_scale(axes, [*validation, *(value for value in training if value is not None)])
        axes.legend(loc="best")
        if rated:
            rates = [math.nan if rate is None else rate for rate in learning_rates]
            lowest.plot(at, rates, color=MUTED, marker=".")
            lowest.set_ylim(0, 1.2 * max(filter(None, learning_rates), default=1))
            lowest.set_ylabel("rate")
            lowest.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
            lowest.yaxis.set_major_locator(MaxNLocator(3))
        lowest.set_xlabel("optimizer steps" if clock == "step" else "epochs")
        lowest.xaxis.set_major_locator(MaxNLocator(integer=True))
        lowest.xaxis.set_major_formatter(EngFormatter(sep=""))
        lowest.set_xlim(0, max(at) * 1.03)
        return png(figure, ANALYSIS)


def _stop_lines(axes: Axes, stops: Mapping[int, int | None]) -> None:
    """A line where early stopping would have ended, labelled above with the patience; several may share one."""
    above = {"xytext": (0, 5), "textcoords": "offset points", "size": 9}
    for at in set(stops.values()):
        patiences = ", ".join(str(patience) for patience, stop in stops.items() if stop == at)
        if at is None:
            axes.annotate(f"not reached: patience {patiences}", (0, 1), xycoords="axes fraction", color=MUTED, **above)
        else:
            axes.axvline(at, color=RED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            where = {"xycoords": axes.get_xaxis_transform(), "ha": "center"}
            axes.annotate(f"patience {patiences}", (at, 1), color=RED, **where, **above)


def recordings_histograms(
    title: str,
    days: Mapping[date, int],
    recordings: Sequence[int],
    delays: Mapping[str, Mapping[int, int]],
    turn_bytes: Mapping[str, Mapping[int, int]],
    commands: Mapping[str, int],
) -> bytes:
    """What recordings hold, in four panels.

    Args:
        title: above the picture.
        days: payload bytes by the day of the start; if empty, `recordings` are shown instead.
        recordings: payload bytes of each, in order.
        delays: by side, records by the power of two that their delay in milliseconds reaches; -1 for negative ones.
        turn_bytes: by side, turns by the power of two that their payload bytes reach.
        commands: how often each was typed, the most frequent first.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 7.5), layout="constrained")
        figure.suptitle(label(title), x=0.01, ha="left", size=13)
        (volume, waits), (lengths, words) = figure.subplots(2, 2)
        if days:
            volume.bar(list(days), list(days.values()), color=BLUE, width=0.85)
            volume.xaxis.set_major_locator(locator := AutoDateLocator())
            volume.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        else:
            volume.bar(range(1, len(recordings) + 1), recordings, color=BLUE, width=0.85)
            volume.xaxis.set_major_locator(MaxNLocator(integer=True))
            volume.set_xlabel("recordings in the order of their starts")
        volume.set_title(f"Payload bytes by {'day' if days else 'recording'}")
        volume.yaxis.set_major_formatter(EngFormatter(sep=" ", unit="B"))
        waits.set_title("Records by delay")
        waits.set_xlabel("milliseconds, from each mark to the next")
        _by_power(waits, delays)
        lengths.set_title("Turns by length")
        lengths.set_xlabel("payload bytes, from each mark to the next")
        _by_power(lengths, turn_bytes)
        words.set_title("Commands")
        bars = words.barh(list(map(label, commands)), list(commands.values()), color=BLUE)
        words.bar_label(bars, fmt="{:,.0f}", padding=4, color=MUTED, size=9)
        words.invert_yaxis()
        words.grid(visible=False)
        words.xaxis.set_visible(False)
        words.spines["bottom"].set_visible(False)
        words.tick_params(axis="y", length=0, labelcolor=INK)
        return png(figure, ANALYSIS)


def _by_power(axes: Axes, sides: Mapping[str, Mapping[int, int]]) -> None:
    """Bars of counts by power of two, the sides next to each other, on a logarithmic y axis."""
    seen = {power for counts in sides.values() for power in counts}
    bins = sorted(power for power in seen if power < 1)
    bins += [1 << exponent for exponent in range(max(seen, default=0).bit_length())]
    for offset, colour, (side, counts) in zip((-0.21, 0.21), (BLUE, AMBER), sides.items(), strict=True):
        heights = [counts.get(power, 0) for power in bins]
        axes.bar([index + offset for index in range(len(bins))], heights, 0.42, color=colour, label=side)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(range(len(bins)), map(_power_label, bins), rotation=45, ha="right", rotation_mode="anchor")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)


def _power_label(power: int) -> str:
    if power < 0:
        return "<0"
    if power >= 1 << 20:
        return f"{power >> 20}M"
    return f"{power >> 10}k" if power >= 1 << 10 else str(power)


def compared_curves(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], title: str) -> bytes:
    """Bits per byte of two runs over the tokens that they trained on.

    Args:
        curves: by a run's name, its tokens at each evaluation and the figures.
        title: above the picture.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.subplots()
        axes.set_title(label(title))
        for colour, (name, (tokens, figures)) in zip((BLUE, AMBER), curves.items(), strict=True):
            axes.plot(tokens, figures, color=colour, marker="o", markersize=4, linewidth=2, label=label(name))
            best = min(zip(figures, tokens, strict=True))
            axes.annotate(
                f"{best[0]:.3f}", best[::-1], xytext=(0, -16), textcoords="offset points", ha="center", color=colour
            )
        axes.set_xlabel("tokens trained on")
        axes.set_ylabel("bits per byte, validation")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(left=0)
        _log_scale(axes, [value for _, figures in curves.values() for value in figures])
        axes.legend(loc="upper right")
        return png(figure, ANALYSIS)
