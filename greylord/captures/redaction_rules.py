"""The rules that find passwords in a conversation.

Each returns spans and gives its reason. A rule reads a `Conversation` and knows nothing of masking;
`greylord.captures.redaction` applies the rules and joins their spans.
"""

from __future__ import annotations

import enum
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from greylord.captures.conversation import LINE_BREAK, NEARBY, Conversation
from greylord.captures.markup import COLOUR, SearchPattern, apply_backspaces, find_spans
from greylord.spool import blocks

__all__ = [
    "LOGIN_REASONS",
    "MIN_SOUGHT",
    "MaskSpan",
    "Reason",
    "answers_to_prompts",
    "asked_again",
    "echoed_in_asterisks",
    "echoed_in_clear",
    "hero_commands",
    "typed_again",
    "typed_unechoed",
    "words_anywhere",
]

_PASS = SearchPattern((rb"(?:%b)*" % COLOUR).join((b"p", b"a", b"s", b"s")), rb"pas|pa\x1b|p\x1b\[", 3)
"""The beginning of "password" and its like; the letters may differ in colour."""
_PROMPT = re.compile(
    rb"pass(?: ?(?:word|phrase|code|wd)(?:[^:>?\"*]{0,60}[:>]|\s*\?)|[ \t]*[:>?])[ \t]*(?P<asterisks>\*+)?(?P<rest>.*)",
    re.DOTALL,
)
"""A password prompt from that word to the end of its line."""
_AGAIN = re.compile(
    rb"(?!.*(?:user|name|login|handle)).*(?:again|verif|confirm|re-?enter|re-?type|repeat|once more).*[:>?][ \t]*"
)
"""A prompt for typing a password a second time."""
_OTHER_PROMPT = re.compile(rb"(?!.*\[hp=).*[:>?)\]][ \t]*")
"""Any prompt other than the game's `[HP=46]:`."""
_HERO_COMMAND = re.compile(rb"(?<![^\r\n\0])[ \t]*(?:set +suicide|suicide|reroll) +([^\r\n]+)", re.IGNORECASE)
"""A line with a password after one of MajorMUD's commands for giving up a hero."""
_HERO_WORD = SearchPattern(rb"suicid|reroll", rb"suicid|reroll", 6)
"""A word that each of these commands contains."""
_ECHO_OPTION = SearchPattern(rb"\xff[\xfb\xfc]\x01", rb"\xff[\xfb\xfc]\x01", 3)
"""IAC WILL ECHO, or IAC WONT ECHO (RFC 857)."""
_WILL = 0xFB
_LAST_ASTERISK = SearchPattern(rb"\*[\r\n]", rb"\*[\r\n]", 2)

MAX_UNECHOED_LINES = 4
"""Most lines that count as passwords while the server holds its echo back. More lines mean another reason."""
MAX_LINES_AHEAD = 8
"""Most lines typed ahead of the prompt that they answer."""
MIN_SOUGHT = 4
"""Bytes of the shortest password that is searched for elsewhere; its first four are compared as one number."""


class Reason(enum.StrEnum):
    """The reason for masking a span."""

    PROMPT = "answers a password prompt"
    ASTERISKS = "echoed in asterisks"
    UNECHOED = "typed while the server held its echo back"
    ASKED_AGAIN = "answers a prompt to type the password again"
    HERO_COMMAND = "password of a command to give up a hero"
    TYPED_AGAIN = "a known password as the whole answer to another prompt"
    ANYWHERE = "a known password that is neither a word nor a number"
    ECHO = "the server's echo of a masked key"


LOGIN_REASONS = frozenset({Reason.PROMPT, Reason.ASTERISKS, Reason.UNECHOED, Reason.ASKED_AGAIN})
"""The reasons for masking a whole line: the player was asked for a password, and gave it."""


class MaskSpan(NamedTuple):
    """A stretch of bytes to mask, in `Conversation.typed` or in `Conversation.server`."""

    begin: int
    end: int
    reason: Reason


def answers_to_prompts(conversation: Conversation) -> Iterator[MaskSpan]:
    """Find the lines that answer password prompts."""
    if not len(conversation):
        return
    for begin, end in _hits(_PASS, conversation.server):
        line = conversation.line_after(end)
        is_last = line == len(conversation)
        until = len(conversation.server) if is_last else int(conversation.server_at_begin[line])
        if until < end:
            until = int(conversation.server_at_end[line])
        since = max(begin - NEARBY, int(conversation.server_at_end[line - 1]) if line else 0)
        before = LINE_BREAK.split(conversation.server_text(since, begin))[-1]
        lines = LINE_BREAK.split(conversation.server_text(begin, min(until, begin + NEARBY)))
        prompt = _PROMPT.fullmatch(lines[0])
        # A player's speech stands after a colon or in quotes, and its line ends.
        is_speech = len(lines) > 1 and (b":" in before or b'"' in before)
        if not prompt or is_speech:
            continue
        if prompt["asterisks"] and len(lines) > 1:
            # The answer was typed ahead, or recorded late. Masking one line too many is better than missing one.
            likely = [
                other
                for other in range(max(0, line - MAX_LINES_AHEAD), min(line + 1, len(conversation)))
                if len(apply_backspaces(conversation.line(other))) == len(prompt["asterisks"])
                and not conversation.is_echoed(other)
            ]
            for other in likely[-2:] if line in likely else likely[-1:]:
                yield _whole_line(conversation, other, Reason.PROMPT)
        elif not is_last:
            answer = apply_backspaces(conversation.line(line)).lower()
            if answer.startswith(apply_backspaces(prompt["rest"].strip())):
                yield _whole_line(conversation, line, Reason.PROMPT)


def echoed_in_asterisks(conversation: Conversation) -> Iterator[MaskSpan]:
    """Find the lines that the server echoes as asterisks, one per character.

    A line end must follow the echo. The recorder may have lost the prompt.
    """
    for begin, _ in _hits(_LAST_ASTERISK, conversation.server):
        line = int(np.searchsorted(conversation.server_at_begin, begin, "right")) - 1
        if line >= 0 and begin - conversation.server_at_begin[line] < NEARBY:
            echo = conversation.server_text(int(conversation.server_at_begin[line]), begin + 1).strip()
            if echo == b"*" * len(apply_backspaces(conversation.line(line))) and len(echo) > 1:
                yield _whole_line(conversation, line, Reason.ASTERISKS)


def typed_unechoed(conversation: Conversation) -> Iterator[MaskSpan]:
    """Find the lines that are not echoed between IAC WILL ECHO and IAC WONT ECHO.

    They count only if they are few. Worldgroup sends WILL ECHO once, when the call begins, so an ECHO that stays on is
    not a sign of a password.
    """
    stretches, opened = [], None
    for begin, end in _hits(_ECHO_OPTION, conversation.server):
        if conversation.server[begin + 1] == _WILL:
            opened = opened or end
        elif opened:
            stretches.append((opened, begin))
            opened = None
    if opened and conversation.line_after(opened) > 0:
        stretches.append((opened, len(conversation.server)))
    for begin, end in stretches:
        lines = range(conversation.line_after(begin), conversation.line_after(end + 1))
        if len(lines) <= MAX_UNECHOED_LINES:
            for line in lines:
                if not conversation.is_echoed(line):
                    yield _whole_line(conversation, line, Reason.UNECHOED)


def asked_again(conversation: Conversation, logins: Iterable[MaskSpan]) -> Iterator[MaskSpan]:
    """Find the lines after one of `logins` that answer a prompt for a second entry."""
    begins = np.array(sorted({span.begin for span in logins}), np.int64)
    for line in (conversation.lines_at(begins) + 1).tolist():
        if line < len(conversation) and _AGAIN.fullmatch(conversation.prompt(line)):
            yield _whole_line(conversation, line, Reason.ASKED_AGAIN)


def hero_commands(conversation: Conversation) -> Iterator[MaskSpan]:
    """Find the word after `set suicide`, `suicide` and `reroll`.

    MajorMUD protects these commands with a separate password.
    """
    begins = np.array([begin for begin, _ in _hits(_HERO_WORD, conversation.typed)], np.int64)
    for line in np.unique(conversation.lines_at(begins)).tolist():
        begin = int(conversation.begins[line])
        for match in _HERO_COMMAND.finditer(conversation.line(line)):
            yield MaskSpan(begin + match.start(1), begin + match.end(1), Reason.HERO_COMMAND)


def typed_again(conversation: Conversation, words: Collection[bytes]) -> Iterator[MaskSpan]:
    """Find where one of `words` is the whole answer to a prompt other than the game's."""
    for line in range(len(conversation)) if words else ():
        answer = conversation.line(line).rpartition(b"\0")[2]
        if answer.lower() in words and _OTHER_PROMPT.fullmatch(conversation.prompt(line)):
            end = int(conversation.ends[line])
            yield MaskSpan(end - len(answer), end, Reason.TYPED_AGAIN)


def words_anywhere(text: memoryview, words: Collection[bytes]) -> Iterator[MaskSpan]:
    """Find words wherever they stand in a text, in upper or lower case.

    The text is searched once, however many words there are.

    Args:
        text: uint8 [bytes].
        words: In lower case, at least `MIN_SOUGHT` bytes each.
    """
    if not words:
        return
    lengths = defaultdict(set)
    for word in words:
        lengths[word[:MIN_SOUGHT]].add(len(word))
    sought = np.frombuffer(b"".join(lengths), "<u4")
    for first, block in blocks(np.asarray(text), overlap=MIN_SOUGHT - 1):
        lowered = block.tobytes().lower()
        heads = np.ndarray(max(0, len(lowered) - MIN_SOUGHT + 1), "<u4", lowered, strides=(1,))
        for place in np.flatnonzero(np.isin(heads, sought)).tolist():
            begin = first + place
            for length in lengths[lowered[place : place + MIN_SOUGHT]]:
                # At the end of the text, a longer word that breaks off may equal a shorter one.
                if begin + length <= len(text) and bytes(text[begin : begin + length]).lower() in words:
                    yield MaskSpan(begin, begin + length, Reason.ANYWHERE)


def echoed_in_clear(conversation: Conversation, typed: np.ndarray) -> Iterator[MaskSpan]:
    """Find where the server echoes masked keys.

    Args:
        conversation: The recording.
        typed: int64 [n], ascending positions of the keys in `Conversation.typed`.

    Yields:
        A span of `Conversation.server` for each key.
    """
    for line in np.unique(conversation.lines_at(typed)).tolist():
        begin = conversation.begins[line]
        first, last = np.searchsorted(typed, (begin, conversation.ends[line]))
        for position in conversation.echo(line, typed[first:last] - begin).tolist():
            yield MaskSpan(position, position + 1, Reason.ECHO)


def _hits(search: SearchPattern, text: memoryview) -> Iterator[tuple[int, int]]:
    """Yield where each match in a text begins and ends."""
    for begins, ends in find_spans(search, text):
        yield from zip(begins.tolist(), ends.tolist(), strict=True)


def _whole_line(conversation: Conversation, line: int, reason: Reason) -> MaskSpan:
    return MaskSpan(int(conversation.begins[line]), int(conversation.ends[line]), reason)
