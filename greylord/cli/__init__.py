"""The command line, `greylord` or `grey-lord`. Nothing imports it; heavy libraries are imported inside commands."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

import typer

import greylord
from greylord.cli import analyze, audit, console, data, debug, evaluate, generate, hub, models, optimize, train
from greylord.errors import GreylordError

__all__ = ["app", "main"]

app = typer.Typer(
    name="greylord",
    help="Recorded MajorMUD sessions in, a byte-level GPT-2 out.",
    epilog="Begin with: greylord data sample sample && greylord train --dataset sample",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.out.print(f"greylord {greylord.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True, callback=_print_version),
) -> None:
    pass


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
    """Run a command and exit: 0 done, 1 failed, 2 called wrongly, 130 interrupted. Errors are one sentence."""
    # A log should grow a line at a time, as a terminal does.
    sys.stdout.reconfigure(line_buffering=True)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        # Training in several processes passes the arguments on.
        status = app(args=arguments, prog_name="greylord", standalone_mode=False, obj=arguments)
    except GreylordError as error:
        console.error(str(error))
        status = error.exit_code
    except typer.Abort:
        status = 1
    except KeyboardInterrupt:
        console.error("Interrupted.")
        status = 130
    except BrokenPipeError:
        # Whoever read our output has gone; let the interpreter's last flush go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        full = error.errno == errno.ENOSPC
        console.error(f"{'The disk is full' if full else error.strerror or error}{where}.")
        status = 1
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        error.show()
        status = error.exit_code
    sys.exit(status)
