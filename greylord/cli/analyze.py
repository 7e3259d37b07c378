"""`greylord analyze`: judge a run, and count what recordings hold."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.advice import with_flags
from greylord.cli.options import AsJson, DataDir, PathOption, Picture
from greylord.cli.places import given_dataset, model_folder, picture_path
from greylord.files import write_file

if TYPE_CHECKING:
    from greylord.analysis.data import DataReport
    from greylord.analysis.tallies import Commands, Delays, Markup
    from greylord.analysis.training import TrainingReport

app = typer.Typer(help="Analyze a run (did it overfit?) or recordings.", no_args_is_help=True)


@app.command()
def training(
    model_dir: Annotated[
        Path,
        PathOption(metavar="DIR", help="Folder of a run, USER/NAME on the Hub, or a training_history.json."),
    ] = Path("models/latest"),
    output: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Judge a run: did it overfit, and what should you do next?

    The run may still be going on. It also reads the training_history.json of
    the original program.

    [dim]Example: greylord analyze training --model-dir models/latest[/]
    """
    from greylord import model_folders
    from greylord.analysis import training as analysis

    report = analysis.analyze(model_folder(model_dir) if model_folders.repository_of(model_dir) else model_dir)
    picture = picture_path(output, report.course.name) if output or not as_json else None
    if picture:
        write_file(picture, analysis.draw(report))
    if as_json:
        _print_json(report, picture)
    else:
        _show_training(report)
        console.say("picture", str(picture))


@app.command()
def data(
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Dataset under data/.  [dim]\\[default: the only one][/]")
    ] = None,
    data_dir: DataDir = None,
    output: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Count what recordings hold: turns, delays, commands, repeated lines.

    Passwords and user names are not shown.

    [dim]Example: greylord analyze data --data-dir data/majormud[/]
    """
    from greylord.corpus import folder

    source = given_dataset(dataset, data_dir) or folder.locate(None)

    from greylord.analysis import data as analysis

    picture = picture_path(output, source.resolve().name) if output or not as_json else None
    report = analysis.analyze(source, console.progress)
    if picture:
        write_file(picture, analysis.draw(report))
    if as_json:
        _print_json(report, picture)
    else:
        _show_data(report)
        console.say("picture", str(picture))


def _print_json(report: DataReport | TrainingReport, picture: Path | None) -> None:
    console.print_json({**asdict(report), "picture": picture and str(picture)})


def _show_training(report: TrainingReport) -> None:
    from greylord.analysis.training import DEGREES, PATIENCES

    course, best, verdict, last = report.course, report.best, report.verdict, report.course.points[-1]
    clock, unit = course.clock, course.unit
    console.say("run", f"{course.source}: {units.count(len(course.points), 'evaluation')} to {clock} {last.at:,}")
    if course.going:
        of = f" of {course.planned:,}" if course.planned else ""
        console.say("ended", f"not yet: {clock} {last.at:,}{of}")
    if course.left_out:
        console.note(f"{units.count(course.left_out, 'entry', 'entries')} without a validation figure left out.")
    console.say("units", f"validation in {unit}")
    console.say("", f"training in {course.training_unit}, mean since the previous evaluation")
    console.say("best", f"{best.validation:.3f} {unit} at {clock} {best.at:,}")
    console.say("last", f"{last.validation:.3f} {unit} at {clock} {last.at:,}")
    console.say("overfit", f"{verdict.overfitting or 'unknown'}: {verdict.reason}")
    *limits, (most, _) = DEGREES.items()
    scale = ", ".join(f"{degree} below {100 * limit:g} %" for degree, limit in limits)
    console.footnote(f"validation at the end over its best: {scale}, then {most}")
    # The least patience needs as many evaluations after the best one.
    if len(course.points) > min(PATIENCES):
        _show_stops(report)
    for sentence in report.advice:
        console.say("advice", with_flags(sentence, "max_steps", "epochs"))


def _show_stops(report: TrainingReport) -> None:
    """Print where training would have stopped with other values of patience."""
    clock, unit = report.course.clock, report.course.unit
    table = console.table("early stopping", "stops at", f"best {clock}", unit, f"{clock}s saved")
    for stop in report.stops:
        at = "never" if stop.at is None else f"{stop.at:,}"
        table.add_row(f"patience {stop.patience}", at, f"{stop.kept_at:,}", f"{stop.kept:.3f}", f"{stop.saved:,}")
    console.show(table)


def _show_data(report: DataReport) -> None:
    from greylord.cli.manifest import dialect_table, name_skipped

    _show_recordings(report)
    console.show(dialect_table(report.dialects))
    _show_delays(report.delays)
    _show_commands(report.commands)
    _show_markup(report.markup)
    _show_lines(report)
    name_skipped(report.skipped, report.left_out)


def _show_recordings(report: DataReport) -> None:
    payload = sum(recording.payload_bytes for recording in report.recordings)
    count = units.count(len(report.recordings), "recording")
    console.say("dataset", f"{report.folder}: {count}, {units.size(payload)} of payload")
    starts = [recording.started_at[:16].replace("T", " ") for recording in report.recordings if recording.started_at]
    if starts:
        console.say("starts", f"{starts[0]} to {starts[-1]} UTC, by file name")
        console.say("groups", f"{units.count(report.time_groups, 'time group')}, for the split")


def _show_markup(markup: Markup) -> None:
    console.say("ansi", f"{units.percent(markup.csi_share)} of the server's bytes are CSI sequences")
    console.say("prompts", f"{units.percent(markup.prompt_share)} of the server's bytes, {markup.prompts:,} redraws")
    commands, size = units.count(markup.telnet_commands, "command"), units.count(markup.telnet_bytes, "byte")
    console.say("telnet", f"{commands}, {size}")
    console.say("8-bit", units.count(markup.high_bytes, "other byte") + " above 127")


def _show_lines(report: DataReport) -> None:
    """Print the share of the text that occurs in several recordings.

    Also print the share that occurs on both sides of the split.
    """
    from greylord.stream.lines import LONG_LINE

    lines, division = report.long_lines, report.division
    console.say("lines", f"{lines.lines:,} server lines of {LONG_LINE} characters or more, {lines.distinct:,} distinct")
    console.say("", f"{units.percent(lines.recurring)} of them also occur in another recording")
    parts = "the ends of all recordings" if division.cut else units.count(division.validation_recordings, "recording")
    console.say("split", f"{parts} for validation")
    console.say("", f"{units.percent(lines.known)} of the long lines there also occur in training recordings")


def _show_delays(delays: dict[str, Delays]) -> None:
    """Print the delays of each side."""
    from greylord.analysis.tallies import DELAY_LIMIT_MS

    sides = {side: tally for side, tally in delays.items() if tally.records}
    if not sides:
        return
    first, table = next(iter(sides.values())), console.table("delays", *sides)
    table.add_row("records", *(f"{tally.records:,}" for tally in sides.values()))
    table.add_row("shortest to longest, ms", *(f"{tally.shortest:,} to {tally.longest:,}" for tally in sides.values()))
    for share in first.quantiles:
        limits = [tally.quantiles[share] for tally in sides.values()]
        table.add_row(f"{100 * share:g} % within, ms", *(f"{ms:,}" + "+" * (ms == DELAY_LIMIT_MS) for ms in limits))
    for token in first.tokens:
        table.add_row(token, *(f"{100 * tally.tokens[token]:.2f} %" for tally in sides.values()))
    console.out.print(table)
    console.out.print()


def _show_commands(commands: Commands) -> None:
    """Print the most frequent commands with a bar for each, and other counts."""
    top = max(commands.frequent.values(), default=1)
    if commands.frequent:
        console.out.print(f"{'command':<20}  {'typed':>9}", style="bold")
    for command, count in commands.frequent.items():
        console.out.print(f"{command:<20}  {count:>9,}  {console.bar(count, top)}")
    console.out.print()
    console.say("typed", f"{units.count(commands.lines, 'line')}, {commands.distinct_lines:,} distinct")
    console.say("", f"{units.count(commands.distinct, 'command')}, by their first word")
    console.say("", f"{units.count(commands.empty_lines, 'empty line')}")
    console.say("logins", f"{commands.logins:,} by {units.count(commands.users, 'user')}")
