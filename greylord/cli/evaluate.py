"""`greylord evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.places import DataDir, ModelDir, PathOption, given_dataset, model_folder, picture_path
from greylord.errors import UsageError

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

    from greylord.evaluation.calibration import Calibration
    from greylord.evaluation.generated_play import Health
    from greylord.evaluation.next_command import NextCommandReport
    from greylord.evaluation.report import DeepReport
    from greylord.evaluation.unseen import Unseen


def evaluate(
    model_dir: ModelDir = Path("models/latest"),
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A dataset under data/; the one that the model was trained on.")
    ] = None,
    data_dir: DataDir = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Score half a megabyte only, as training does; all takes minutes on a CPU.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Find out more: commands, delays, context, chance, and generated play.")
    ] = False,
    surprise: Annotated[
        Path | None,
        PathOption(metavar="FILE", help="Show what of one recording surprises the model.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        PathOption(
            metavar="PATH",
            help="The folder of --deep or the picture of --surprise.  "
            "[dim]\\[default: evaluation_MODEL, surprise_FILE.png; with --json none][/]",
            show_default=False,
        ),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use no GPU.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a model in bits per byte, beside compressors on the same bytes.

    Of the dataset that the model was trained on, the validation split is scored; of any other, all recordings
    that the model has not read.

    --deep asks further, in a few minutes and on half a megabyte: would the model have typed the next command, are its
    odds of delays true, what does context buy, how far may the figure be chance, and is what it says whole? --surprise
    shows where the bits of one recording are.

    [dim]Example: greylord evaluate --model-dir models/latest --data-dir ../other-days[/]
    """
    from greylord.captures.reading import check_recording

    if sample + deep + (surprise is not None) > 1:
        raise UsageError("--sample, --deep and --surprise exclude each other.")
    if surprise is not None and (dataset is not None or data_dir is not None):
        raise UsageError("--surprise takes one recording; leave --dataset and --data-dir out.")
    if output is not None and not deep and surprise is None:
        raise UsageError("--output is for --deep or --surprise.")
    wanted = given_dataset(dataset, data_dir)
    if surprise is not None:
        check_recording(surprise)
    model_dir = model_folder(model_dir)

    from greylord import modeling
    from greylord.evaluation.unseen import own_dataset, read_unseen
    from greylord.training.hardware import choose_device

    if surprise is not None:
        target = picture_path(output, surprise.stem, as_json, "surprise")
    elif deep:
        target = _report_folder(output, model_dir.name, as_json)
    console.quieten()
    model = modeling.load_model(model_dir)
    device = choose_device(cpu).type
    if surprise is not None:
        _surprise(model.to(device), surprise, target, as_json)
        return
    source = own_dataset(model_dir) if wanted is None else wanted
    unseen = read_unseen(source, model_dir, console.progress)
    if not as_json:
        console.say("model", str(model_dir))
        console.say("data", unseen.description + (", a seeded half megabyte of it" if sample or deep else ""))
    if deep:
        _deep(model.to(device), model_dir, unseen, target, as_json)
    else:
        _overall(model.to(device), model_dir, unseen, sample, as_json)


def _overall(model: GPT2LMHeadModel, model_dir: Path, unseen: Unseen, sample: bool, as_json: bool) -> None:
    """The figure, beside compressors."""
    from greylord.corpus.windows import sample_spans, whole_rows
    from greylord.evaluation import baselines, bits_per_byte
    from greylord.metrics.bits_per_byte.bits_per_byte import BitsPerByte

    spans = sample_spans(unseen.rows) if sample else whole_rows(unseen.rows)
    context = model.config.n_positions
    score = bits_per_byte.score_spans(model, unseen.rows, spans, context, console.progress)
    overall = BitsPerByte(keep_in_memory=True).compute(
        nats=[score.server_nats, score.client_nats, score.framing_nats],
        payload_bytes=[score.server_bytes, score.client_bytes, 0],
    )["bits_per_byte"]
    stream = bits_per_byte.stream_of(unseen.rows, spans)
    figures = baselines.measure_compressors(stream, score.payload_bytes, console.progress)
    protocol = bits_per_byte.protocol(context)
    if as_json:
        console.print_json(
            {
                "model": str(model_dir),
                "data": unseen.description,
                "sample": sample,
                "protocol": protocol,
                "bits_per_byte": {
                    "overall": overall,
                    **{part: getattr(score, part) for part in ("server", "client", "framing")},
                },
                "payload_bytes": {"server": score.server_bytes, "client": score.client_bytes},
                "framing_tokens": score.framing_tokens,
                "compressors": figures,
            }
        )
        return
    console.figures(
        f"Bits per byte on {score.payload_bytes:,} payload bytes",
        {**figures, "this model": overall},
        "this model",
    )
    console.say("server", f"{score.server:.3f} bits per byte of its {score.server_bytes:,}")
    console.say("client", f"{score.client:.3f} bits per byte of its {score.client_bytes:,}")
    console.say(
        "framing", f"{score.framing:.3f} bits per byte of all, for {score.framing_tokens:,} direction and delay tokens"
    )
    console.note(protocol)


def _report_folder(output: Path | None, name: str, as_json: bool) -> Path | None:
    """Where the report goes, or None. Raises UsageError for a name that is taken by anything but such a report."""
    if output is None and as_json:
        return None
    from greylord.evaluation.report import is_report

    path = output or Path(f"evaluation_{name}")
    if path.exists() and not is_report(path):
        raise UsageError(f"{str(path)!r} is there already and no report of --deep; name another with --output.")
    return path


def _deep(model: GPT2LMHeadModel, model_dir: Path, unseen: Unseen, target: Path | None, as_json: bool) -> None:
    """Everything else that can be found out."""
    from greylord.evaluation.report import make_report, write_report
    from greylord.evaluation.unseen import read_trained

    training = read_trained(model_dir, console.progress)
    if not training:
        console.warn(f"The dataset of {str(model_dir)!r} is not here; n-gram and primed lzma are left out.")
    report = make_report(model, str(model_dir), unseen, training, console.progress)
    if target:
        write_report(report, target)
    if as_json:
        console.print_json({**asdict(report), "report": target and str(target)})
        return
    overall, interval = report.bits_per_byte["overall"], report.interval
    figures = {**report.compressors, "this model": overall}
    console.figures(f"Bits per byte on {report.payload_bytes:,} payload bytes", figures, "this model")
    if interval:
        console.say(
            "chance", f"{interval.low:.3f} to {interval.high:.3f} in 95 of 100 draws of {interval.groups} time groups"
        )
    else:
        console.say("chance", "unknown: all that was scored is of one time group")
    for part in ("server", "client", "framing"):
        console.say(part, f"{report.bits_per_byte[part]:.3f} bits per byte")
    console.note(report.protocol)
    if report.commands:
        _show_commands(report.commands)
    if report.delays:
        _show_delays(report.delays)
    _show_context(report)
    _show_health(report.health)
    console.say("report", str(target))


def _show_commands(commands: NextCommandReport) -> None:
    """Who named the right one."""
    table = console.table("next command", "top 1", "top 5", "top 1, by verb", "top 5, by verb")
    for name, hits in commands.hits.items():
        shares = (hits.top_1, hits.top_5, hits.macro_top_1, hits.macro_top_5)
        table.add_row(name, *map(units.percent, shares), style="bold green" if name == "this model" else None)
    console.out.print()
    console.out.print(table)
    console.note(
        f"{commands.turns:,} of {commands.available:,} commands, {units.count(commands.verbs, 'verb')}; by verb, each "
        "counts alike"
    )


def _show_delays(delays: Calibration) -> None:
    """What was predicted, and what came."""
    table = console.table("delay", "predicted", "came", "calibration error")
    for name, each in delays.delays.items():
        table.add_row(
            name, *(f"{100 * x:.2f} %" for x in (each.predicted, each.observed, each.expected_calibration_error))
        )
    console.out.print()
    console.out.print(table)
    console.note(
        f"{delays.turns:,} turns; of the likeliest delay the error is {100 * delays.expected_calibration_error:.2f} %"
    )


def _show_context(report: DeepReport) -> None:
    """What was heard before, and what more of it brings."""
    table = console.table("tokens before", "bits per byte")
    for each in report.positions:
        heard = f"{each.first:,} to {each.last:,}" if each.last > each.first else str(each.first)
        table.add_row(heard, f"{each.bits_per_byte:.3f}")
    console.out.print()
    console.out.print(table)
    table = console.table("context", "bits per byte")
    for length, figure in report.contexts.items():
        table.add_row(f"{length:,}", f"{figure:.3f}")
    console.out.print()
    console.out.print(table)


def _show_health(found: Mapping[str, Health]) -> None:
    """Generated play beside real play."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    table = console.table("generated play", *found)
    plays = found.values()
    table.add_row("valid control sequences", *(units.percent(play.valid_csi) for play in plays))
    table.add_row("valid telnet commands", *(units.percent(play.valid_telnet) for play in plays))
    table.add_row("prompts in 1,000 bytes", *(number(play.prompts_per_kilobyte) for play in plays))
    table.add_row("longest repetition", *(units.percent(play.repeated) for play in plays))
    table.add_row("rooms seen again", *(f"{play.rooms_seen_again:,}" for play in plays))
    table.add_row("with the same exits", *(units.percent(play.same_exits) for play in plays))
    console.out.print()
    console.out.print(table)
    console.out.print()


def _surprise(model: GPT2LMHeadModel, path: Path, target: Path | None, as_json: bool) -> None:
    """Where the bits of one recording are."""
    from rich.text import Text

    from greylord import plots
    from greylord.evaluation.surprisal import measure_surprisal, smooth
    from greylord.files import write_file

    found = measure_surprisal(model, path, console.progress)
    if target:
        title = f"{found.name}: {found.bits_per_byte:.3f} bits per byte"
        curves = {"server": smooth(found, by_client=False), "client": smooth(found, by_client=True)}
        write_file(target, plots.surprisal_curves(curves, len(found.bits), title))
    if as_json:
        lines = [{**asdict(line), "shown": Text.from_ansi(line.shown).plain} for line in found.lines]
        console.print_json(
            {
                "recording": str(path),
                "protocol": found.protocol,
                "bits_per_byte": found.bits_per_byte,
                "payload_bytes": len(found.bits),
                "lines": lines,
                "picture": target and str(target),
            }
        )
        return
    table = console.table("bits", "at byte")
    table.add_column("line")
    for line in found.lines:
        table.add_row(f"{line.bits:.0f}", f"{line.offset:,}", Text.from_ansi(line.shown))
    console.out.print(table)
    console.out.print()
    console.say("figure", f"{found.bits_per_byte:.3f} bits per byte of {len(found.bits):,}, {found.protocol}")
    console.say("picture", str(target))
