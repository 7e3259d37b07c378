"""`greylord evaluate` in three modes: the score, --deep and --surprise.

The modes exclude each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.options import AsJson, Cpu, DataDir, ModelDir, PathOption
from greylord.cli.places import given_dataset, model_folder, picture_path
from greylord.errors import UsageError

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

    from greylord.evaluation.bits_per_byte import Score
    from greylord.evaluation.calibration import Calibration
    from greylord.evaluation.generated_play import Health
    from greylord.evaluation.next_command import NextCommandReport
    from greylord.evaluation.report import DeepReport
    from greylord.evaluation.surprisal import RecordingSurprisal
    from greylord.evaluation.unseen import Unseen

THIS_MODEL = "this model"
PARTS = ("server", "client", "framing")


def evaluate(
    model_dir: ModelDir = Path("models/latest"),
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Dataset under data/.  [dim]\\[default: the one that the model was trained on][/]"
        ),
    ] = None,
    data_dir: DataDir = None,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample", help="Score a sample of half a megabyte, as training does. All of it takes minutes on a CPU."
        ),
    ] = False,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also test commands, delays, context length, confidence and generated play."),
    ] = False,
    surprise: Annotated[
        Path | None,
        PathOption(metavar="FILE", help="Show which lines of one recording surprise the model.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        PathOption(
            metavar="PATH",
            help="Folder for --deep, or picture for --surprise.  "
            "[dim]\\[default: evaluation_MODEL, surprise_FILE.png; none with --json][/]",
            show_default=False,
        ),
    ] = None,
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Score a model in bits per byte, next to compressors.

    On the dataset that the model was trained on, the validation split is
    scored. On another dataset, all recordings that the model has not read.

    --deep takes a few minutes, on half a megabyte. It tests more:
    - next command: would the model have typed it?
    - delays: are the predicted probabilities calibrated?
    - context: what do more tokens of context bring?
    - confidence: how much of the score may be chance?
    - generated play: is it well-formed?

    --surprise shows where the bits of one recording are.

    [dim]Example: greylord evaluate --model-dir models/latest --sample[/]
    """
    _refuse_conflicts(dataset, data_dir, sample, deep, surprise, output)
    given = given_dataset(dataset, data_dir)
    if surprise is not None:
        _evaluate_recording(model_dir, surprise, output, cpu, as_json)
    elif deep:
        _evaluate_deeply(model_dir, given, output, cpu, as_json)
    else:
        _evaluate_score(model_dir, given, sample, cpu, as_json)


def _refuse_conflicts(
    dataset: str | None, data_dir: Path | None, sample: bool, deep: bool, surprise: Path | None, output: Path | None
) -> None:
    """Raise UsageError for flags that exclude each other."""
    if sample + deep + (surprise is not None) > 1:
        raise UsageError("--sample, --deep and --surprise exclude each other.")
    if surprise is not None and (dataset is not None or data_dir is not None):
        raise UsageError("--surprise takes one recording; leave out --dataset and --data-dir.")
    if output is not None and not deep and surprise is None:
        raise UsageError("--output is for --deep or --surprise.")


def _load(model_dir: Path, cpu: bool) -> GPT2LMHeadModel:
    """Load a model onto the device, ready to be evaluated."""
    from greylord import modeling
    from greylord.training.hardware import choose_device

    console.quieten()
    return modeling.load_model(model_dir).eval().to(choose_device(cpu).type)


def _unseen(model_dir: Path, given: Path | None) -> Unseen:
    """Find the recordings to score.

    They are those of the given dataset, or of the model's own, without the training recordings.
    """
    from greylord.evaluation.unseen import own_dataset, read_unseen

    return read_unseen(own_dataset(model_dir) if given is None else given, model_dir, console.progress)


def _print_scored_data(model_dir: Path, unseen: Unseen, sampled: bool) -> None:
    from greylord.corpus.windows import sample_spans, whole_rows

    console.say("model", str(model_dir))
    console.say("data", unseen.description)
    if sampled:
        is_all = sample_spans(unseen.rows) == whole_rows(unseen.rows)
        console.say("sample", "all of it" if is_all else "about half a megabyte of it, drawn with a fixed seed")


# --- The score


def _evaluate_score(model_dir: Path, given: Path | None, sample: bool, cpu: bool, as_json: bool) -> None:
    """Score the model, next to compressors on the same bytes."""
    model_dir = model_folder(model_dir)

    from greylord.corpus.windows import sample_spans, whole_rows
    from greylord.evaluation import baselines, bits_per_byte

    model, unseen = _load(model_dir, cpu), _unseen(model_dir, given)
    if not as_json:
        _print_scored_data(model_dir, unseen, sample)
    spans = sample_spans(unseen.rows) if sample else whole_rows(unseen.rows)
    context = model.config.n_positions
    score = bits_per_byte.score_spans(model, unseen.rows, spans, context, console.progress)
    overall = _overall(score)
    stream = bits_per_byte.stream_of(unseen.rows, spans)
    compressors = baselines.measure_compressors(stream, score.payload_bytes, console.progress)
    protocol = bits_per_byte.protocol(context)
    if as_json:
        console.print_json(
            {
                "model": str(model_dir),
                "data": unseen.description,
                "sample": sample,
                "protocol": protocol,
                "bits_per_byte": {"overall": overall, **{part: getattr(score, part) for part in PARTS}},
                "payload_bytes": {"server": score.server_bytes, "client": score.client_bytes},
                "framing_tokens": score.framing_tokens,
                "compressors": compressors,
            }
        )
    else:
        _show_score(score, overall, compressors, protocol)


def _overall(score: Score) -> float:
    """Compute bits per byte by the metric that `evaluate.load` gives."""
    from greylord.metrics.bits_per_byte.bits_per_byte import BitsPerByte

    return BitsPerByte(keep_in_memory=True).compute(
        nats=[score.server_nats, score.client_nats, score.framing_nats],
        payload_bytes=[score.server_bytes, score.client_bytes, 0],
    )["bits_per_byte"]


def _show_score(score: Score, overall: float, compressors: Mapping[str, float], protocol: str) -> None:
    title = f"Bits per byte on {score.payload_bytes:,} payload bytes"
    console.figures(title, {**compressors, THIS_MODEL: overall}, THIS_MODEL)
    console.say("server", f"{score.server:.3f} bits per byte, {score.server_bytes:,} bytes")
    console.say("client", f"{score.client:.3f} bits per byte, {score.client_bytes:,} bytes")
    console.say("framing", f"{score.framing:.3f} bits per payload byte, {score.framing_tokens:,} turn and delay tokens")
    console.footnote(f"protocol: {protocol}")


# --- --deep


def _evaluate_deeply(model_dir: Path, given: Path | None, output: Path | None, cpu: bool, as_json: bool) -> None:
    """Test a model in all ways, and write a report."""
    model_dir = model_folder(model_dir)

    from greylord.evaluation import report as reports
    from greylord.evaluation.unseen import read_trained

    target = _report_folder(output, model_dir.name) if output or not as_json else None
    model, unseen = _load(model_dir, cpu), _unseen(model_dir, given)
    if not as_json:
        _print_scored_data(model_dir, unseen, sampled=True)
    training = read_trained(model_dir, console.progress)
    if not training:
        console.note(
            f"The dataset that {str(model_dir)!r} was trained on is not here: n-gram and primed lzma are left out."
        )
    report = reports.make_report(model, str(model_dir), unseen, training, console.progress)
    if target:
        reports.write_report(report, target)
    if as_json:
        console.print_json({**asdict(report), "report": target and str(target)})
    else:
        _show_report(report)
        console.say("report", str(target))


def _report_folder(output: Path | None, name: str) -> Path:
    """Choose the folder of the report.

    Raises UsageError if it exists and is not such a report.
    """
    from greylord.evaluation.report import is_report

    path = output or Path(f"evaluation_{name}")
    if path.exists() and not is_report(path):
        raise UsageError(f"{str(path)!r} exists and is not a report of --deep; name another with --output.")
    return path


def _show_report(report: DeepReport) -> None:
    from greylord.evaluation.report import PRIMED

    figures = {**report.compressors, THIS_MODEL: report.bits_per_byte["overall"]}
    console.figures(f"Bits per byte on {report.payload_bytes:,} payload bytes", figures, THIS_MODEL)
    _show_interval(report)
    for part in PARTS:
        console.say(part, f"{report.bits_per_byte[part]:.3f} bits per byte")
    console.footnote(f"protocol: {report.protocol}")
    if PRIMED in report.compressors:
        console.footnote(f"{PRIMED}: reads training recordings first; the other compressors see only these bytes")
    if report.interval:
        console.footnote("interval: holds the figure in 95 % of draws, with replacement, of the time groups")
    if report.commands:
        _show_commands(report.commands)
    if report.delays:
        _show_delays(report.delays)
    _show_context(report)
    _show_generated_play(report.health)


def _show_interval(report: DeepReport) -> None:
    interval = report.interval
    if interval:
        bounds = f"{interval.low:.3f} to {interval.high:.3f}"
        console.say("interval", f"{bounds} (95 %, bootstrap over {units.count(interval.groups, 'time group')})")
    else:
        console.say("interval", "unknown (all that was scored belongs to one time group)")


def _show_commands(commands: NextCommandReport) -> None:
    """Print how often each predictor named the command that was typed."""
    table = console.table("next command", "top 1", "top 5", "top 1 per verb", "top 5 per verb")
    for name, hits in commands.hits.items():
        shares = (hits.top_1, hits.top_5, hits.macro_top_1, hits.macro_top_5)
        table.add_row(name, *map(units.percent, shares), style="bold green" if name == THIS_MODEL else None)
    console.out.print()
    console.out.print(table)
    console.footnote(
        f"{commands.turns:,} of {commands.available:,} commands; "
        f"per verb: the mean over {units.count(commands.verbs, 'verb')}"
    )
    console.footnote("top 1: the likeliest command was typed; top 5: one of the five likeliest")


def _show_delays(delays: Calibration) -> None:
    """Show the predicted and the observed share of each delay."""
    table = console.table("delay", "predicted", "observed", "calibration error")
    for name, each in delays.delays.items():
        shares = (each.predicted, each.observed, each.expected_calibration_error)
        table.add_row(name, *(f"{100 * share:.2f} %" for share in shares))
    console.out.print()
    console.out.print(table)
    console.footnote(
        f"{delays.turns:,} turns; expected calibration error of the likeliest delay "
        f"{100 * delays.expected_calibration_error:.2f} %"
    )


def _show_context(report: DeepReport) -> None:
    """Show the score by the number of tokens before, and by the length of the context."""
    table = console.table("tokens before", "bits per byte")
    for each in report.positions:
        span = f"{each.first:,} to {each.last:,}" if each.last > each.first else str(each.first)
        table.add_row(span, f"{each.bits_per_byte:.3f}")
    console.out.print()
    console.out.print(table)
    table = console.table("context", "bits per byte")
    for length, figure in report.contexts.items():
        table.add_row(f"{length:,}", f"{figure:.3f}")
    console.out.print()
    console.out.print(table)


def _show_generated_play(health: Mapping[str, Health]) -> None:
    """Print what is well-formed in generated play, and the same of real play."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    table = console.table("generated play", *health)
    plays = health.values()
    table.add_row("valid control sequences", *(units.percent(play.valid_csi) for play in plays))
    table.add_row("valid telnet commands", *(units.percent(play.valid_telnet) for play in plays))
    table.add_row("prompts per 1,000 bytes", *(number(play.prompts_per_kilobyte) for play in plays))
    table.add_row("longest repetition", *(units.percent(play.repeated) for play in plays))
    table.add_row("rooms seen again", *(f"{play.rooms_seen_again:,}" for play in plays))
    table.add_row("with the same exits", *(units.percent(play.same_exits) for play in plays))
    console.show(table)


# --- --surprise


def _evaluate_recording(model_dir: Path, recording: Path, output: Path | None, cpu: bool, as_json: bool) -> None:
    """Show which lines of a recording cost most bits, and draw all of it."""
    from greylord.captures.reading import check_recording

    check_recording(recording)
    model_dir = model_folder(model_dir)
    target = picture_path(output, recording.stem, "surprise") if output or not as_json else None

    from greylord.evaluation.surprisal import measure_surprisal
    from greylord.files import write_file

    found = measure_surprisal(_load(model_dir, cpu), recording, console.progress)
    if target:
        write_file(target, _draw_surprisal(found))
    if as_json:
        console.print_json(_surprisal_as_json(found, recording, target))
    else:
        _show_surprisal(found)
        console.say("picture", str(target))


def _draw_surprisal(found: RecordingSurprisal) -> bytes:
    from greylord import plots
    from greylord.evaluation.surprisal import smooth

    curves = {"server": smooth(found, by_client=False), "client": smooth(found, by_client=True)}
    return plots.surprisal_curves(curves, len(found.bits), f"{found.name}: {found.bits_per_byte:.3f} bits per byte")


def _surprisal_as_json(found: RecordingSurprisal, recording: Path, target: Path | None) -> dict[str, Any]:
    from rich.text import Text

    return {
        "recording": str(recording),
        "protocol": found.protocol,
        "bits_per_byte": found.bits_per_byte,
        "payload_bytes": len(found.bits),
        "lines": [{**asdict(line), "shown": Text.from_ansi(line.shown).plain} for line in found.lines],
        "picture": target and str(target),
    }


def _show_surprisal(found: RecordingSurprisal) -> None:
    from rich.text import Text

    table = console.table("bits", "at byte")
    table.add_column("line")
    for line in found.lines:
        table.add_row(f"{line.bits:.0f}", f"{line.offset:,}", Text.from_ansi(line.shown))
    console.out.print(table)
    console.out.print()
    console.say("score", f"{found.bits_per_byte:.3f} bits per byte of {len(found.bits):,} payload bytes")
    console.footnote(f"protocol: {found.protocol}")
