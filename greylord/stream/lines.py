"""The text of a session: what each side sent, and the lines that were typed.

The payload of a side is joined before it is searched, because a control sequence may be split over two network reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from greylord.captures.markup import LINE_END, TELNET, apply_backspaces, match_spans, span_mask
from greylord.stream.turns import Turns

__all__ = [
    "LONG_LINE",
    "PROMPT",
    "Transcript",
    "TypedLines",
    "first_word",
    "hash_long_lines",
    "transcript_of",
    "typed_lines",
]

ESCAPE, LINE_FEED = 0x1B, 0x0A
WIPE = re.compile(rb"\x1b\[79D\x1b\[K")
"""Cursor to the margin, and the line erased. MajorMUD begins each line with it. It counts as a line feed."""
PROMPT = re.compile(WIPE.pattern + rb"(?:\x1b\[[0-9;]*m)*\[HP=[^\]\r\n]*\]:")
"""A redraw of the prompt: the wipe, colours, and `[HP=46/MA=12]:`, which may hold colours too."""

LONG_LINE = 40
"""Lines of this many characters rarely occur twice by chance."""

NAME_PROMPTS = (b"user-id:", b'"new":')
"""Prompts for a user name, in lower case: the realm's, and the end of Worldgroup's."""
_WORD = re.compile(rb"[a-z0-9_-]{1,20}|[!-~]")


@dataclass(frozen=True, eq=False)
class Transcript:
    """Everything that one side of a session sent."""

    payload: bytes
    text: bytes
    """The payload without CSI sequences and telnet commands, and with a line feed for each wipe of the line."""
    ends: np.ndarray
    """int32 [turns], the length of `text` at the end of each turn of either side."""
    csi_bytes: int
    """Payload bytes in complete CSI sequences (ECMA-48)."""
    telnet_commands: int
    telnet_bytes: int
    """Payload bytes in telnet commands."""
    high_bytes: int
    """Payload bytes from 0x80 on, without those of telnet commands."""
    in_text: np.ndarray
    """bool [payload bytes], true for bytes that are in `text`."""


def transcript_of(turns: Turns, direction: int) -> Transcript:
    """Return what one side sent.

    Args:
        direction: The token id `CLIENT` or `SERVER`.
    """
    is_sender = turns.directions == direction
    sizes = np.diff(turns.ends, prepend=0)
    data = turns.payload[np.repeat(is_sender, sizes)]
    payload = data.tobytes()
    commands = match_spans(TELNET, payload)
    in_csi, in_telnet = span_mask(*_control_sequences(data), len(data)), span_mask(*commands, len(data))
    wipes = [match.start() for match in WIPE.finditer(payload)]

    in_text = ~(in_csi | in_telnet)
    in_text[wipes] = True
    data[wipes] = LINE_FEED
    in_text_before = np.append(np.int32(0), np.cumsum(in_text, dtype=np.int32))
    return Transcript(
        payload=payload,
        text=data[in_text].tobytes(),
        ends=in_text_before[np.cumsum(is_sender * sizes)],
        csi_bytes=int(in_csi.sum()),
        telnet_commands=len(commands[0]),
        telnet_bytes=int(in_telnet.sum()),
        high_bytes=int(((data >= 0x80) & ~in_telnet).sum()),
        in_text=in_text,
    )


def _control_sequences(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the begins and ends of CSI sequences, int64 [n] each.

    Gives the result of `match_spans(CSI, data)`, without a loop.

    CSI sequences are 40 % of a server's bytes.

    Args:
        data: uint8 [n].
    """
    starts = np.flatnonzero((data[:-1] == ESCAPE) & (data[1:] == ord("[")))
    stops = np.flatnonzero((data < ord(" ")) | (data > ord("?")))
    # A sequence that breaks off at the end of the data stops at the 0 appended below, which is not a final byte.
    finals = np.append(stops, len(data))[np.searchsorted(stops, starts + 2)]
    last = np.append(data, 0)[finals]
    complete = (last >= ord("@")) & (last <= ord("~"))
    return starts[complete], finals[complete] + 1


def hash_long_lines(text: bytes) -> np.ndarray:
    """Hash each line of at least `LONG_LINE` characters, int64 [lines].

    The hashes hold within this process only.
    """
    lines = text.replace(b"\r", b"\n").split(b"\n")
    return np.array([hash(line) for line in lines if len(line) >= LONG_LINE], np.int64)


@dataclass(frozen=True)
class TypedLines:
    """A player's lines by kind, without passwords. A line ends with Enter."""

    commands: list[bytes]
    """Commands, with backspaces applied."""
    names: list[bytes]
    """User names that were followed by a password."""
    empty: int
    """Number of empty lines."""


def typed_lines(client: Transcript, server: Transcript, secret: np.ndarray) -> TypedLines:
    """Sort the client's lines into commands, user names and passwords.

    An answer to a prompt for a name is not a command, nor is the line before a password.

    Args:
        secret: bool [client's payload bytes], those that are credentials.
    """
    breaks = [match.span() for match in LINE_END.finditer(client.text)]
    spans = [(begin, end) for (_, begin), (end, _) in pairwise([(0, 0), *breaks]) if begin < end]
    begins, ends = np.array(spans, np.int64).reshape(-1, 2).T
    server_at_end = server.ends[np.searchsorted(client.ends, ends, "right")]
    lowered = server.text.lower()

    def answers(*prompts: bytes) -> np.ndarray:
        """Tell whether one of the prompts was sent since the line before, bool [lines]."""
        sent = sorted(match.end() for prompt in prompts for match in re.finditer(re.escape(prompt), lowered))
        return np.diff(np.searchsorted(sent, server_at_end, "right"), prepend=0) > 0

    secret_before = np.append(0, np.cumsum(secret[client.in_text]))
    is_secret = secret_before[ends] > secret_before[begins]
    asked = answers(*NAME_PROMPTS)
    before_secret = np.append(is_secret, False)[1:] & ~is_secret
    # The recorder may have lost the prompt. Only the first name is recognised without it.
    first = np.cumsum(is_secret) == 0
    names = before_secret & (asked | first)
    commands = ~(is_secret | asked | before_secret)
    return TypedLines(
        commands=[apply_backspaces(client.text[slice(*spans[index])]) for index in np.flatnonzero(commands)],
        names=[apply_backspaces(client.text[slice(*spans[index])]) for index in np.flatnonzero(names)],
        empty=len(breaks) - len(spans),
    )


def first_word(line: bytes) -> str | None:
    """Return the first word of a line in lower case; None if it has none.

    A punctuation mark is a word: what follows `/` or `>` is a player's name.
    """
    match = _WORD.search(line.lower())
    return match and match[0].decode()
