"""`greylord train`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greylord import units
from greylord.cli import advice, console
from greylord.cli.options import Cpu, DataDir, PathOption
from greylord.cli.places import given_dataset, model_folder
from greylord.cli.sharing import print_pushed
from greylord.errors import GreylordError, UsageError
from greylord.training.config import CONFIG, Job, TrainingConfig, checked, read_config

if TYPE_CHECKING:
    from greylord.training.run_folder import Summary
    from greylord.training.train import TrainedRun

_HELP = {field.name: field.metadata["help"] for field in fields(TrainingConfig)}
_DEFAULTS = {field.name: field.default for field in fields(TrainingConfig)}


def _option(name: str, metavar: str = "N") -> Any:
    """Declare the option of a setting.

    Its default is None, which distinguishes a flag from a value in config.json.
    """
    return typer.Option(advice.flag(name), metavar=metavar, help=_help(name), show_default=False)


def _help(name: str) -> str:
    """Return the help of a setting, with its default as typer shows defaults."""
    text, default = _HELP[name], _DEFAULTS[name]
    if default is None:
        text, _, described = text.removesuffix(".").partition(". Default: ")
        text, default = f"{text}.", described
    else:
        default = f"{default:,}"
    return advice.with_flags(text, "epochs") + (f"  [dim]\\[default: {default}][/]" if default else "")


THIS_MODEL = "this model"
ALLOWED_WITH_RESUME = ("context", "resume", "num_processes", "push_to_hub", "verbose")
"""Parameters of `train` that do not change a run; all others were decided when it began."""


def train(
    context: typer.Context,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Dataset under data/.  [dim]\\[default: the only one][/]")
    ] = None,
    data_dir: DataDir = None,
    preset: Annotated[str | None, _option("preset", "NAME")] = None,
    epochs: Annotated[int | None, _option("epochs")] = None,
    max_steps: Annotated[int | None, _option("max_steps")] = None,
    time_budget: Annotated[str | None, _option("time_budget", "TIME")] = None,
    batch_size: Annotated[int | None, _option("batch_size")] = None,
    micro_batch: Annotated[int | None, _option("micro_batch")] = None,
    context_window: Annotated[int | None, _option("context_window")] = None,
    candidates: Annotated[int | None, _option("candidates")] = None,
    learning_rate: Annotated[float | None, _option("learning_rate", "RATE")] = None,
    weight_decay: Annotated[float | None, _option("weight_decay", "RATE")] = None,
    patience: Annotated[int | None, _option("patience")] = None,
    val_split: Annotated[float | None, _option("val_split", "SHARE")] = None,
    seed: Annotated[int | None, _option("seed")] = None,
    attention: Annotated[str | None, _option("attention", "NAME")] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help=_help("compile"), show_default=False)
    ] = None,
    model_path: Annotated[
        Path | None, PathOption(metavar="DIR", help="Model to continue from: a folder, or USER/NAME on the Hub.")
    ] = None,
    resume: Annotated[Path | None, PathOption(metavar="DIR", help="Folder of an interrupted run to resume.")] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="USER/NAME", help="Hub repository to publish the model in, when it is trained."),
    ] = None,
    cpu: Cpu = False,
    num_processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes on this machine.  [dim]\\[default: one per GPU][/]"),
    ] = None,
    config: Annotated[
        Path | None, PathOption(metavar="FILE", help="File of settings to use instead of config.json.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Any other field of TrainingArguments of transformers. May be repeated.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also print details: memory allocator, attention kernel, compilation.")
    ] = False,
) -> None:
    """Train a model on a dataset, and build its corpus first if need be.

    Ctrl-C ends training early: the best weights so far are saved.

    [dim]Example: greylord train --dataset majormud --time-budget 10m[/]
    """
    given = locals()
    flags = {name: value for name, value in given.items() if name in _DEFAULTS}
    if resume is not None:
        _refuse_with_resume([name for name in given if _was_typed(context, name)])
    recordings = given_dataset(dataset, data_dir)
    settings, overrides = _settings(config, flags, model_path is not None)
    # Before the imports below, which take longer than those that this needs.
    parsed = {} if resume is not None else _parse_overrides(overrides, config, assignments or [])

    from accelerate import PartialState

    from greylord.cli import launch
    from greylord.cli.live import Live
    from greylord.training import train as training
    from greylord.training.probe import try_overrides

    console.quieten()
    if push_to_hub is not None:
        _check_repository(push_to_hub)
    job = _new_job(recordings, settings, parsed, model_path, cpu) if resume is None else _resumed(resume)
    if count := launch.processes_to_launch(num_processes, job.cpu):
        # An override that each process would refuse is refused once.
        try_overrides(job)
        console.say("launch", units.count(count, "process", "processes"))
        raise typer.Exit(launch.launch(context.obj, count))
    outcome = training.train(job, printer(verbose), console.progress, Live)
    # Otherwise a process may abort at its exit, while threads of its group are still running.
    PartialState().destroy_process_group()
    if outcome is not None:
        _report(outcome)
        if push_to_hub is not None:
            _push(outcome.folder, push_to_hub)


def _settings(
    config: Path | None, flags: Mapping[str, Any], continues: bool
) -> tuple[TrainingConfig, Mapping[str, Any]]:
    """Combine defaults, config.json and flags.

    Args:
        config: The file to read instead of config.json, if any.
        flags: Values of flags by setting; None where a flag was not given.
        continues: Training continues from a model.

    Returns:
        The settings, and the fields of `TrainingArguments` under the key "set" of the file, unparsed.
    """
    configured, overrides = read_config(config)
    if continues:
        # The preset in config.json is for new models.
        configured.pop("preset", None)
    settings = checked(configured, config).changed(flags)
    if continues and flags["context_window"] is None:
        # The model's own context window applies.
        settings = replace(settings, context_window=None)
    return settings, overrides


def _check_repository(repo_id: str) -> None:
    """Check that a repository can be pushed to, before hours of training."""
    from greylord import hub

    hub.check_access(repo_id)


def _resumed(run: Path) -> Job:
    from greylord import model_folders
    from greylord.training.run_folder import resumed

    return resumed(model_folders.locate(run))


def _parse_overrides(values: Mapping[str, Any], config: Path | None, assignments: Sequence[str]) -> dict[str, Any]:
    """Parse fields of `TrainingArguments` from config.json and from --set.

    The latter take precedence.
    """
    from greylord.training.overrides import parse_assignments, parse_values

    return {**parse_values(values, f"{str(config or CONFIG)!r}: "), **parse_assignments(assignments, "--set ")}


def _new_job(
    dataset: Path | None, settings: TrainingConfig, overrides: Mapping[str, Any], model_path: Path | None, cpu: bool
) -> Job:
    from greylord.corpus import folder

    return Job(
        dataset=dataset or folder.locate(None),
        config=settings,
        overrides=overrides,
        model_path=None if model_path is None else model_folder(model_path),
        cpu=cpu,
    )


def printer(verbose: bool) -> Callable[..., None]:
    """Return the function that prints messages of training; details only if `verbose`."""

    def say(label: str, text: str, detail: bool = False) -> None:
        if verbose or not detail:
            console.say(label, text)

    return say


def _push(run: Path, repo_id: str) -> None:
    from greylord import hub

    try:
        print_pushed(hub.push(run, repo_id), repo_id)
    except GreylordError as error:
        text = f"{run} is complete but not published; type `greylord push {run} {repo_id}` to publish it."
        raise GreylordError(f"{text} {advice.sentence(error)}") from error


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_with_resume(typed: Sequence[str]) -> None:
    """Raise UsageError for a parameter that a resumed run does not take."""
    for name in typed:
        if name not in ALLOWED_WITH_RESUME:
            flag = "--set" if name == "assignments" else advice.flag(name)
            raise UsageError(f"--resume uses the settings of the interrupted run; leave out {flag}.")


def _report(outcome: TrainedRun) -> None:
    """Print how a run ended, its score next to the baselines, and the folder.

    The folder of the model is on the last line.
    """
    _show_costs(outcome.summary)
    _show_score(outcome.summary)
    if outcome.summary.best_step == outcome.evaluations[-1].step:
        _advise_longer(outcome)
    console.out.print()
    console.out.print(str(outcome.folder))


def _show_costs(summary: Summary) -> None:
    console.say("ended", summary.ended)
    console.say(
        "took", f"{units.duration(summary.seconds)} of training, {units.duration(summary.total_seconds)} in all"
    )
    console.say("memory", f"{units.size(summary.peak_memory_bytes)} at the peak")


def _show_score(summary: Summary) -> None:
    figures = {**summary.baselines, THIS_MODEL: summary.best_bits_per_byte}
    title = f"Bits per byte on {summary.scored_bytes:,} bytes of validation recordings"
    console.figures(title, figures, THIS_MODEL)
    console.footnote(f"protocol: {summary.protocol}")
    console.footnote("compressors see only these bytes; order 2 is counted on the training recordings")
    console.out.print()
    console.out.print(_verdict(figures))


def _advise_longer(outcome: TrainedRun) -> None:
    """Print that the model was still improving, and a time budget to try."""
    evaluations = outcome.evaluations
    if len(evaluations) > 1:
        before, last = evaluations[-2:]
        console.out.print(
            f"From step {before.step:,} to {last.step:,} it improved from {before.bits_per_byte:.3f} to "
            f"{last.bits_per_byte:.3f}."
        )
    minutes = math.ceil(4 * outcome.summary.seconds / 60)
    console.out.print(f"Train longer for a better model: --time-budget {minutes}m")


def _verdict(figures: Mapping[str, float]) -> str:
    """Return a sentence that says which baselines the model beats."""
    own = figures[THIS_MODEL]
    beaten = [name for name, figure in figures.items() if figure > own]
    others = [name for name, figure in figures.items() if figure < own]
    if not others:
        return f"The model beats {_listed(beaten, 'and')}."
    if not beaten:
        return f"The model does not beat {_listed(others, 'or')} yet."
    return f"The model beats {_listed(beaten, 'and')}, but not {_listed(others, 'or')} yet."


def _listed(names: Sequence[str], word: str) -> str:
    """Join names by commas, the last one by `word`."""
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1])))
