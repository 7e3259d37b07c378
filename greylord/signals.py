"""Which signals ask a command to end."""

import signal

__all__ = ["ending_signals"]


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a command: Ctrl-C, SIGTERM, and the one that a closed terminal sends.

    A signal that is ignored, as `nohup` has that of the terminal, is left out; Ctrl-C never is.
    """
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT]
