"""`greylord debug`: check a vocabulary or a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.options import AsJson, ModelDir, PathOption
from greylord.cli.places import model_folder

if TYPE_CHECKING:
    from greylord.diagnostics import model, vocabulary

app = typer.Typer(help="Check a vocabulary or a model, and say what is wrong.", no_args_is_help=True)

MISPLACED = ("■", "red")
"""Marks a token in the grid that is not in its place."""


@app.command("vocab")
def debug_vocabulary(
    vocab_path: Annotated[
        Path | None,
        PathOption(
            metavar="PATH",
            help="Folder of a tokenizer or model, or a vocabulary file.  [dim]\\[default: the built-in one][/]",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a vocabulary has the 262 tokens of greylord.

    Its files, its tokenizer and greylord's own encoder must give the same ids.
    The exit code is 1 if something is wrong.

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
    _end(report.problems, "all 262 tokens are in place, and every file gives the ids of greylord's encoder", as_json)


def _show_vocabulary(report: vocabulary.VocabularyReport) -> None:
    """Print the tokens in a grid, and the findings for each file."""
    from rich.text import Text

    from greylord.stream.vocabulary import PAD, SPECIAL_TOKENS

    misplaced = set().union(*(form.wrong_ids for form in report.forms))
    console.out.print()
    console.out.print("       " + " ".join(f"{low:x}" for low in range(16)), style="dim")
    for high in range(16):
        line = Text.assemble((f"  {high:x}0   ", "dim"))
        for byte in range(16 * high, 16 * high + 16):
            line.append(*(MISPLACED if byte in misplaced else (_glyph(byte),))).append(" ")
        if high < len(SPECIAL_TOKENS):
            line.append(f"     {PAD + high}  ", "dim").append(SPECIAL_TOKENS[high])
            line.append(*(MISPLACED if PAD + high in misplaced else ("",)))
        console.out.print(line)
    console.out.print()
    table = console.table("", *(form.file for form in report.forms))
    for name in ("entries", "gaps", "duplicates", "misplaced", "unknown"):
        table.add_row(name, *(f"{len(getattr(form, name)):,}" for form in report.forms))
    for kind, total in report.samples.items():
        table.add_row(kind, *(f"{form.passed[kind]:,} of {total:,}" for form in report.forms))
    console.out.print(table)
    console.footnote("misplaced: a token with another id; unknown: an entry that is not one of the 262 tokens")
    console.footnote("payloads, marked-up texts: random texts without and with special tokens, encoded and decoded")
    console.out.print()


def _glyph(byte: int) -> str:
    return chr(byte) if 32 < byte < 127 else "·"


@app.command("model")
def debug_model(
    model_dir: ModelDir = Path("models/latest"),
    as_json: AsJson = False,
) -> None:
    """Check the files, ids and weights of a model.

    It also trains the model for one step, in memory only.
    The exit code is 1 if something is wrong.

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
    _end(report.problems, "files, ids and weights are in order, and the model can be trained", as_json)


def _show_model(folder: Path, report: model.ModelReport) -> None:
    from greylord.diagnostics.model import UNIFORM_NATS, WEIGHT_BOUND
    from greylord.runs import RECORD_FILES, USE_FILES

    console.say("model", str(folder))
    shape = f"GPT-2, {report.layers} layers, {report.width} wide, {report.heads} heads"
    console.say("shape", shape)
    weights = report.weights
    if weights:
        _show_parameters(weights)
        dtypes = ", ".join(f"{units.count(tensors, 'tensor')} of {name}" for name, tensors in weights.dtypes.items())
        console.say("dtype", dtypes)
        console.say("weights", f"largest {weights.largest:.3g} (limit {WEIGHT_BOUND:g}), in {weights.largest_in}")
        console.say("tied", "yes, the output layer uses the embedding" if weights.tied else "no")
    for file, ids in report.ids.items():
        listed = ", ".join(f"{key.removesuffix('_token_id')} {value}" for key, value in ids.items())
        console.say("ids", f"{listed or 'none'} in {file}")
    length = "unknown" if report.max_length is None else f"{report.max_length:,}"
    console.say("context", f"{report.context:,} positions; the tokenizer's model_max_length is {length}")
    present = len(USE_FILES) + len(RECORD_FILES) - len(report.missing)
    without = f"; without {', '.join(report.missing)}" if report.missing else ""
    console.say("files", f"{present} of {present + len(report.missing)}{without}")
    if report.step:
        step = report.step
        console.say("step", f"{units.count(step.windows, 'window')} of {report.context:,} tokens of {report.data}")
        console.say("loss", f"{step.loss:.3f} nats per token (a uniform guess costs ln 262 = {UNIFORM_NATS:.3f})")
        console.say("gradient", f"norm {step.gradient_norm:.3g}")
        console.say("device", step.device)
        console.say("speed", f"{step.tokens_per_second:,.0f} tokens/s")
        console.say("memory", f"{units.size(step.peak_memory_bytes)} at the peak")
    console.out.print()


def _show_parameters(weights: model.WeightReport) -> None:
    """Print the parameters of each block and their sum, position table included."""
    parts = ("attention", "MLP", "norms")
    table = console.table("", *parts, "parameters")
    for block, sizes in weights.blocks.items():
        table.add_row(
            block, *(f"{sizes[part]:,}" if part in sizes else "" for part in parts), f"{sum(sizes.values()):,}"
        )
    table.add_row("total", *[""] * len(parts), f"{weights.without_positions + weights.positions:,}")
    console.show(table)


def _print_report(report: dict[str, Any]) -> None:
    # JSON has no NaN.
    step = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in (report.get("step") or {}).items()
    }
    console.print_json({"sound": not report["problems"], **report, **({"step": step} if step else {})})


def _end(problems: Sequence[str], sound: str, as_json: bool) -> None:
    """Print each problem on a line, and the verdict.

    Exits with code 1 if there are problems.
    """
    if not as_json:
        for problem in problems:
            console.out.print(console.join(("✗ ", "red"), problem))
        if problems:
            count = units.count(len(problems), "problem")
            console.out.print(console.join(("Unsound:", "bold red"), f" {count}, listed above."))
        else:
            console.out.print(console.join(("Sound:", "bold green"), f" {sound}."))
    if problems:
        raise typer.Exit(1)
