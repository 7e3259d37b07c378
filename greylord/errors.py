"""What the command line turns into one sentence and an exit code."""

__all__ = ["GreylordError", "UsageError"]


class GreylordError(Exception):
    """A job that cannot be done. Its text is one sentence: what is wrong, the value found, what to do."""

    exit_code = 1


class UsageError(GreylordError):
    """A call that cannot be meant: a wrong path, a value out of range, a name that does not exist."""

    exit_code = 2
