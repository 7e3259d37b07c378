"""What all commands print with."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from greylord.progress import Advance

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["error", "figures", "note", "out", "print_json", "progress", "quieten", "say", "table", "warn"]

BAR_WIDTH = 32

out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def error(sentence: str) -> None:
    """Print why a command failed."""
    _err.print(Text.assemble(("error:", "bold red"), " ", sentence))


def warn(sentence: str) -> None:
    """Print what a user should know before going on."""
    _err.print(Text.assemble(("note:", "bold yellow"), " ", sentence))


def say(subject: str, sentence: str) -> None:
    """Print a line of a command's account of what it does."""
    out.print(Text.assemble((f"{subject:>8}", "bold"), "  ", sentence))


def note(sentence: str) -> None:
    """Print the small print of a figure."""
    out.print(f"({sentence})", style="dim", markup=False)


def figures(title: str, values: Mapping[str, float], own: str) -> None:
    """Print figures of several contenders with a bar for each, the lowest last; `own` is ours."""
    out.print(f"\n[bold]{title}[/]\n")
    width, top = max(map(len, values)), max(values.values())
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        bar = "█" * max(1, round(BAR_WIDTH * value / top))
        style = "bold green" if name == own else "default"
        out.print(f"  {name:<{width}}  {value:7.3f}  [dim]{bar}[/]", style=style)
    out.print()


def table(*columns: str) -> Table:
    """A table of figures, each row named by its first cell."""
    from rich.table import Table

    made = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in made.columns[1:]:
        column.justify = "right"
    return made


def quieten() -> None:
    """Silence what the libraries say by themselves: what matters of it, we say."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def print_json(value: Any) -> None:
    """Print a result for scripts."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """A `greylord.progress.Progress` that draws a bar on a terminal, and nothing elsewhere."""
    columns = (
        TextColumn("[progress.description]{task.description:>8}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err, transient=True, disable=not _err.is_terminal) as bars:
        task = bars.add_task(description, total=total)
        yield lambda amount: bars.advance(task, amount)
