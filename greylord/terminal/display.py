"""Make a server's bytes safe for the user's terminal.

Only text, colours and cursor moves remain.

A model or a recording can hold any bytes. Sequences that set a window's title, ask the terminal for an answer,
or switch its modes are dropped (CVE-2003-0063 shows the danger of an echoed title).
"""

from __future__ import annotations

import re

from greylord.terminal.ansi import Ansi, ControlSequence
from greylord.terminal.telnet import Telnet

__all__ = ["Display"]

FINALS = b"ABCDEFGHJKdfmsu"
"""Final bytes that are let through: cursor moves (A-H, d, f; s saves, u restores), erasing (J, K), colours (m)."""
PARAMETERS = re.compile(rb"(?:\d{0,4};){0,15}\d{0,4}")
CONTROLS = b"\b\t\n\r"
CHARACTERS = str.maketrans({code: None for code in [*range(32), 127] if code not in CONTROLS} | {0xA0: " "})


class Display:
    """A converter from a server's bytes, cut anywhere, to text that is safe to print.

    Characters are code page 437.
    """

    def __init__(self) -> None:
        self._telnet, self._ansi = Telnet(), Ansi()

    def feed(self, received: bytes) -> str:
        """Convert the next bytes."""
        return "".join(map(_safe_text, self._ansi.feed(self._telnet.feed(received))))


def _safe_text(piece: ControlSequence | bytes) -> str:
    if not isinstance(piece, ControlSequence):
        return piece.decode("cp437").translate(CHARACTERS)
    is_harmless = piece.final in FINALS and not piece.intermediates and PARAMETERS.fullmatch(piece.parameters)
    return bytes(piece).decode("ascii") if is_harmless else ""
