"""`greylord train`."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.places import DataDir, PathOption, given_dataset, model_folder
from greylord.cli.sharing import say_pushed
from greylord.errors import GreylordError, UsageError
from greylord.training.config import CONFIG, TrainingConfig, read_config

if TYPE_CHECKING:
    from greylord.training.train import TrainedRun

_HELP = {field.name: field.metadata["help"] for field in fields(TrainingConfig)}
_DEFAULTS = {field.name: field.default for field in fields(TrainingConfig)}


def _flag(name: str, metavar: str = "N") -> Any:
    """The option of a setting. It has no default of its own, so that config.json can be told from the flag."""
    default = _DEFAULTS[name]
    shown = f" [dim]\\[default: {default:,}][/]" if default is not None else ""
    return typer.Option("--" + name.replace("_", "-"), metavar=metavar, help=_HELP[name] + shown, show_default=False)


def train(
    context: typer.Context,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A dataset under data/; the only one there is.")
    ] = None,
    data_dir: DataDir = None,
    preset: Annotated[str | None, _flag("preset", "NAME")] = None,
    epochs: Annotated[int | None, _flag("epochs")] = None,
    max_steps: Annotated[int | None, _flag("max_steps")] = None,
    time_budget: Annotated[str | None, _flag("time_budget", "TIME")] = None,
    batch_size: Annotated[int | None, _flag("batch_size")] = None,
    micro_batch: Annotated[int | None, _flag("micro_batch")] = None,
    context_window: Annotated[int | None, _flag("context_window")] = None,
    candidates: Annotated[int | None, _flag("candidates")] = None,
    learning_rate: Annotated[float | None, _flag("learning_rate", "RATE")] = None,
    weight_decay: Annotated[float | None, _flag("weight_decay", "RATE")] = None,
    patience: Annotated[int | None, _flag("patience")] = None,
    val_split: Annotated[float | None, _flag("val_split", "SHARE")] = None,
    seed: Annotated[int | None, _flag("seed")] = None,
    attention: Annotated[str | None, _flag("attention", "NAME")] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help=_HELP["compile"], show_default=False)
    ] = None,
    model_path: Annotated[
        Path | None, PathOption(metavar="DIR", help="Continue from this model, a folder or USER/NAME on the Hub.")
    ] = None,
    resume: Annotated[
        Path | None, PathOption(metavar="DIR", help="Go on with a run that broke off, exactly where it was.")
    ] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="USER/NAME", help="Publish the model on the Hub when it is trained.")
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use no GPU.")] = False,
    num_processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes on this machine.  [dim]\\[default: one for each GPU][/]"),
    ] = None,
    config: Annotated[Path | None, PathOption(metavar="FILE", help="Settings to use instead of config.json.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="A field of transformers.TrainingArguments that no other flag decides; may be repeated.",
        ),
    ] = None,
) -> None:
    """Train a model on a dataset, building its corpus first if need be.

    Ctrl-C ends training early: the best weights so far are kept, and the model's folder is complete.

    [dim]Example: greylord train --dataset majormud --time-budget 10m[/]
    """
    given = locals()
    flags = {name: value for name, value in given.items() if name in _DEFAULTS}
    if resume is not None:
        kept = ("context", "resume", "num_processes", "push_to_hub")
        _refuse_with_resume([name for name in given if name not in kept and _was_typed(context, name)])
    wanted = given_dataset(dataset, data_dir)
    configured, overrides = read_config(config)
    if model_path is not None:
        # That of config.json is for fresh models.
        configured.pop("preset", None)
    settings = TrainingConfig().changed(configured).changed(flags)
    if model_path is not None and context_window is None:
        # The model has its own.
        settings = replace(settings, context_window=None)

    from accelerate import PartialState

    from greylord import model_folders
    from greylord.cli.live import Live
    from greylord.corpus import folder
    from greylord.training import launch
    from greylord.training import train as training
    from greylord.training.config import Job
    from greylord.training.overrides import parse_assignments, parse_values
    from greylord.training.probe import try_overrides
    from greylord.training.run_folder import resumed

    console.quieten()
    if push_to_hub is not None:
        from greylord import hub

        # Rather now than after hours of training.
        hub.check_access(push_to_hub)
    if resume is not None:
        job = resumed(model_folders.locate(resume))
    else:
        job = Job(
            dataset=wanted or folder.locate(None),
            config=settings,
            overrides={
                **parse_values(overrides, f"{str(config or CONFIG)!r}: "),
                **parse_assignments(assignments or [], "--set: "),
            },
            model_path=None if model_path is None else model_folder(model_path),
            cpu=cpu,
        )
    if count := launch.processes_to_launch(num_processes, job.cpu):
        # What would be refused in each process is refused once.
        try_overrides(job)
        console.say("launch", units.count(count, "process", "processes"))
        raise typer.Exit(launch.launch(context.obj, count))
    outcome = training.train(job, console.say, console.progress, Live)
    # Or a process may abort as it exits, while threads of its group still run.
    PartialState().destroy_process_group()
    if outcome is not None:
        _report(outcome)
        if push_to_hub is not None:
            _push(outcome.folder, push_to_hub)


def _push(run: Path, repo_id: str) -> None:
    from greylord import hub

    try:
        say_pushed(hub.push(run, repo_id), repo_id)
    except GreylordError as error:
        raise GreylordError(
            f"{run} is complete but not published, which `greylord push {run} {repo_id}` does. {error}"
        ) from error


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_with_resume(names: list[str]) -> None:
    """Raise UsageError for a flag that a resumed run does not take: all of it was decided when it began."""
    for name in names:
        flag = "--set" if name == "assignments" else "--" + name.replace("_", "-")
        raise UsageError(f"--resume goes on with a run as it was begun; leave out {flag}.")


def _report(outcome: TrainedRun) -> None:
    """The table of figures, and what they say."""
    summary, evaluations = outcome.summary, outcome.evaluations
    console.say(
        "ended",
        f"{summary.ended}; {units.duration(summary.seconds)} of training, "
        f"{units.duration(summary.total_seconds)} in all; "
        f"memory at most {units.size(summary.peak_memory_bytes)}",
    )
    figures = {**summary.baselines, "this model": summary.best_bits_per_byte}
    console.figures(f"Bits per byte on {summary.scored_bytes:,} bytes of validation recordings", figures, "this model")
    console.note(
        f"{summary.protocol}; the compressors know these bytes only, order 2 was counted on the training recordings"
    )
    console.out.print(_verdict(figures))
    if summary.best_step == evaluations[-1].step:
        fell = ""
        if len(evaluations) > 1:
            before, last = evaluations[-2:]
            fell = (
                f"From step {before.step:,} to {last.step:,} it fell from {before.bits_per_byte:.3f} to "
                f"{last.bits_per_byte:.3f}. "
            )
        longer = math.ceil(4 * summary.seconds / 60)
        console.out.print(f"{fell}Longer training buys more, as with --time-budget {longer}m.")
    console.out.print()
    console.out.print(str(outcome.folder))


def _verdict(figures: dict[str, float]) -> str:
    """Which baselines the model beats."""
    own = figures["this model"]
    beaten = [name for name, figure in figures.items() if figure > own]
    others = [name for name, figure in figures.items() if figure < own]
    if not others:
        return f"The model beats {_and(beaten)}."
    if not beaten:
        return f"The model does not beat {_and(others)} yet."
    return f"The model beats {_and(beaten)}, but not {_and(others)} yet."


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
