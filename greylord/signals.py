"""The signals that end a command."""

import signal

__all__ = ["ending_signals"]


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a command: SIGINT, SIGTERM and SIGHUP.

    Ctrl-C sends SIGINT, and a terminal that is closed sends SIGHUP. A signal that the process ignores is left out, as
    SIGHUP under `nohup`; SIGINT never is.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT]
