"""`greylord models`: the runs in models/, side by side."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.places import PathArgument, PathOption, picture_path
from greylord.errors import GreylordError, UsageError
from greylord.workspace import HERE

if TYPE_CHECKING:
    from rich.table import Table

    from greylord.runs import Run

app = typer.Typer(invoke_without_command=True)

HASH_LENGTH = 64


@app.callback()
def models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the runs in models/, the best first, in groups whose figures compare.

    [dim]Example: greylord models[/]
    """
    if context.invoked_subcommand:
        return
    from greylord import runs
    from greylord.analysis import comparison

    found, damaged = runs.all_runs()
    for sentence in damaged:
        console.warn(f"A run is left out: {sentence}")
    groups = comparison.comparable_groups(found)
    unfinished = [run for run in found if not run.summary]
    if as_json:
        console.print_json({"runs": [_as_json(run) for group in (*groups, unfinished) for run in group]})
        return
    if not found and not damaged:
        console.say("models", f"no runs in {HERE.models} yet; train one with `greylord train`")
    for group in groups:
        dataset, _, scored_bytes, protocol = group[0].scored
        _show(_finished(group), f"Bits per byte on {scored_bytes:,} bytes of {dataset}", f" ({protocol})")
    if unfinished:
        _show(_unfinished(unfinished), "Still going, or broken off")


def _show(table: Table, title: str, small: str = "") -> None:
    console.out.print()
    console.out.print(console.text((title, "bold"), (small, "dim")))
    console.out.print()
    console.out.print(table)


def _finished(group: list[Run]) -> Table:
    table = _run_table("bits/byte", "weights", "steps", "time", "started")
    for run in group:
        table.add_row(
            run.folder.name,
            f"{run.bits_per_byte:.3f}",
            f"{run.summary['parameters'] / 1e6:.2f} M",
            f"{run.steps:,}",
            units.duration(run.summary["seconds"]),
            f"{run.started:%Y-%m-%d}" if run.started else "",
        )
    return table


def _unfinished(found: list[Run]) -> Table:
    table = _run_table("last figure", "at step", "of", "last change")
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
    one: Annotated[Path, PathArgument(metavar="A", help="The folder of a run, or its name.")],
    other: Annotated[Path, PathArgument(metavar="B", help="Another one.")],
    output: Annotated[
        Path | None,
        PathOption(
            metavar="PNG", help="The picture.  [dim]\\[default: analysis_comparison.png][/]", show_default=False
        ),
    ] = None,
) -> None:
    """Show what differs between two runs, and draw both curves in one picture.

    [dim]Example: greylord models compare models/sample_2026-11-24T10-11-23 models/latest --output curves.png[/]
    """
    from greylord import model_folders, runs
    from greylord.analysis import comparison

    pair = [runs.read_run(model_folders.locate(path)) for path in (one, other)]
    if pair[0].folder.resolve() == pair[1].folder.resolve():
        raise UsageError(f"{str(one)!r} and {str(other)!r} are the same run; give two.")
    for run in pair:
        if not _curve(run):
            raise GreylordError(f"{str(run.folder)!r} has no evaluation yet, and so no curve to compare.")
    picture = picture_path(output, "comparison", as_json=False)
    for letter, run in zip("AB", pair, strict=True):
        console.say(letter, str(run.folder))
        console.say("", _figure(run))
    table = console.table("", "A", "B")
    for name, values in comparison.differences(*pair).items():
        table.add_row(name, *map(_cell, values))
    console.out.print()
    console.out.print(table)
    console.out.print()
    same = len(comparison.comparable_groups(pair)) == 1 and all(run.summary for run in pair)
    if not same:
        console.warn("The two figures do not compare: they are not of the same bytes by the same protocol.")

    from greylord import plots
    from greylord.files import write_file

    curves = {
        run.folder.name: tuple([each[key] for each in _curve(run)] for key in ("tokens", "bits_per_byte"))
        for run in pair
    }
    title = "Bits per byte of two runs" + ", which do not compare" * (not same)
    write_file(picture, plots.compared_curves(curves, title))
    console.say("picture", str(picture))


def _curve(run: Run) -> list[dict[str, Any]]:
    """The evaluations that can be drawn: a run that diverged ends with one whose figure is NaN."""
    return [each for each in run.evaluations if math.isfinite(each["bits_per_byte"])]


def _figure(run: Run) -> str:
    """The figure of a run, and what it cost and means."""
    figure = f"{run.bits_per_byte:.3f} bits per byte"
    if not run.summary:
        return f"{figure} at step {run.steps:,} of {run.config['plan']['max_steps']:,}, not finished"
    dataset, _, scored_bytes, protocol = run.scored
    took = f"{units.count(run.steps, 'step')}, {units.duration(run.summary['seconds'])}"
    return f"{figure} on {scored_bytes:,} bytes of {dataset} ({protocol}); {took}"


def _cell(value: Any) -> str:
    """A setting for people: long hashes are cut."""
    if value is None:
        return "-"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return value[:12] if len(str(value)) == HASH_LENGTH else str(value)
