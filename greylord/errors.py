"""What the command line turns into one sentence and an exit code."""

import difflib
from collections.abc import Iterable

__all__ = ["GreylordError", "UsageError", "did_you_mean", "first_line"]


class GreylordError(Exception):
    """A job that cannot be done. Its text is one sentence: what is wrong, the value found, what to do."""

    exit_code = 1


class UsageError(GreylordError):
    """A call that cannot be meant: a wrong path, a value out of range, a name that does not exist."""

    exit_code = 2


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The sentence that offers the nearest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def first_line(error: Exception) -> str:
    """The first line of what a library says went wrong, fit to be printed, without its full stop."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text).rstrip(".")
