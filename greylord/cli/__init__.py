"""The command line, `greylord` or `grey-lord`.

No other package imports it, and commands import heavy libraries themselves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import typer

from greylord.cli import (
    advice,
    analyze,
    audit,
    console,
    data,
    debug,
    evaluate,
    generate,
    hub,
    models,
    optimize,
    streams,
    train,
)
from greylord.cli.environment import blamed_variable
from greylord.errors import GreylordError, UsageError, first_line
from greylord.signals import ending_signals
from greylord.version import __version__

__all__ = ["app", "main"]

MIN_COLUMNS = 20
"""A smaller value of the variable COLUMNS is ignored."""

app = typer.Typer(
    name="greylord",
    help="Recorded MajorMUD sessions in, a byte-level GPT-2 out.",
    epilog="Begin with: greylord data sample sample && greylord train --dataset sample",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(version: bool) -> None:
    if version:
        console.out.print(f"greylord {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True, callback=_print_version),
) -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError("The working directory has been deleted; change to one that exists.") from None
    try:
        # The error of the Hub's client would not show the address.
        _ = urlsplit(endpoint := os.environ.get("HF_ENDPOINT", "")).port
    except ValueError:
        raise UsageError(f"HF_ENDPOINT is {endpoint!r}, which is not an address; unset it.") from None


app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("generate")(generate.generate)
app.add_typer(analyze.app, name="analyze")
app.add_typer(debug.app, name="debug")
app.command("optimize")(optimize.optimize)
app.add_typer(models.app, name="models")
app.command("audit")(audit.audit)
app.command("push")(hub.push)
app.command("pull")(hub.pull)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, print an error as one sentence, and exit.

    Exit codes: 0 done, 1 the job failed, 2 the call was wrong, 130 interrupted. Messages that cannot be printed do not
    change the exit code; a lost result is code 1.

    Args:
        arguments: The command and its arguments; those of the process by default.
    """
    # At a smaller width help would be a column of letters, and at 0 it would be empty.
    if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns) < MIN_COLUMNS:
        del os.environ["COLUMNS"]
    with streams.guarded(), _exit_on_signals():
        status = _run(sys.argv[1:] if arguments is None else list(arguments))
        if not status and (lost := streams.lost_output()):
            reason, is_result = lost
            (console.error if is_result else console.note)(f"Standard output could not be written: {reason}.")
            status = int(is_result)
    sys.exit(status)


@contextlib.contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Run a block that SIGTERM and a closed terminal end as Ctrl-C does.

    The block can then remove unfinished files.
    """

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {}
    for number in ending_signals():
        # Only the main thread may set a handler. Python has its own for Ctrl-C.
        if signal.getsignal(number) is signal.SIG_DFL and current_thread() is main_thread():
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        # Training in several processes passes the arguments on to each.
        return app(args=arguments, prog_name="greylord", standalone_mode=False, obj=arguments) or 0
    except GreylordError as error:
        console.error(advice.sentence(error))
        return advice.exit_code(error)
    except typer.Abort:
        return 1
    except KeyboardInterrupt:
        console.error("Interrupted.")
        return 130
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        full = error.errno == errno.ENOSPC
        console.error(f"{'The disk is full' if full else error.strerror or error}{where}.")
        return 1
    except Exception as error:
        if isinstance(error, _WrongCall):
            return _report_wrong_call(error)
        if (variable := blamed_variable(error)) is None:
            raise
        console.error(f"The environment variable {variable} cannot be used ({first_line(error)}); unset it.")
        return 1


@runtime_checkable
class _WrongCall(Protocol):
    """An exception of typer for a wrong call.

    It is click's exception or, in later versions, typer's own.
    """

    exit_code: int

    def format_message(self) -> str: ...


def _report_wrong_call(error: _WrongCall) -> int:
    """Print typer's message about a wrong call. Returns the exit code."""
    # The message is empty for a group without arguments, which has shown its help.
    if message := " ".join(error.format_message().split()):
        context: typer.Context | None = getattr(error, "ctx", None)
        command = context.command_path if context else app.info.name
        message = _clearer(message, error, context)
        console.error(f"{message}{'' if message[-1] in '.?' else '.'} See `{command} --help`.")
    return error.exit_code


def _clearer(message: str, error: _WrongCall, context: typer.Context | None) -> str:
    """Return the message, or a better one for two wrong calls that are frequent."""
    options = {parameter.name for parameter in context.command.params} if context else set()
    extra = re.match(r"Got unexpected extra argument\S* \((\S+)\)$", message)
    if extra and "dataset" in options:
        return f"Unexpected argument {extra[1]!r}; a dataset is named with --dataset {shlex.quote(extra[1])}."
    if wrong := re.match(r"Invalid value for '(\S+)': Input should be a valid (integer|number)\b", message):
        # typer passes on the sentence of pydantic, which leaves out the value.
        cause: Any = getattr(error, "__cause__", None)
        value = f", not {cause.errors()[0]['input']!r}" if hasattr(cause, "errors") else ""
        return f"{wrong[1]} must be {'a whole number' if wrong[2] == 'integer' else 'a number'}{value}."
    return message
