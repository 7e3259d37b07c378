"""`greylord models`: list the runs in models/, and compare two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.options import AsJson, PathArgument, PathOption
from greylord.cli.places import picture_path
from greylord.errors import GreylordError, UsageError
from greylord.json_fields import is_number
from greylord.workspace import HERE

if TYPE_CHECKING:
    from rich.table import Table

    from greylord.runs import Run, Scored

app = typer.Typer(invoke_without_command=True)

HASH_LENGTH, SHOWN_LENGTH = 64, 12
"""Characters of a content hash, and how many of them a table shows."""


@app.callback()
def models(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """List the runs in models/, the best first.

    Runs are grouped by what was scored: only figures of a group compare.

    [dim]Example: greylord models[/]
    """
    if context.invoked_subcommand:
        return
    from greylord import runs
    from greylord.analysis import comparison

    found, damaged = runs.all_runs()
    for sentence in damaged:
        console.note(f"A run is left out: {sentence}")
    groups = comparison.comparable_groups(found)
    unfinished = [run for run in found if not run.summary]
    if as_json:
        console.print_json({"runs": [_as_json(run) for group in (*groups, unfinished) for run in group]})
        return
    if not found and not damaged:
        console.say("models", f"no runs in {HERE.models} yet; train one with `greylord train`")
    for group in groups:
        dataset, _, scored_bytes, protocol = _scored(group[0])
        _show(_finished(group), f"Bits per byte on {scored_bytes:,} bytes of {dataset}", f" ({protocol})")
    if unfinished:
        _show(_unfinished(unfinished), "Still running, or interrupted")


def _show(table: Table, title: str, protocol: str = "") -> None:
    console.out.print()
    console.out.print(console.join((title, "bold"), (protocol, "dim")))
    console.out.print()
    console.out.print(table)


def _scored(run: Run) -> Scored:
    """Return what the figure of a finished run was measured on."""
    assert run.scored is not None
    return run.scored


def _finished(group: list[Run]) -> Table:
    table = _run_table("bits/byte", "parameters", "steps", "time", "started")
    for run in group:
        summary = run.summary or {}
        table.add_row(
            run.folder.name,
            f"{run.bits_per_byte:.3f}",
            f"{_parameters(summary) / 1e6:.2f} M",
            f"{run.steps:,}",
            units.duration(summary["seconds"]),
            f"{run.started:%Y-%m-%d}" if run.started else "",
        )
    return table


def _parameters(summary: Mapping[str, Any]) -> int:
    """Return the parameters of a model, position table included."""
    positions = summary.get("position_parameters")
    return summary["parameters"] + (positions if isinstance(positions, int) and is_number(positions) else 0)


def _unfinished(found: list[Run]) -> Table:
    table = _run_table("bits/byte", "step", "of", "last change")
    for run in found:
        table.add_row(
            run.folder.name,
            "none yet" if run.bits_per_byte is None else f"{run.bits_per_byte:.3f}",
            f"{run.steps:,}",
            f"{run.config['plan']['max_steps']:,}",
            f"{units.duration((datetime.now() - run.last_change).total_seconds())} ago",
        )
    return table


def _run_table(*columns: str) -> Table:
    table = console.table("run", *columns)
    table.collapse_padding = True
    return table


def _as_json(run: Run) -> dict[str, Any]:
    summary = run.summary or {}
    keys = ("protocol", "scored_bytes", "parameters", "position_parameters", "seconds", "ended")
    return {
        "run": str(run.folder),
        "finished": bool(summary),
        "bits_per_byte": run.bits_per_byte,
        "steps": run.steps,
        "dataset": run.config["dataset"],
        "data_hash": run.config["data_hash"],
        "started": run.started and run.started.isoformat(),
        "last_change": run.last_change.isoformat(timespec="seconds"),
        **{key: summary.get(key) for key in keys},
    }


@app.command()
def compare(
    one: Annotated[Path, PathArgument(metavar="A", help="Folder of a run, or its name.")],
    other: Annotated[Path, PathArgument(metavar="B", help="Another run.")],
    output: Annotated[
        Path | None,
        PathOption(
            metavar="PNG", help="File of the picture.  [dim]\\[default: analysis_comparison.png][/]", show_default=False
        ),
    ] = None,
) -> None:
    """Show what differs between two runs, and draw their curves.

    [dim]Example: greylord models compare models/sample_2026-11-24T10-11-23 models/latest --output curves.png[/]
    """
    from greylord.analysis import comparison

    pair = _read_pair(one, other)
    picture = picture_path(output, "comparison")
    comparable = len(comparison.comparable_groups(pair)) == 1 and all(run.summary for run in pair)
    _show_pair(pair)
    if not comparable:
        console.note("The two figures do not compare: they are not of the same bytes by the same protocol.")
    _draw(pair, comparable, picture)
    console.say("picture", str(picture))


def _read_pair(one: Path, other: Path) -> list[Run]:
    """Read two runs.

    Raises UsageError if they are the same, and GreylordError if one has no evaluation.
    """
    from greylord import model_folders, runs

    pair = [runs.read_run(model_folders.locate(path)) for path in (one, other)]
    if pair[0].folder.resolve() == pair[1].folder.resolve():
        raise UsageError(f"{str(one)!r} and {str(other)!r} are the same run; name two runs.")
    for run in pair:
        if not _curve(run):
            raise GreylordError(f"{str(run.folder)!r} has no evaluation yet, so there is no curve to compare.")
    return pair


def _show_pair(pair: list[Run]) -> None:
    from greylord.analysis import comparison

    for letter, run in zip("AB", pair, strict=True):
        console.say(letter, str(run.folder))
        console.say("", _figure(run))
    table = console.table("", "A", "B")
    for name, values in comparison.differences(*pair).items():
        table.add_row(name, *map(_cell, values))
    console.show(table)


def _draw(pair: list[Run], comparable: bool, picture: Path) -> None:
    from greylord import plots
    from greylord.files import write_file

    curves = {
        run.folder.name: ([each["tokens"] for each in _curve(run)], [each["bits_per_byte"] for each in _curve(run)])
        for run in pair
    }
    title = "Bits per byte of two runs" + " (not comparable)" * (not comparable)
    write_file(picture, plots.compared_curves(curves, title))


def _curve(run: Run) -> list[dict[str, Any]]:
    """Return the evaluations that can be drawn.

    The last one of a run that diverged is NaN.
    """
    return [each for each in run.evaluations if math.isfinite(each["bits_per_byte"])]


def _figure(run: Run) -> str:
    """Return the figure of a run, what was scored, and what it cost."""
    figure = f"{run.bits_per_byte:.3f} bits per byte"
    if not run.summary:
        return f"{figure} at step {run.steps:,} of {run.config['plan']['max_steps']:,}, not finished"
    dataset, _, scored_bytes, protocol = _scored(run)
    took = f"{units.count(run.steps, 'step')}, {units.duration(run.summary['seconds'])}"
    return f"{figure} on {scored_bytes:,} bytes of {dataset} ({protocol}); {took}"


def _cell(value: Any) -> str:
    """Return a setting as text, and the beginning of a hash."""
    if value is None:
        return "-"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return value[:SHOWN_LENGTH] if len(str(value)) == HASH_LENGTH else str(value)
