"""What the two sides of a session say, as text: control sequences taken out, and what was typed line by line.

Grammar is read over what one side sent in all, since a sequence may be split over two network reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from greylord.captures.markup import LINE_END, TELNET, apply_backspaces, match_spans, span_mask
from greylord.stream.turns import Turns

__all__ = ["LONG_LINE", "PROMPT", "Side", "Typed", "first_word", "hash_long_lines", "side_of", "typed"]

ESCAPE, LINE_FEED = 0x1B, 0x0A
WIPE = re.compile(rb"\x1b\[79D\x1b\[K")
"""Cursor back to the margin and the line erased: MajorMUD begins each line so, and what follows stands by itself."""
PROMPT = re.compile(WIPE.pattern + rb"(?:\x1b\[[0-9;]*m)*\[HP=[^\]\r\n]*\]:")
"""A redraw of the prompt: the wipe, colours, and `[HP=46/MA=12]:` with colours of its own."""

LONG_LINE = 40
"""Characters from which on a line is hardly said twice by chance."""

NAME_PROMPTS = (b"user-id:", b'"new":')
"""What stands before a user name, in lower case: the realm's prompt, and the last words of Worldgroup's."""
_WORD = re.compile(rb"[a-z0-9_-]{1,20}|[!-~]")


@dataclass(frozen=True, eq=False)
class Side:
    """What one side of a session sent.

    Attributes:
        payload: all of it.
        text: the payload without CSI sequences and telnet commands, and with a line feed for each wipe of the line.
        ends: int32 [turns], the length that `text` had at the end of each turn, whosever turn it was.
        csi_bytes: payload bytes in complete CSI sequences (ECMA-48).
        telnet_commands: how many.
        telnet_bytes: payload bytes in them.
        high_bytes: other payload bytes from 0x80 on.
        kept: bool [payload], which bytes of it `text` has.
    """

    payload: bytes
    text: bytes
    ends: np.ndarray
    csi_bytes: int
    telnet_commands: int
    telnet_bytes: int
    high_bytes: int
    kept: np.ndarray


def side_of(turns: Turns, direction: int) -> Side:
    """What `direction`, the token id `CLIENT` or `SERVER`, sent."""
    speaks = turns.directions == direction
    sizes = np.diff(turns.ends, prepend=0)
    data = turns.payload[np.repeat(speaks, sizes)]
    payload = data.tobytes()
    commands = match_spans(TELNET, payload)
    in_csi, in_telnet = span_mask(*_control_sequences(data), len(data)), span_mask(*commands, len(data))
    wipes = [match.start() for match in WIPE.finditer(payload)]

    kept = ~(in_csi | in_telnet)
    kept[wipes] = True
    data[wipes] = LINE_FEED
    kept_before = np.append(np.int32(0), np.cumsum(kept, dtype=np.int32))
    return Side(
        payload=payload,
        text=data[kept].tobytes(),
        ends=kept_before[np.cumsum(speaks * sizes)],
        csi_bytes=int(in_csi.sum()),
        telnet_commands=len(commands[0]),
        telnet_bytes=int(in_telnet.sum()),
        high_bytes=int(((data >= 0x80) & ~in_telnet).sum()),
        kept=kept,
    )


def _control_sequences(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `match_spans(CSI, data)` of uint8 [n], without a step of Python each: they are two of five server bytes."""
    starts = np.flatnonzero((data[:-1] == ESCAPE) & (data[1:] == ord("[")))
    stops = np.flatnonzero((data < ord(" ")) | (data > ord("?")))
    # What breaks off at the end of the data stops at a byte that ends nothing.
    finals = np.append(stops, len(data))[np.searchsorted(stops, starts + 2)]
    last = np.append(data, 0)[finals]
    complete = (last >= ord("@")) & (last <= ord("~"))
    return starts[complete], finals[complete] + 1


def hash_long_lines(text: bytes) -> np.ndarray:
    """int64 [lines]: a hash, good for this process only, of each line of at least `LONG_LINE` characters."""
    lines = text.replace(b"\r", b"\n").split(b"\n")
    return np.array([hash(line) for line in lines if len(line) >= LONG_LINE], np.int64)


@dataclass(frozen=True)
class Typed:
    """The lines that a player ended with Enter, sorted by what they are. No password is among them."""

    commands: list[bytes]
    """Edited as backspaces ask."""
    names: list[bytes]
    """User names that a password followed."""
    empty: int


def typed(client: Side, server: Side, secret: np.ndarray) -> Typed:
    """Read the client's lines.

    Args:
        client: what the client sent.
        server: what the server sent.
        secret: bool [client's payload], what of it is a credential.

    What answers a prompt for a name, or was typed last before a password, is no command.
    """
    breaks = [match.span() for match in LINE_END.finditer(client.text)]
    spans = [(begin, end) for (_, begin), (end, _) in pairwise([(0, 0), *breaks]) if begin < end]
    begins, ends = np.array(spans, np.int64).reshape(-1, 2).T
    heard_at_end = server.ends[np.searchsorted(client.ends, ends, "right")]
    lowered = server.text.lower()

    def answers(*prompts: bytes) -> np.ndarray:
        """bool [lines]: whether one of the prompts was sent since the line before."""
        sent = sorted(match.end() for prompt in prompts for match in re.finditer(re.escape(prompt), lowered))
        return np.diff(np.searchsorted(sent, heard_at_end, "right"), prepend=0) > 0

    secret_before = np.append(0, np.cumsum(secret[client.kept]))
    is_secret = secret_before[ends] > secret_before[begins]
    asked = answers(*NAME_PROMPTS)
    before_secret = np.append(is_secret, False)[1:] & ~is_secret
    # The prompt for the name may be lost, but only of the first can be told that it is one.
    first = np.cumsum(is_secret) == 0
    names = before_secret & (asked | first)
    commands = ~(is_secret | asked | before_secret)
    return Typed(
        commands=[apply_backspaces(client.text[slice(*spans[index])]) for index in np.flatnonzero(commands)],
        names=[apply_backspaces(client.text[slice(*spans[index])]) for index in np.flatnonzero(names)],
        empty=len(breaks) - len(spans),
    )


def first_word(line: bytes) -> str | None:
    """The command of a line in lower case, None if it has none. A sign is one by itself: what stands behind `/` or
    `>` is a player's name."""
    match = _WORD.search(line.lower())
    return match and match[0].decode()
