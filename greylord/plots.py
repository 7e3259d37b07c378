"""Every picture, all in one style. Each function returns the bytes of a PNG."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from greylord.escaping import visible

__all__ = [
    "compared_curves",
    "context_lengths",
    "delay_calibration",
    "is_analysis",
    "next_commands",
    "png",
    "recordings_histograms",
    "surprisal_curves",
    "training_analysis",
    "training_curves",
]

INK, MUTED, BLUE, AMBER, RED = "#1f2430", "#7b8190", "#2563eb", "#f59e0b", "#dc2626"
DASHED = (0, (4, 3))
STYLE: dict[Any, Any] = {
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
ABOVE: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
"""Puts a legend above the axes, at the right."""
LABEL_CHARACTERS = 80
ANALYSIS = "greylord analyze"
"""The `Software` field of an analysis's PNG. Only such a picture may be overwritten by the next analysis."""


@contextmanager
def _new_figure(width: float, height: float) -> Iterator[Figure]:
    """Make a figure of a size in inches; within the block the style applies."""
    with matplotlib.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def png(figure: Figure, software: str = "greylord") -> bytes:
    """Encode a figure as PNG."""
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A box stands for a character that the font does not have.
        warnings.filterwarnings("ignore", r"Glyph \d+ ")
        figure.savefig(target, format="png", metadata={"Software": software})
    return target.getvalue()


def label(text: str) -> str:
    """Make a label of a text that may hold a name: one line, shortened in the middle.

    A blank goes before a leading underscore: matplotlib leaves such labels out of a legend.
    """
    shown = visible(text)
    if len(shown) > LABEL_CHARACTERS:
        shown = f"{shown[: LABEL_CHARACTERS // 2]}...{shown[-LABEL_CHARACTERS // 2 :]}"
    return f" {shown}" if shown.startswith("_") else shown


def is_analysis(path: Path) -> bool:
    """Check whether a file is a picture of an analysis."""
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
    """Plot the loss curves of a run.

    Args:
        steps: Optimizer steps of the evaluations.
        validation: Bits per byte at each evaluation.
        training: Optimizer steps, and the mean bits per token since the entry before.
        best_step: Step of the weights that were saved.
        baselines: Bits per byte of other models on the same bytes, drawn as lines.
        label_smoothing: Share of the uniform distribution in the training targets, for the legend.
    """
    with _new_figure(9, 5) as figure:
        axes = figure.subplots()
        smoothed = f" with label smoothing {label_smoothing:g}" if label_smoothing else ""
        axes.plot(*zip(*training, strict=True), color=AMBER, label=f"training, bits per token{smoothed}")
        axes.plot(steps, validation, color=BLUE, marker="o", linewidth=2, label="validation, bits per byte")
        best = validation[list(steps).index(best_step)]
        axes.annotate(
            f"{best:.3f}", (best_step, best), xytext=(0, -16), textcoords="offset points", ha="center", color=BLUE
        )
        _draw_baselines(axes, baselines)
        axes.set(title=label(title), xlabel="optimizer steps", xlim=(0, max(steps) * 1.02))
        axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        _log_scale(axes, [*validation, *(bits for _, bits in training), *baselines.values()])
        axes.legend(loc="upper right")
        return png(figure)


def _log_scale(axes: Axes, figures: Sequence[float]) -> None:
    """Make the y axis logarithmic, with plain numbers as labels."""
    axes.set(yscale="log", ylim=(0.8 * min(figures), 1.15 * max(figures)))
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(ticker.ScalarFormatter())
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def _draw_baselines(axes: Axes, baselines: Mapping[str, float]) -> None:
    """Draw a labelled line for each figure, without overlapping labels."""
    lowest = 0.0
    for name, value in sorted(baselines.items(), key=lambda item: item[1]):
        axes.axhline(value, color=MUTED, linewidth=0.8, linestyle=DASHED, zorder=0)
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
    """Plot the loss curves of a run with best point, early stops and learning rate.

    Args:
        at: Steps or epochs of the evaluations.
        validation: Validation loss at each evaluation.
        training: Mean training loss since the evaluation before.
        learning_rates: Learning rate at each evaluation.
        clock: Unit of `at`, "step" or "epoch".
        units: Units of validation and of training loss.
        best: Step or epoch of the lowest validation loss, and its value.
        stops: By patience, the step or epoch at which early stopping would have ended the run.
        overfitted: Shade the part after the best point.
    """
    has_rates = any(rate is not None for rate in learning_rates)
    with _new_figure(9, 5.6) as figure:
        panels = figure.subplots(1 + has_rates, sharex=True, squeeze=False, height_ratios=(4, 1)[: 1 + has_rates])
        axes, lowest = panels[0, 0], panels[-1, 0]
        axes.set_title(label(title), pad=22)
        losses = [math.nan if value is None else value for value in training]
        axes.plot(at, losses, color=AMBER, marker=".", label=f"training, {units[1]}")
        axes.plot(at, validation, color=BLUE, marker="o", markersize=4, linewidth=2, label=f"validation, {units[0]}")
        axes.plot(*best, color=BLUE, marker="o", markersize=11, fillstyle="none", markeredgewidth=1.6)
        # The label goes to the side without the training curve.
        offset = (0, -20 if losses[list(at).index(best[0])] > best[1] else 11)
        axes.annotate(
            f"{best[1]:.3f}", best, xytext=offset, textcoords="offset points", ha="center", color=BLUE, weight="bold"
        )
        if overfitted:
            axes.axvspan(best[0], max(at), color=RED, alpha=0.07, linewidth=0, label="worse than the best")
        _draw_stops(axes, stops)
        _log_scale(axes, [*validation, *(value for value in training if value is not None)])
        axes.legend(loc="best")
        if has_rates:
            rates = [math.nan if rate is None else rate for rate in learning_rates]
            lowest.plot(at, rates, color=MUTED, marker=".")
            lowest.set(ylabel="lr", ylim=(0, 1.2 * max(filter(None, learning_rates), default=1)))
            lowest.yaxis.set_major_formatter(ticker.FuncFormatter(lambda rate, _: f"{rate:g}"))
            lowest.yaxis.set_major_locator(ticker.MaxNLocator(3))
        lowest.set(xlabel="optimizer steps" if clock == "step" else "epochs", xlim=(0, max(at) * 1.03))
        lowest.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        lowest.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        return png(figure, ANALYSIS)


def _draw_stops(axes: Axes, stops: Mapping[int, int | None]) -> None:
    """Draw a line at each early stop, labelled above with its patiences."""
    above: dict[str, Any] = {"xytext": (0, 5), "textcoords": "offset points", "size": 9}
    for at in set(stops.values()):
        patiences = ", ".join(str(patience) for patience, stop in stops.items() if stop == at)
        if at is None:
            axes.annotate(f"not reached: patience {patiences}", (0, 1), xycoords="axes fraction", color=MUTED, **above)
        else:
            axes.axvline(at, color=RED, linewidth=1, linestyle=DASHED, zorder=1)
            top = axes.get_xaxis_transform()
            axes.annotate(f"patience {patiences}", (at, 1), color=RED, xycoords=top, ha="center", **above)


def recordings_histograms(
    title: str,
    days: Mapping[date, int],
    recordings: Sequence[int],
    delays: Mapping[str, Mapping[int, int]],
    turn_bytes: Mapping[str, Mapping[int, int]],
    commands: Mapping[str, int],
) -> bytes:
    """Plot the contents of recordings in four panels.

    Args:
        days: Payload bytes by the day of the start; if empty, `recordings` are shown instead.
        recordings: Payload bytes of each recording, in order.
        delays: By side, records by the power of two that their delay in milliseconds reaches; -1 for negative delays.
        turn_bytes: By side, turns by the power of two that their payload bytes reach.
        commands: Number of times that each was typed, the most frequent first.
    """
    with _new_figure(11, 7.5) as figure:
        figure.suptitle(label(title), x=0.01, ha="left", size=13)
        (volume, waits), (lengths, words) = figure.subplots(2, 2)
        if days:
            volume.bar(list(days), list(days.values()), color=BLUE, width=0.85)
            volume.xaxis.set_major_locator(locator := AutoDateLocator())
            volume.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        else:
            volume.bar(range(1, len(recordings) + 1), recordings, color=BLUE, width=0.85)
            volume.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
            volume.set_xlabel("recordings in the order of their starts")
        volume.set_title(f"Payload bytes by {'day' if days else 'recording'}")
        volume.yaxis.set_major_formatter(ticker.EngFormatter(sep=" ", unit="B"))
        waits.set(title="Records by delay", xlabel="milliseconds, from each mark to the next")
        _draw_by_power(waits, delays)
        lengths.set(title="Turns by length", xlabel="payload bytes, from each mark to the next")
        _draw_by_power(lengths, turn_bytes)
        words.set_title("Commands")
        bars = words.barh(list(map(label, commands)), list(commands.values()), color=BLUE)
        words.bar_label(bars, fmt="{:,.0f}", padding=4, color=MUTED, size=9)
        words.invert_yaxis()
        words.grid(visible=False)
        words.xaxis.set_visible(False)
        words.spines["bottom"].set_visible(False)
        words.tick_params(axis="y", length=0, labelcolor=INK)
        return png(figure, ANALYSIS)


def _draw_by_power(axes: Axes, sides: Mapping[str, Mapping[int, int]]) -> None:
    """Draw counts by power of two as bars on a log scale, one series per side."""
    seen = {power for counts in sides.values() for power in counts}
    bins = sorted(power for power in seen if power < 1)
    bins += [1 << exponent for exponent in range(max(seen, default=0).bit_length())]
    for offset, colour, (side, counts) in zip((-0.21, 0.21), (BLUE, AMBER), sides.items(), strict=True):
        heights = [counts.get(power, 0) for power in bins]
        axes.bar([index + offset for index in range(len(bins))], heights, 0.42, color=colour, label=side)
    axes.set(yscale="log", ylim=(0.7, None))
    axes.yaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xticks(range(len(bins)), map(_power_label, bins), rotation=45, ha="right", rotation_mode="anchor")
    axes.legend(ncols=2, **ABOVE)


def _power_label(power: int) -> str:
    if power < 0:
        return "<0"
    return f"{power >> 20}M" if power >= 1 << 20 else f"{power >> 10}k" if power >= 1 << 10 else str(power)


def compared_curves(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], title: str) -> bytes:
    """Plot the bits per byte of two runs over the tokens that they trained on.

    Args:
        curves: By a run's name, its tokens and its bits per byte at each evaluation.
    """
    with _new_figure(9, 5) as figure:
        axes = figure.subplots()
        axes.set(title=label(title), xlabel="tokens trained on", ylabel="bits per byte, validation")
        for colour, (name, (tokens, figures)) in zip((BLUE, AMBER), curves.items(), strict=True):
            axes.plot(tokens, figures, color=colour, marker="o", markersize=4, linewidth=2, label=label(name))
            best = min(zip(figures, tokens, strict=True))
            axes.annotate(
                f"{best[0]:.3f}", best[::-1], xytext=(0, -16), textcoords="offset points", ha="center", color=colour
            )
        axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        axes.set_xlim(left=0)
        _log_scale(axes, [value for _, figures in curves.values() for value in figures])
        axes.legend(loc="upper right")
        return png(figure, ANALYSIS)


def surprisal_curves(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], payload_bytes: int, title: str) -> bytes:
    """Plot the surprisal along a recording: server as a line, client as points.

    Args:
        curves: By side, "server" and "client": offsets in payload bytes, and mean bits per byte there.
        payload_bytes: Length of the recording.
    """
    with _new_figure(10, 4.5) as figure:
        axes = figure.subplots()
        axes.plot(*curves["server"], color=BLUE, linewidth=1.2, label="server")
        axes.plot(*curves["client"], color=AMBER, marker=".", linestyle="", label="client")
        axes.set(title=label(title), xlabel="payload bytes, both sides", ylabel="bits per byte, mean of a piece")
        axes.set(xlim=(0, payload_bytes), ylim=(0, None))
        axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        axes.legend(ncols=2, **ABOVE)
        return png(figure, ANALYSIS)


def delay_calibration(delays: Mapping[str, tuple[float, Sequence[tuple[int, float, float]]]], turns: int) -> bytes:
    """Plot a reliability diagram of each delay token.

    The points of a calibrated model lie on the diagonal.

    Args:
        delays: By delay token, its expected calibration error, and turns, predicted and observed share of each bin.
        turns: Turns in total.
    """
    with _new_figure(10, 4) as figure:
        figure.suptitle(f"{turns:,} delays: predicted and observed shares", x=0.01, ha="left", size=12)
        panels = figure.subplots(1, len(delays), sharey=True, squeeze=False)[0]
        for axes, (name, (error, bins)) in zip(panels, delays.items(), strict=True):
            counts, predicted, observed = zip(*bins, strict=True)
            axes.grid(axis="x")
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=DASHED)
            axes.plot(predicted, observed, color=BLUE, linewidth=1)
            axes.scatter(predicted, observed, s=[12 + 240 * count / turns for count in counts], color=BLUE, zorder=3)
            axes.set_title(f"{name.strip('<|>')}, error {100 * error:.2f} %", size=10)
            axes.set(aspect="equal", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xlabel="predicted")
            axes.xaxis.set_major_formatter(ticker.PercentFormatter(1))
            axes.yaxis.set_major_formatter(ticker.PercentFormatter(1))
        panels[0].set_ylabel("observed; larger points are more turns")
        return png(figure, ANALYSIS)


def context_lengths(positions: Mapping[str, float], lengths: Mapping[int, float]) -> bytes:
    """Plot bits per byte by preceding tokens, and by the length of the context.

    Args:
        positions: Bits per byte by a label of the number of preceding tokens, as "2-3".
        lengths: Bits per byte by tokens of context.
    """
    with _new_figure(10, 4) as figure:
        by_position, by_length = figure.subplots(1, 2)
        by_position.set_title("By preceding tokens", size=10)
        by_position.plot(list(positions), list(positions.values()), color=BLUE, marker="o")
        by_position.tick_params(axis="x", rotation=45)
        by_position.set(ylabel="bits per byte", yscale="log")
        by_position.yaxis.set_major_formatter("{x:g}")
        by_position.yaxis.set_minor_formatter("{x:g}")
        by_length.set_title("The same bytes with shorter context windows", size=10)
        bars = by_length.bar(list(map("{:,}".format, lengths)), list(lengths.values()), color=BLUE, width=0.6)
        by_length.bar_label(bars, fmt="{:.3f}", padding=3, color=MUTED)
        by_length.set_xlabel("tokens of context")
        by_length.margins(y=0.12)
        return png(figure, ANALYSIS)


def next_commands(shares: Mapping[str, Mapping[str, float]], turns: int) -> bytes:
    """Plot how often each predictor names the next command.

    Args:
        shares: By predictor ("this model", "n-gram", "repeat"), the share of right answers by kind, as "top 1".
        turns: Turns that were predicted.
    """
    colours, width = {"this model": BLUE, "n-gram": AMBER, "repeat": MUTED}, 0.8 / len(shares)
    with _new_figure(8, 4) as figure:
        axes = figure.subplots()
        axes.set_title(f"The next command, {turns:,} times")
        for index, (name, by_kind) in enumerate(shares.items()):
            centres = [place + (index - (len(shares) - 1) / 2) * width for place in range(len(by_kind))]
            bars = axes.bar(centres, list(by_kind.values()), width * 0.94, color=colours[name], label=name)
            axes.bar_label(bars, [f"{100 * x:.0f}" for x in by_kind.values()], padding=2, color=MUTED, size=9)
            axes.set_xticks(range(len(by_kind)), list(by_kind))
        axes.margins(y=0.12)
        axes.yaxis.set_major_formatter(ticker.PercentFormatter(1))
        axes.legend(ncols=3, **ABOVE)
        return png(figure, ANALYSIS)
