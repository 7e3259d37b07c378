"""Standard output and standard error that never fail.

A job goes on when its output cannot be printed.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TextIO, cast

from greylord.escaping import visible

__all__ = ["deliver", "guarded", "lost_output", "reconfigure_output"]

IN_ASCII = {
    **dict.fromkeys(range(0x2500, 0x2580), "+"),
    **dict.fromkeys(range(0x2580, 0x25A1), "#"),
    **dict.fromkeys(map(ord, "─━═╌╍┄┅┈┉╴╶╸╺╼╾·•"), "-"),
    **dict.fromkeys(map(ord, "│┃║╎╏┆┇┊┋╵╷╹╻"), "|"),
    ord("✗"): "x",
    ord("…"): "...",
}
"""ASCII for box lines, bars and marks that a stream's encoding lacks, by code point."""
REPLACE = "greylord.replace"
"""Name of the codec error handler that uses `IN_ASCII`, and writes other characters as `\\xe9` or `\\u4e2d`."""


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(character: str) -> str:
    shown = IN_ASCII.get(ord(character), visible(character))
    return shown if shown.isascii() else shown.encode("ascii", "backslashreplace").decode()


codecs.register_error(REPLACE, _replace)


class _GuardedStream:
    """A stream whose writes never raise.

    Everything after the first failure is dropped.

    Args:
        stream: A stream of text or bytes. A replacement of standard output may lack attributes.
        failures: Receives the first failure; a text stream and its buffer share the list.
    """

    def __init__(self, stream: Any, failures: list[Exception] | None = None) -> None:
        self._stream = stream
        self.failures: list[Exception] = [] if failures is None else failures
        self.carries_result = False
        """A command has written its result here, so that a failure is an error and not only a note."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> _GuardedStream:
        return _GuardedStream(self._stream.buffer, self.failures)

    def write(self, data: str | bytes) -> int:
        try:
            return self._stream.write(data)
        except (OSError, ValueError) as error:
            self._give_up(error)
            return len(data)

    def writelines(self, lines: Iterable[str | bytes]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def reconfigure(self, **options: Any) -> None:
        """Reconfigure the stream, and replace characters that its encoding lacks."""
        # A stream that stands in for standard output may not support this.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self._stream.reconfigure(**{"errors": REPLACE, **options})

    def _give_up(self, error: Exception) -> None:
        if self.failures:
            return
        self.failures.append(error)
        # Buffered text, output of C libraries and the interpreter's last flush go to the null device and do not fail.
        with contextlib.suppress(OSError, ValueError):
            number = self._stream.fileno()
            with Path(os.devnull).open("wb") as null_device:
                os.dup2(null_device.fileno(), number)


def _open_descriptors() -> None:
    """Open standard streams that the caller has closed.

    Otherwise the next file to be opened would take the number of standard output, and receive what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Run a block with output streams that never fail.

    All three standard streams exist in it.
    """
    _open_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    with contextlib.ExitStack() as opened:

        def open_null_device(mode: str) -> IO[Any]:
            return opened.enter_context(Path(os.devnull).open(mode, encoding="utf-8"))

        closed = OSError(errno.EBADF, os.strerror(errno.EBADF))
        output, errors = (
            _GuardedStream(open_null_device("w"), [closed]) if stream is None else _GuardedStream(stream)
            for stream in before[1:]
        )
        # A log should grow a line at a time, as a terminal does.
        output.reconfigure(line_buffering=True)
        errors.reconfigure()
        sys.stdin = sys.stdin or cast(TextIO, open_null_device("r"))
        sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdin, sys.stdout, sys.stderr = before


def deliver(result: str | bytes) -> bool:
    """Write the result of a command to standard output: text, or bytes unchanged.

    Returns:
        True if it was written. If not, nobody will receive what follows.
    """
    stream = _output()
    stream.carries_result = True
    (stream.buffer if isinstance(result, bytes) else stream).write(result)
    stream.flush()
    return not stream.failures


def reconfigure_output(**options: Any) -> None:
    """Reconfigure standard output, as `TextIOWrapper.reconfigure` does."""
    _output().reconfigure(**options)


def _output() -> _GuardedStream:
    # `guarded` has put it there; typeshed knows only the interpreter's own stream.
    return cast(_GuardedStream, sys.stdout)


def lost_output() -> tuple[str, bool] | None:
    """Explain why standard output could not be written.

    Returns:
        The reason, and True if a result was lost. None if nothing was lost, or the reader has left, as `head` does.
    """
    stream = _output()
    for error in stream.failures:
        closed = getattr(error, "errno", None) == errno.EBADF
        # Windows reports a pipe without a reader as an invalid argument.
        reader_left = isinstance(error, BrokenPipeError) or (
            sys.platform == "win32" and getattr(error, "errno", None) == errno.EINVAL
        )
        # A caller who closed standard output does not want messages, but a result must go somewhere.
        if not reader_left and (stream.carries_result or not closed):
            return getattr(error, "strerror", None) or str(error), stream.carries_result
    return None
