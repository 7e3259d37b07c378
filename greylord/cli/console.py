"""Printing, for all commands.

Markup and control characters in strings are shown, not interpreted.
"""

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
    "bar",
    "bars",
    "error",
    "figures",
    "footnote",
    "join",
    "note",
    "out",
    "print_json",
    "progress",
    "quieten",
    "say",
    "show",
    "table",
]

BAR_WIDTH = 32
REPORT_SECONDS = 10
"""Seconds between two lines of progress where no bar can be drawn."""
UNBOUNDED = 1 << 16
"""Columns; wider than any table."""

_clock = time.monotonic


class _Console(Console):
    """A console that escapes strings, table cells included, by `visible`.

    Styles need `join`.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False})

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines.

        There are 80 columns if the variable COLUMNS is 0, because the output would be empty.
        """
        width, height = super().size
        return ConsoleDimensions(width or 80, height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    @property
    def is_animated(self) -> bool:
        """True on a terminal that can redraw a bar.

        It is false in a file, even where colours are forced.
        """
        return self.file.isatty() and self.is_terminal and not self.is_dumb_terminal


out = _Console()
_err = _Console(stderr=True)


def join(*parts: str | tuple[str, str]) -> Text:
    """Join strings, and pairs of string and style, into a line."""
    styled = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((visible(content), style) for content, style in styled))


def error(sentence: str) -> None:
    """Print why a command failed."""
    _err.print(join(("error:", "bold red"), " ", sentence))


def note(sentence: str, *details: str) -> None:
    """Print a notice to standard error, and each detail on its own line.

    A notice holds what a user should know before going on.
    """
    _err.print(join(("note:", "bold yellow"), " ", sentence))
    for detail in details:
        _err.print(f"  {detail}")


def say(label: str, text: str) -> None:
    """Print a label and its text on a line."""
    out.print(join((f"{label:>8}", "bold"), "  ", text))


def footnote(sentence: str) -> None:
    """Print an explanation of the figure or table above."""
    out.print(f"({sentence})", style="dim")


def bar(value: float, top: float) -> str:
    """Return a bar that is `BAR_WIDTH` wide for `top`, and visible for any value."""
    return "█" * max(1, round(BAR_WIDTH * value / top))


def figures(title: str, values: Mapping[str, float], highlighted: str) -> None:
    """Print figures of which lower ones are better.

    Each has a bar, and the best is last.
    """
    out.print()
    out.print(join((title, "bold"), (" (lower is better)", "dim")))
    out.print()
    width, top = max(map(len, values)), max(values.values())
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        style = "bold green" if name == highlighted else "default"
        out.print(join(f"  {name:<{width}}  {value:7.3f}  ", (bar(value, top), "dim")), style=style)
    out.print()


def show(table: Table) -> None:
    """Print a table between empty lines."""
    out.print()
    out.print(table)
    out.print()


class _UnwrappedTable(Table):
    """A table as wide as its cells.

    Its cells are neither wrapped nor shortened, however narrow the terminal.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return super().__rich_console__(console, options.update(width=UNBOUNDED))


def table(*columns: str) -> Table:
    """Make a table of figures. The first cell of each row names it."""
    made = _UnwrappedTable(*columns, box=None, pad_edge=False, header_style="bold")
    for column in made.columns[1:]:
        column.justify = "right"
    return made


def quieten() -> None:
    """Silence the libraries' own logs and progress bars.

    greylord prints the relevant parts itself.
    """
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def print_json(value: Any) -> None:
    """Print a result for scripts as JSON in ASCII, without control characters.

    Any encoding can carry it.
    """
    # JSON escapes all control characters but DEL.
    deliver(json.dumps(value, indent=1).replace("\x7f", "\\u007f") + "\n")


def bars(*columns: ProgressColumn, console: _Console = out) -> Progress:
    """Make progress bars that vanish when they are done.

    They are not drawn where there is no terminal.
    """
    return Progress(*columns, console=console, transient=True, disable=not console.is_animated)


@contextlib.contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """Show progress on standard error.

    It is a bar on a terminal, elsewhere a line every ten seconds.
    """
    if not _err.is_animated:
        yield _ProgressLines(description, total).advance
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


class _ProgressLines:
    """Lines of progress, at most one in `REPORT_SECONDS`."""

    def __init__(self, description: str, total: int) -> None:
        self._description, self._total = description, total
        self._done = 0
        self._began = self._reported = _clock()

    def advance(self, amount: int) -> None:
        """Count work that is done, and print a line if one is due."""
        self._done += amount
        now = _clock()
        if now - self._reported < REPORT_SECONDS or not 0 < self._done < self._total:
            return
        self._reported = now
        left = (now - self._began) * (self._total - self._done) / self._done
        share = units.percent(self._done / self._total)
        _err.print(f"{self._description}: {share}, {units.duration(left)} left")
