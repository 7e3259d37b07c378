"""What of a server's bytes may reach a user's terminal: text, colours and cursor moves, and nothing else.

A model can say anything, and so can a recording. Sequences that set a window's title, ask the terminal to answer,
or switch its modes stay behind (see CVE-2003-0063 for what an echoed title can do).
"""

from __future__ import annotations

import re

from greylord.terminal.ansi import Ansi, ControlSequence
from greylord.terminal.telnet import Telnet

__all__ = ["Display"]

FINALS = b"ABCDEFGHJKdfmsu"
"""Cursor moves (A-H, d, f; s and u save and restore), erasing (J, K), and colours (m)."""
PARAMETERS = re.compile(rb"(?:\d{0,4};){0,15}\d{0,4}")
CONTROLS = b"\b\t\n\r"
CHARACTERS = str.maketrans({code: None for code in [*range(32), 127] if code not in CONTROLS} | {0xA0: " "})


class Display:
    """Turns what a server sends, cut anywhere, into text that is safe to print: Unicode by code page 437."""

    def __init__(self) -> None:
        self._telnet, self._ansi = Telnet(), Ansi()

    def feed(self, received: bytes) -> str:
        """What the next bytes show."""
        return "".join(map(_shown, self._ansi.feed(self._telnet.feed(received))))


def _shown(piece: ControlSequence | bytes) -> str:
    if not isinstance(piece, ControlSequence):
        return piece.decode("cp437").translate(CHARACTERS)
    harmless = piece.final in FINALS and not piece.intermediates and PARAMETERS.fullmatch(piece.parameters)
    return bytes(piece).decode("ascii") if harmless else ""
