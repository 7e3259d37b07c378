"""Standard output and standard error that never fail: a job does not depend on whether its output can be printed."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from greylord.escaping import visible

__all__ = ["deliver", "guarded", "lost_output"]

IN_ASCII = {
    **dict.fromkeys(range(0x2500, 0x2580), "+"),
    **dict.fromkeys(range(0x2580, 0x25A1), "#"),
    **dict.fromkeys(map(ord, "─━═╌╍┄┅┈┉╴╶╸╺╼╾·•"), "-"),
    **dict.fromkeys(map(ord, "│┃║╎╏┆┇┊┋╵╷╹╻"), "|"),
    ord("✗"): "x",
    ord("…"): "...",
}
"""Bars, lines and marks for a stream whose encoding does not have them."""
REPLACE = "greylord.replace"
"""The name of the error handler that puts them in; other characters become `\\xe9` or `\\u4e2d`."""


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(character: str) -> str:
    shown = IN_ASCII.get(ord(character), visible(character))
    return shown if shown.isascii() else shown.encode("ascii", "backslashreplace").decode()


codecs.register_error(REPLACE, _replace)


class _Guarded:
    """A stream whose writes never raise. What follows the first failure is dropped.

    Args:
        stream: A stream of text or bytes.
        failures: Collects the first failure; shared by a text stream and its buffer.
    """

    def __init__(self, stream: IO, failures: list[Exception] | None = None) -> None:
        self._stream = stream
        self.failures: list[Exception] = [] if failures is None else failures
        self.delivers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> _Guarded:
        return _Guarded(self._stream.buffer, self.failures)

    def write(self, data: str | bytes) -> int:
        try:
            return self._stream.write(data)
        except (OSError, ValueError) as error:
            self._give_up(error)
            return len(data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def reconfigure(self, **options: Any) -> None:
        """Reconfigure the stream; what its encoding does not have is replaced."""
        # Not every stream that stands in for standard output can be reconfigured.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self._stream.reconfigure(**{"errors": REPLACE, **options})

    def _give_up(self, error: Exception) -> None:
        if self.failures:
            return
        self.failures.append(error)
        # What is buffered, what libraries in C print and the interpreter's last flush go nowhere, and do not fail.
        with contextlib.suppress(OSError, ValueError):
            number = self._stream.fileno()
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), number)


def _open_descriptors() -> None:
    """Open what the caller has closed, or a file that is opened later would take its number and receive output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Within it standard output and standard error never fail, and all three standard streams exist."""
    _open_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    with contextlib.ExitStack() as opened:

        def opened_nowhere(mode: str) -> IO:
            return opened.enter_context(Path(os.devnull).open(mode, encoding="utf-8"))

        closed = OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdin = sys.stdin or opened_nowhere("r")
        sys.stdout, sys.stderr = (
            _Guarded(opened_nowhere("w"), [closed]) if stream is None else _Guarded(stream) for stream in before[1:]
        )
        # A log should grow a line at a time, as a terminal does.
        sys.stdout.reconfigure(line_buffering=True)
        sys.stderr.reconfigure()
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdin, sys.stdout, sys.stderr = before


def deliver(result: str | bytes) -> bool:
    """Write what a command is for to standard output: text, or bytes as they are.

    Returns:
        Whether it arrived. If not, nobody will receive what follows.
    """
    stream = sys.stdout
    stream.delivers = True
    (stream.buffer if isinstance(result, bytes) else stream).write(result)
    stream.flush()
    return not stream.failures


def lost_output() -> tuple[str, bool] | None:
    """Say why standard output could not be written.

    Returns:
        The reason, and whether a result was lost. None if nothing was, or the reader has left, as `head` does.
    """
    for error in sys.stdout.failures:
        closed = getattr(error, "errno", None) == errno.EBADF
        # Windows reports a pipe without a reader as an invalid argument.
        reader_left = isinstance(error, BrokenPipeError) or (
            sys.platform == "win32" and getattr(error, "errno", None) == errno.EINVAL
        )
        # Who closes standard output does not want an account of the work, but a result needs a place.
        if not reader_left and (sys.stdout.delivers or not closed):
            return getattr(error, "strerror", None) or str(error), sys.stdout.delivers
    return None
