"""Credentials in a recording: where in the payload they stand, and the recording with `*` in their place.

Credentials are passwords. User names are not masked: a player's User-ID is the name of the hero, which the
game shows to all on nearly every line.

These lines of the client are passwords:

* what answers a password prompt, or the prompt to type it again that follows;
* what the server echoes in asterisks, since the recorder may have lost the prompt;
* what is typed between the server's IAC WILL ECHO and IAC WONT ECHO (RFC 857) and not echoed. Worldgroup says
  WILL ECHO once, when the call begins, so that an ECHO that stays on tells nothing;
* the word after `set suicide`, `suicide` and `reroll`, which MajorMUD protects with a password of its own.

Whatever of it the server echoes in clear is masked too. A password often is an ordinary word, and to mask the
word wherever it stands would give it away; typed again it is masked where it is all that answers a prompt other
than the game's. A password that is neither a word nor a number is masked wherever it stands.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from greylord.captures.conversation import LINE_BREAK, NEARBY, Call
from greylord.captures.formats import proxylog
from greylord.captures.markup import COLOUR, SearchPattern, edited, find_spans
from greylord.captures.session import Session
from greylord.spool import Spool, blocks

__all__ = ["MASK", "Credentials", "copy_file", "find", "masked"]

MASK = ord("*")
DELETE = 0x7F

_PASS = SearchPattern((rb"(?:%b)*" % COLOUR).join((b"p", b"a", b"s", b"s")), rb"pas|pa\x1b|p\x1b\[", 3)
"""The beginning of any word for it, whose letters may differ in colour."""
_PROMPT = re.compile(
    rb"pass(?: ?(?:word|phrase|code|wd)(?:[^:>?\"*]{0,60}[:>]|\s*\?)|[ \t]*[:>?])[ \t]*(?P<asterisks>\*+)?(?P<rest>.*)",
    re.DOTALL,
)
"""A prompt from that word on, as far as its line goes."""
_AGAIN = re.compile(
    rb"(?!.*(?:user|name|login|handle)).*(?:again|verif|confirm|re-?enter|re-?type|repeat|once more).*[:>?][ \t]*"
)
"""The prompt between a password and the second time that it is typed."""
_OTHER_PROMPT = re.compile(rb"(?!.*\[hp=).*[:>?)\]][ \t]*")
"""A prompt, but for the game's `[HP=46]:`."""
_SPOKEN = re.compile(rb"(?<![^\r\n\0])[ \t]*(?:set +suicide|suicide|reroll) +([^\r\n]+)", re.IGNORECASE)
"""A line that carries a password after MajorMUD's commands to give a hero up."""
_GIVING_UP = SearchPattern(rb"suicid|reroll", rb"suicid|reroll", 6)
"""What each of these commands has."""
_ECHO_OPTION = SearchPattern(rb"\xff[\xfb\xfc]\x01", rb"\xff[\xfb\xfc]\x01", 3)
_WILL = 0xFB
_LAST_ASTERISK = SearchPattern(rb"\*[\r\n]", rb"\*[\r\n]", 2)

MOST_UNECHOED = 4
"""Lines typed while the server holds its echo back; with more, it holds it back for another reason."""
TYPED_AHEAD = 8
"""Lines that may be typed before the prompts that they answer."""
SHORTEST_SOUGHT = 4
"""Characters of a password from which on it is looked for elsewhere; as many bytes are compared as one number."""


@dataclass(frozen=True, eq=False)
class Credentials:
    """The credentials of one recording.

    Attributes:
        positions: int64 [bytes], where they stand in the session's payload, ascending.
        logins: passwords given: lines that were asked for, or echoed in asterisks or not at all.
    """

    positions: np.ndarray
    logins: int


def masked(session: Session, credentials: Credentials, folder: Path | None = None) -> Session:
    """The session with `*` at the positions of its credentials; nothing else differs.

    Args:
        session: returned itself if it has no credentials.
        credentials: what was found in the session.
        folder: where the copy of a large payload lies; see `Spool`.
    """
    if not len(credentials.positions):
        return session
    payload = Spool(np.uint8, folder)
    for begin, block, inside in _by_block(credentials.positions, session.payload):
        copy = block.copy()
        copy[inside - begin] = MASK
        payload.append(copy)
    return replace(session, payload=payload.array())


def copy_file(source: Path, target: Path) -> Credentials:
    """Copy a log with its credentials masked, and nothing else changed; returns what they were."""
    credentials = find(proxylog.read_file(source))
    with source.open("rb") as log, target.open("wb") as copy:
        proxylog.copy_masked(log, copy, credentials.positions)
    shutil.copystat(source, target)
    return credentials


def find(session: Session, folder: Path | None = None) -> Credentials:
    """Find the credentials of a recording. Work is done near hits only, but for a few searches of the whole.

    Args:
        session: the recording.
        folder: where copies of what the two sides of a large one sent lie meanwhile; see `Spool`.
    """
    call = Call(session, folder)
    secret = {*_answers(call), *_echoed_in_asterisks(call), *_unechoed(call)}
    secret |= {line + 1 for line in secret if _is_asked_again(call, line)}
    spans = [(int(call.begins[line]), int(call.ends[line])) for line in secret]
    spans += _spoken(call)
    if not spans:
        return Credentials(np.zeros(0, np.int64), 0)
    sought = {edited(bytes(call.text[begin:end])).lower() for begin, end in spans}
    sought = {word for word in sought if len(word) >= SHORTEST_SOUGHT and word.strip(b"*")}
    ordinary = {word for word in sought if word.isalpha() or word.isdigit()}
    spans += _whole_answers(call, ordinary)
    spans += _everywhere(sought - ordinary, call.text)
    typed = _positions(spans)
    echoes = [_positions(_everywhere(sought - ordinary, call.server))]
    for line in np.unique(np.searchsorted(call.begins, typed, "right") - 1).tolist():
        first, last = np.searchsorted(typed, (call.begins[line], call.ends[line]))
        echoes.append(call.echo(line, typed[first:last] - call.begins[line]))
    positions = np.sort(np.concatenate([call.typed_at(typed), call.said_at(np.unique(np.concatenate(echoes)))]))
    printable = [np.zeros(0, np.int64)]
    for begin, block, inside in _by_block(positions, session.payload):
        values = block[inside - begin]
        printable.append(inside[(values >= ord(" ")) & (values != DELETE)])
    return Credentials(np.concatenate(printable), len(secret))


def _by_block(positions: np.ndarray, payload: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Where each block of a payload begins, the block, and those of the ascending positions that are in it."""
    for begin, block in blocks(payload):
        first, last = np.searchsorted(positions, (begin, begin + len(block)))
        yield begin, block, positions[first:last]


def _hits(search: SearchPattern, text: memoryview) -> Iterator[tuple[int, int]]:
    """Where the matches in a text begin and end."""
    for begins, ends in find_spans(search, text):
        yield from zip(begins.tolist(), ends.tolist(), strict=True)


def _positions(spans: Iterable[tuple[int, int]]) -> np.ndarray:
    """int64 [n]: the positions within any of the spans, ascending."""
    begins, ends = np.array(sorted(spans), np.int64).reshape(-1, 2).T
    ends = np.maximum.accumulate(ends)
    begins = np.maximum(begins, np.append(0, ends)[:-1])
    sizes = ends - begins
    return np.arange(sizes.sum()) + np.repeat(begins - np.cumsum(sizes) + sizes, sizes)


def _everywhere(words: set[bytes], text: memoryview) -> Iterator[tuple[int, int]]:
    """Where words of at least `SHORTEST_SOUGHT` bytes, in lower case, stand in a text of either case. However many
    they are, the text is searched once, for their heads."""
    if not words:
        return
    lengths = defaultdict(set)
    for word in words:
        lengths[word[:SHORTEST_SOUGHT]].add(len(word))
    sought = np.frombuffer(b"".join(lengths), "<u4")
    for first, block in blocks(text, overlap=SHORTEST_SOUGHT - 1):
        lowered = block.tobytes().lower()
        heads = np.ndarray(max(0, len(lowered) - SHORTEST_SOUGHT + 1), "<u4", lowered, strides=(1,))
        for place in np.flatnonzero(np.isin(heads, sought)).tolist():
            at = first + place
            for length in lengths[lowered[place : place + SHORTEST_SOUGHT]]:
                # At the end of the text a longer word must not pass for the shorter one that is left of it.
                if at + length <= len(text) and bytes(text[at : at + length]).lower() in words:
                    yield at, at + length


def _spoken(call: Call) -> Iterator[tuple[int, int]]:
    """Where in the client's text the passwords of MajorMUD's commands stand."""
    lines = {int(np.searchsorted(call.begins, begin, "right")) - 1 for begin, _ in _hits(_GIVING_UP, call.text)}
    for line in lines:
        begin = int(call.begins[line])
        yield from ((begin + match.start(1), begin + match.end(1)) for match in _SPOKEN.finditer(call.line(line)))


def _whole_answers(call: Call, words: set[bytes]) -> Iterator[tuple[int, int]]:
    """Where in the client's text one of the words is all that answers a prompt, but for the game's."""
    for line in range(len(call)) if words else ():
        answer = call.line(line).rpartition(b"\0")[2]
        if answer.lower() in words and _OTHER_PROMPT.fullmatch(call.prompt(line)):
            yield int(call.ends[line]) - len(answer), int(call.ends[line])


def _answers(call: Call) -> Iterator[int]:
    """The lines that answer password prompts."""
    if not len(call):
        return
    for begin, end in _hits(_PASS, call.server):
        line = call.line_after(end)
        until = len(call.server) if line == len(call) else int(call.begun[line])
        if until < end:
            until = int(call.ended[line])
        since = max(begin - NEARBY, int(call.ended[line - 1]) if line else 0)
        before = LINE_BREAK.split(call.said(since, begin))[-1]
        said = LINE_BREAK.split(call.said(begin, min(until, begin + NEARBY)))
        prompt = _PROMPT.fullmatch(said[0])
        # What players say stands behind a colon or in quotes, and its line ends.
        is_talk = len(said) > 1 and (b":" in before or b'"' in before)
        if not prompt or is_talk:
            continue
        if prompt["asterisks"] and len(said) > 1:
            # The answer has been typed ahead, or was recorded late: rather one line too many than one too few.
            likely = [
                other
                for other in range(max(0, line - TYPED_AHEAD), min(line + 1, len(call)))
                if len(edited(call.line(other))) == len(prompt["asterisks"]) and not call.is_echoed(other)
            ]
            yield from likely[-2:] if line in likely else likely[-1:]
        elif line < len(call) and edited(call.line(line)).lower().startswith(edited(prompt["rest"].strip())):
            yield line


def _echoed_in_asterisks(call: Call) -> Iterator[int]:
    """The lines that the server answers with as many asterisks as they have characters, and a line end."""
    for begin, _ in _hits(_LAST_ASTERISK, call.server):
        line = int(np.searchsorted(call.begun, begin, "right")) - 1
        if line >= 0 and begin - call.begun[line] < NEARBY:
            echo = call.said(int(call.begun[line]), begin + 1).strip()
            if echo == b"*" * len(edited(call.line(line))) and len(echo) > 1:
                yield line


def _unechoed(call: Call) -> Iterator[int]:
    """The lines typed while the server held its echo back for a few lines only."""
    spans, opened = [], None
    for begin, end in _hits(_ECHO_OPTION, call.server):
        if call.server[begin + 1] == _WILL:
            opened = opened or end
        elif opened:
            spans.append((opened, begin))
            opened = None
    if opened and call.line_after(opened) > 0:
        spans.append((opened, len(call.server)))
    for begin, end in spans:
        lines = range(call.line_after(begin), call.line_after(end + 1))
        if len(lines) <= MOST_UNECHOED:
            yield from (line for line in lines if not call.is_echoed(line))


def _is_asked_again(call: Call, line: int) -> bool:
    """Whether a password's next line is the same once more."""
    return line + 1 < len(call) and _AGAIN.fullmatch(call.prompt(line + 1)) is not None
