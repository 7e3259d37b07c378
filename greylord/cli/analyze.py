"""`greylord analyze`: what a run did, and what recordings hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.advice import with_flags
from greylord.cli.places import DataDir, PathOption, given_dataset, model_folder, picture_path

if TYPE_CHECKING:
    from greylord.analysis.data import DataReport
    from greylord.analysis.tallies import Commands, Delays
    from greylord.analysis.training import TrainingReport

    Report = DataReport | TrainingReport

app = typer.Typer(help="Analyze a run (did it overfit?) or recordings (what is in them?).", no_args_is_help=True)

Output = Annotated[
    Path | None,
    PathOption(
        metavar="PNG", help="The picture.  [dim]\\[default: analysis_NAME.png; with --json none][/]", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def training(
    model_dir: Annotated[
        Path,
        PathOption(
            metavar="DIR", help="The folder of a run, ended or not, USER/NAME on the Hub, or a training_history.json."
        ),
    ] = Path("models/latest"),
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Judge the course of a run: overfitting, its best step, early stopping, and what to do next.

    Reads the original program's training_history.json too.

    [dim]Example: greylord analyze training --model-dir models/latest[/]
    """
    from greylord import model_folders
    from greylord.analysis import training as analysis

    report = analysis.analyze(model_folder(model_dir) if model_folders.repository_of(model_dir) else model_dir)
    picture = picture_path(output, report.course.name, as_json)
    _tell(report, picture, analysis.draw, _show_training, as_json)


@app.command()
def data(
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A dataset under data/; the only one there is.")
    ] = None,
    data_dir: DataDir = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Count what recordings hold: bytes, turns, dirt, delays, commands, and lines that recur.

    Neither passwords nor user names are shown.

    [dim]Example: greylord analyze data --data-dir data/majormud[/]
    """
    from greylord.corpus import folder

    source = given_dataset(dataset, data_dir) or folder.locate(None)

    from greylord.analysis import data as analysis

    picture = picture_path(output, source.resolve().name, as_json)
    report = analysis.analyze(source, console.progress)
    _tell(report, picture, analysis.draw, _show_data, as_json)


def _tell(
    report: Report, picture: Path | None, draw: Callable[[Report], bytes], show: Callable[[Report], None], as_json: bool
) -> None:
    """Draw a report if it is to be drawn, and print it."""
    from greylord.files import write_file

    if picture:
        write_file(picture, draw(report))
    if as_json:
        console.print_json({**asdict(report), "picture": picture and str(picture)})
        return
    show(report)
    console.say("picture", str(picture))


def _show_training(report: TrainingReport) -> None:
    from greylord.analysis.training import DEGREES

    course, best, verdict, last = report.course, report.best, report.verdict, report.course.points[-1]
    clock, unit = course.clock, course.unit
    console.say("run", f"{course.source}: {units.count(len(course.points), 'evaluation')} to {clock} {last.at:,}")
    if course.going:
        of = f" of {course.planned:,}" if course.planned else ""
        console.say("ended", f"not yet: {clock} {last.at:,}{of}")
    if course.left_out:
        console.warn(f"{units.count(course.left_out, 'entry', 'entries')} without a figure of validation left out.")
    console.say("figures", f"validation in {unit}, training in {course.training_unit} since the evaluation before")
    console.say("best", f"{best.validation:.3f} {unit} at {clock} {best.at:,}; at the end {last.validation:.3f}")
    console.say("overfit", f"{verdict.overfitting or 'unknown'}: {verdict.reason}")
    *limits, (most, _) = DEGREES.items()
    console.note(", ".join(f"{degree} below {100 * limit:g} %" for degree, limit in limits) + f", then {most}")
    table = console.table("early stopping", "stops at", f"keeps {clock}", unit, f"saves {clock}s")
    for stop in report.stops:
        at = "never" if stop.at is None else f"{stop.at:,}"
        table.add_row(f"patience {stop.patience}", at, f"{stop.kept_at:,}", f"{stop.kept:.3f}", f"{stop.saved:,}")
    console.out.print()
    console.out.print(table)
    console.out.print()
    for sentence in report.advice:
        console.say("advice", with_flags(sentence, "max_steps", "epochs"))


def _show_data(report: DataReport) -> None:
    from greylord.cli.manifest import dialect_table, name_skipped
    from greylord.stream.lines import LONG_LINE

    console.out.print()
    console.out.print(dialect_table(report.dialects))
    console.out.print()
    _show_delays(report.delays)
    _show_commands(report.commands)
    payload = sum(recording.payload_bytes for recording in report.recordings)
    console.say(
        "dataset", f"{report.folder}: {units.count(len(report.recordings), 'recording')}, {units.size(payload)}"
    )
    starts = [recording.started_at[:16].replace("T", " ") for recording in report.recordings if recording.started_at]
    if starts:
        groups = units.count(report.time_groups, "time group")
        console.say("starts", f"{starts[0]} to {starts[-1]} UTC, by the names; {groups}")
    markup = report.markup
    console.say(
        "server",
        f"{units.percent(markup.csi_share)} of its bytes are CSI sequences, "
        f"{units.percent(markup.prompt_share)} redraws of the prompt ({markup.prompts:,})",
    )
    console.say(
        "telnet",
        f"{units.count(markup.telnet_commands, 'command')} of {units.count(markup.telnet_bytes, 'byte')}; "
        f"{units.count(markup.high_bytes, 'other high byte')}",
    )
    lines, division = report.long_lines, report.division
    console.say(
        "lines",
        f"{lines.lines:,} of the server have {LONG_LINE} characters or more ({lines.distinct:,} distinct); "
        f"{units.percent(lines.recurring)} stand in another recording too",
    )
    parts = "the ends of all recordings" if division.cut else units.count(division.validation_recordings, "recording")
    console.say(
        "split", f"{parts} validate; {units.percent(lines.known)} of the long lines there stand in training too"
    )
    name_skipped(report.skipped, report.left_out)


def _show_delays(delays: dict[str, Delays]) -> None:
    """Delays by side."""
    from greylord.analysis.tallies import DELAY_LIMIT_MS

    sides = {side: found for side, found in delays.items() if found.records}
    if not sides:
        return
    first, table = next(iter(sides.values())), console.table("", *sides)
    table.add_row("delays", *(f"{found.records:,}" for found in sides.values()))
    table.add_row("least and most, ms", *(f"{found.shortest:,} to {found.longest:,}" for found in sides.values()))
    for share in first.quantiles:
        reached = [found.quantiles[share] for found in sides.values()]
        table.add_row(f"{100 * share:g} % up to, ms", *(f"{ms:,}" + "+" * (ms == DELAY_LIMIT_MS) for ms in reached))
    for token in first.tokens:
        table.add_row(token, *(f"{100 * found.tokens[token]:.2f} %" for found in sides.values()))
    console.out.print(table)
    console.out.print()


def _show_commands(commands: Commands) -> None:
    """The commands with a bar for each, and what else was typed."""
    top = max(commands.frequent.values(), default=1)
    for command, count in commands.frequent.items():
        bar = "█" * max(1, round(console.BAR_WIDTH * count / top))
        console.out.print(f"{command:<20}  {count:>9,}  {bar}")
    console.out.print()
    console.say(
        "typed",
        f"{units.count(commands.lines, 'line')} ({commands.distinct_lines:,} distinct) of "
        f"{units.count(commands.distinct, 'command')}, and {units.count(commands.empty_lines, 'empty line')}",
    )
    console.say(
        "logins",
        f"{commands.logins:,} of {units.count(commands.users, 'user')}; names and passwords are not shown",
    )
