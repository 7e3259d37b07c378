"""Pictures, all in one style. Each function returns the bytes of a PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, ScalarFormatter

__all__ = ["training_curves"]

INK, MUTED, BLUE, AMBER = "#1f2430", "#7b8190", "#2563eb", "#f59e0b"
STYLE = {
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
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def training_curves(
    steps: Sequence[int],
    validation: Sequence[float],
    training: Sequence[float],
    best_step: int,
    baselines: Mapping[str, float],
    title: str,
) -> bytes:
    """The course of a run.

    Args:
        steps: optimizer steps of the evaluations.
        validation: bits per byte at each.
        training: bits per token since the evaluation before.
        best_step: the one whose weights were kept.
        baselines: bits per byte of others on the same bytes, drawn as lines.
        title: above the picture.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        axes.set_yscale("log")
        axes.plot(steps, training, color=AMBER, marker=".", label="training, bits per token")
        axes.plot(steps, validation, color=BLUE, marker="o", linewidth=2, label="validation, bits per byte")
        best = validation[list(steps).index(best_step)]
        axes.annotate(
            f"{best:.3f}", (best_step, best), xytext=(0, -16), textcoords="offset points", ha="center", color=BLUE
        )
        _baselines(axes, baselines)
        axes.set_xlabel("optimizer steps")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(0, max(steps) * 1.02)
        figures = [*validation, *training, *baselines.values()]
        axes.set_ylim(0.8 * min(figures), 1.15 * max(figures))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="upper right")
        return _png(figure)


def _baselines(axes: Axes, baselines: Mapping[str, float]) -> None:
    """A labelled line for each figure; labels that would lie over each other are set apart."""
    lowest = 0.0
    for name, value in sorted(baselines.items(), key=lambda item: item[1]):
        axes.axhline(value, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        lowest = max(value, lowest * 1.09)
        axes.annotate(
            f"{name}  {value:.3f}", (1, lowest), xycoords=axes.get_yaxis_transform(), color=MUTED, va="center", size=9
        )
