"""What all commands print with. Strings are shown as they are: neither markup nor control characters are obeyed."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderResult
from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from greylord import units
from greylord.cli.streams import deliver
from greylord.escaping import visible
from greylord.progress import Advance

__all__ = [
    "bars",
    "error",
    "figures",
    "note",
    "out",
    "print_json",
    "progress",
    "quieten",
    "say",
    "table",
    "text",
    "warn",
]

BAR_WIDTH = 32
REPORT_SECONDS = 10
"""Seconds between two lines about progress where no bar can be drawn."""
UNBOUNDED = 1 << 16
"""A width that no table reaches."""

_clock = time.monotonic


class _Console(Console):
    """A console whose strings, table cells included, are shown as `visible` spells them. Styles need `text`."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False})

    @property
    def size(self) -> ConsoleDimensions:
        """Width and height; where COLUMNS is 0, at which nothing would be printed, a width of 80."""
        width, height = super().size
        return ConsoleDimensions(width or 80, height)

    @property
    def is_animated(self) -> bool:
        """Whether it is a terminal on which a bar can be redrawn, and not a file that colours are forced into."""
        return self.file.isatty() and self.is_terminal and not self.is_dumb_terminal


out = _Console()
_err = _Console(stderr=True)


def text(*parts: str | tuple[str, str]) -> Text:
    """Join strings, and pairs of a string and a style, to a line."""
    styled = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((visible(content), style) for content, style in styled))


def error(sentence: str) -> None:
    """Print why a command failed."""
    _err.print(text(("error:", "bold red"), " ", sentence))


def warn(sentence: str, *details: str) -> None:
    """Print what a user should know before going on, and below it a line for each detail."""
    _err.print(text(("note:", "bold yellow"), " ", sentence))
    for detail in details:
        _err.print(f"  {detail}")


def say(label: str, sentence: str, detail: bool = False) -> None:
    """Print a line about what a command does, unless it is a detail."""
    if not detail:
        out.print(text((f"{label:>8}", "bold"), "  ", sentence))


def note(sentence: str) -> None:
    """Print the small print of a figure."""
    out.print(f"({sentence})", style="dim")


def figures(title: str, values: Mapping[str, float], own: str) -> None:
    """Print figures of several contenders with a bar for each, the lowest last; `own` is ours."""
    out.print()
    out.print(title, style="bold")
    out.print()
    width, top = max(map(len, values)), max(values.values())
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        bar = "█" * max(1, round(BAR_WIDTH * value / top))
        style = "bold green" if name == own else "default"
        out.print(text(f"  {name:<{width}}  {value:7.3f}  ", (bar, "dim")), style=style)
    out.print()


class _Table(Table):
    """A table as wide as its cells, whatever the width of the terminal: nothing is wrapped or shortened."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return super().__rich_console__(console, options.update(width=UNBOUNDED))


def table(*columns: str) -> Table:
    """Make a table of figures, each row named by its first cell."""
    made = _Table(*columns, box=None, pad_edge=False, header_style="bold")
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
    """Print a result for scripts, in ASCII: any encoding carries it, and a terminal obeys nothing in it."""
    # JSON escapes all control characters but this one.
    deliver(json.dumps(value, indent=1).replace("\x7f", "\\u007f") + "\n")


def bars(*columns: ProgressColumn, console: _Console = out) -> Progress:
    """Make bars that vanish when they are done. Nothing is drawn where there is no terminal to draw them on."""
    return Progress(*columns, console=console, transient=True, disable=not console.is_animated)


@contextlib.contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """Show on standard error how far work is: by a bar on a terminal, elsewhere by a line every ten seconds."""
    if not _err.is_animated:
        yield _Report(description, total).advance
        return
    columns = (
        TextColumn("{task.description:>8}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with bars(*columns, console=_err) as drawn:
        task = drawn.add_task(visible(description), total=total)
        yield lambda amount: drawn.advance(task, amount)


class _Report:
    """Lines about the progress of work that takes long."""

    def __init__(self, description: str, total: int) -> None:
        self._description, self._total = description, total
        self._done = 0
        self._began = self._reported = _clock()

    def advance(self, amount: int) -> None:
        self._done += amount
        now = _clock()
        if now - self._reported < REPORT_SECONDS or not 0 < self._done < self._total:
            return
        self._reported = now
        left = (now - self._began) * (self._total - self._done) / self._done
        share = units.percent(self._done / self._total)
        _err.print(f"{self._description}: {share}, {units.duration(left)} left")
