"""The pictures of an evaluation, in the style of all. Each function returns the bytes of a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from greylord.evaluation.calibration import Calibration
from greylord.evaluation.context_length import Positions
from greylord.evaluation.next_command import NextCommand
from greylord.evaluation.surprisal import Surprise, smoothed
from greylord.plots import AMBER, ANALYSIS, BLUE, MUTED, STYLE, label, png

__all__ = ["commands", "context", "delays", "surprise"]


def surprise(found: Surprise) -> bytes:
    """Bits per byte along a recording, the two sides apart."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.5), layout="constrained")
        axes = figure.subplots()
        axes.set_title(label(f"{found.name}: {found.overall:.3f} bits per byte"))
        axes.plot(*smoothed(found, by_client=False), color=BLUE, linewidth=1.2, label="server")
        axes.plot(*smoothed(found, by_client=True), color=AMBER, marker=".", linestyle="", label="client")
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, len(found.bits))
        axes.set_xlabel("payload bytes, both sides")
        axes.set_ylabel("bits per byte, mean of a piece")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
        return png(figure, ANALYSIS)


def delays(found: Calibration) -> bytes:
    """A reliability diagram of each delay token: on the diagonal the odds are true."""
    with matplotlib.rc_context(STYLE | {"axes.grid.axis": "both"}):
        figure = Figure(figsize=(10, 4), layout="constrained")
        figure.suptitle(f"{found.turns:,} delays: what was predicted, and what came", x=0.01, ha="left", size=12)
        panels = figure.subplots(1, len(found.delays), sharey=True)
        for axes, (name, each) in zip(panels, found.delays.items(), strict=True):
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
            sizes = [12 + 240 * one.turns / found.turns for one in each.bins]
            points = [one.predicted for one in each.bins], [one.observed for one in each.bins]
            axes.plot(*points, color=BLUE, linewidth=1)
            axes.scatter(*points, s=sizes, color=BLUE, zorder=3)
            axes.set_title(f"{name.strip('<|>')}, error {100 * each.expected_calibration_error:.2f} %", size=10)
            axes.set_aspect("equal")
            axes.set_xlim(-0.05, 1.05)
            axes.set_ylim(-0.05, 1.05)
            axes.set_xlabel("predicted")
            axes.xaxis.set_major_formatter(PercentFormatter(1))
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        panels[0].set_ylabel("came; larger points are more turns")
        return png(figure, ANALYSIS)


def context(positions: Sequence[Positions], lengths: Mapping[int, float]) -> bytes:
    """Bits per byte by what had been heard, and of whole models by the length of their context."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4), layout="constrained")
        by_position, by_length = figure.subplots(1, 2)
        by_position.set_title("By tokens heard before", size=10)
        labels = [f"{each.first}-{each.last}" if each.last > each.first else str(each.first) for each in positions]
        by_position.plot(labels, [each.bits_per_byte for each in positions], color=BLUE, marker="o")
        by_position.tick_params(axis="x", rotation=45)
        by_position.set_ylabel("bits per byte")
        by_position.set_yscale("log")
        by_position.yaxis.set_major_formatter("{x:g}")
        by_position.yaxis.set_minor_formatter("{x:g}")
        by_length.set_title("The same bytes at shorter contexts, by the protocol", size=10)
        bars = by_length.bar(list(map("{:,}".format, lengths)), list(lengths.values()), color=BLUE, width=0.6)
        by_length.bar_label(bars, fmt="{:.3f}", padding=3, color=MUTED)
        by_length.set_xlabel("tokens of context")
        by_length.margins(y=0.12)
        return png(figure, ANALYSIS)


def commands(found: NextCommand) -> bytes:
    """Who named the right command how often."""
    colours = {"this model": BLUE, "n-gram": AMBER, "repeat": MUTED}
    kinds = {"top 1": "top_1", "top 5": "top_5", "top 1,\nby verb": "macro_top_1", "top 5,\nby verb": "macro_top_5"}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.subplots()
        axes.set_title(f"The next command, {found.turns:,} times")
        width = 0.8 / len(found.hits)
        for index, (name, hits) in enumerate(found.hits.items()):
            at = [place + (index - (len(found.hits) - 1) / 2) * width for place in range(len(kinds))]
            shares = [getattr(hits, field) for field in kinds.values()]
            bars = axes.bar(at, shares, width * 0.94, color=colours[name], label=name)
            axes.bar_label(bars, [f"{100 * share:.0f}" for share in shares], padding=2, color=MUTED, size=9)
        axes.margins(y=0.12)
        axes.set_xticks(range(len(kinds)), kinds)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
        return png(figure, ANALYSIS)
