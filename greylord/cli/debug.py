"""`greylord debug`: whether a vocabulary or a model is sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.places import ModelDir, PathOption, model_folder

if TYPE_CHECKING:
    from greylord.diagnostics import model, vocabulary

app = typer.Typer(help="Whether a vocabulary or a model is sound, and if not, why.", no_args_is_help=True)

AMISS = ("■", "red")
"""Stands in the grid for a token that is not in its place."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("vocab")
def debug_vocabulary(
    vocab_path: Annotated[
        Path | None,
        PathOption(
            metavar="PATH",
            help="A tokenizer's or model's folder, or a vocabulary file.  [dim]\\[default: the one built in][/]",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a vocabulary is the 262 tokens, and that its files, its tokenizer and the numpy path agree.

    Exit code 1 if not, with the reasons.

    [dim]Example: greylord debug vocab --vocab-path tokenizer[/]
    """
    from greylord.diagnostics import vocabulary

    console.quieten()
    folder = None if vocab_path is None else vocabulary.vocabulary_folder(vocab_path)
    report = vocabulary.inspect(folder)
    if as_json:
        _print_report({"vocabulary": folder and str(folder), **asdict(report)})
    else:
        console.say("source", "built in" if folder is None else str(folder))
        if report.forms:
            _show_vocabulary(report)
    _end(report.problems, "all 262 tokens are in place, and every form gives the ids of the numpy path", as_json)


def _show_vocabulary(report: vocabulary.VocabularyReport) -> None:
    """The tokens in a grid, and what was found of each form of them."""
    from rich.text import Text

    from greylord.stream.vocabulary import PAD, SPECIAL_TOKENS

    amiss = set().union(*(form.wrong_ids for form in report.forms))
    console.out.print()
    console.out.print("       " + " ".join(f"{low:x}" for low in range(16)), style="dim")
    for high in range(16):
        line = Text.assemble((f"  {high:x}0   ", "dim"))
        for byte in range(16 * high, 16 * high + 16):
            line.append(*(AMISS if byte in amiss else (_glyph(byte),))).append(" ")
        if high < len(SPECIAL_TOKENS):
            line.append(f"     {PAD + high}  ", "dim").append(SPECIAL_TOKENS[high])
            line.append(*(AMISS if PAD + high in amiss else ("",)))
        console.out.print(line)
    console.out.print()
    table = console.table("", *(form.file for form in report.forms))
    for name in ("entries", "gaps", "duplicates", "misplaced", "unknown"):
        table.add_row(name, *(f"{len(getattr(form, name)):,}" for form in report.forms))
    for kind, total in report.samples.items():
        table.add_row(kind, *(f"{form.passed[kind]:,} of {total:,}" for form in report.forms))
    console.out.print(table)
    console.out.print()


def _glyph(byte: int) -> str:
    return chr(byte) if 32 < byte < 127 else "·"


@app.command("model")
def debug_model(
    model_dir: ModelDir = Path("models/latest"),
    as_json: AsJson = False,
) -> None:
    """Check a model's files, ids and weights, and train it for one step in memory.

    Exit code 1 if it is not sound, with the reasons. The folder stays as it is.

    [dim]Example: greylord debug model --model-dir models/latest[/]
    """
    folder = model_folder(model_dir)

    from greylord.diagnostics import model

    console.quieten()
    report = model.inspect(folder)
    if as_json:
        _print_report({"model": str(folder), **asdict(report)})
    else:
        _show_model(folder, report)
    _end(report.problems, "its files, ids and weights are in order, and a step trains it", as_json)


def _show_model(folder: Path, report: model.ModelReport) -> None:
    from greylord.diagnostics.model import UNIFORM_NATS, WEIGHT_BOUND
    from greylord.runs import RECORD_FILES, USE_FILES

    console.say("model", str(folder))
    shape = f"GPT-2, {report.layers} layers of {report.width}, {report.heads} heads"
    console.say("shape", f"{shape}, {report.context:,} positions")
    weights = report.weights
    if weights:
        _show_parameters(weights)
        dtypes = ", ".join(f"{units.count(tensors, 'tensor')} of {name}" for name, tensors in weights.dtypes.items())
        console.say("dtype", dtypes)
        console.say("weights", f"largest {weights.largest:.3g} in {weights.largest_in}; the bound is {WEIGHT_BOUND:g}")
        console.say("tied", "the output matrix is the embedding" if weights.tied else "no")
    for file, ids in report.ids.items():
        given = ", ".join(f"{key.removesuffix('_token_id')} {value}" for key, value in ids.items())
        console.say("ids", f"{given or 'none'} in {file}")
    length = "unknown" if report.max_length is None else f"{report.max_length:,}"
    console.say("context", f"{report.context:,} positions; the tokenizer's model_max_length is {length}")
    there = len(USE_FILES) + len(RECORD_FILES) - len(report.missing)
    without = f"; without {', '.join(report.missing)}" if report.missing else ""
    console.say("files", f"{there} of {there + len(report.missing)}{without}")
    if report.step:
        step = report.step
        console.say("step", f"{units.count(step.windows, 'window')} of {report.context:,} tokens of {report.data}")
        console.say(
            "loss",
            f"{step.loss:.3f} nats a token (guessing: ln 262 = {UNIFORM_NATS:.3f}), "
            f"gradient norm {step.gradient_norm:.3g}",
        )
        console.say(
            "speed",
            f"{step.tokens_per_second:,.0f} tokens/s, memory at most {units.size(step.peak_memory_bytes)}; "
            f"{step.device}",
        )
    console.out.print()


def _show_parameters(weights: model.WeightReport) -> None:
    """Weights by block, and with and without the position table."""
    parts = ("attention", "MLP", "norms")
    table = console.table("", *parts, "weights")
    for block, sizes in weights.blocks.items():
        if block != "positions":
            table.add_row(
                block, *(f"{sizes[part]:,}" if part in sizes else "" for part in parts), f"{sum(sizes.values()):,}"
            )
    blank = [""] * len(parts)
    table.add_row("together", *blank, f"{weights.without_positions:,}")
    table.add_row("positions", *blank, f"{weights.positions:,}")
    table.add_row("with them", *blank, f"{weights.without_positions + weights.positions:,}")
    console.out.print()
    console.out.print(table)
    console.out.print()


def _print_report(report: dict[str, Any]) -> None:
    # JSON has no NaN.
    step = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in (report.get("step") or {}).items()
    }
    console.print_json({"sound": not report["problems"], **report, **({"step": step} if step else {})})


def _end(problems: Sequence[str], sound: str, as_json: bool) -> None:
    """The reasons, a line each, and the verdict last; exit code 1 if there are reasons."""
    if not as_json:
        for problem in problems:
            console.out.print(console.text(("✗ ", "red"), problem))
        if problems:
            console.out.print(console.text(("Unsound:", "bold red"), f" {units.count(len(problems), 'reason')} above."))
        else:
            console.out.print(console.text(("Sound:", "bold green"), f" {sound}."))
    if problems:
        raise typer.Exit(1)
