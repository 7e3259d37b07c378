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
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from greylord.captures import proxylog
from greylord.captures.markup import CSI, LINE_END, TELNET, covered, edited, matches
from greylord.captures.session import Direction, Session

__all__ = ["MASK", "Credentials", "copy_file", "find", "masked"]

MASK = ord("*")
DELETE = 0x7F

_MARKUP = re.compile(CSI.pattern + rb"|" + TELNET.pattern, re.DOTALL)
_COLOUR = rb"\x1b\[[0-9;]*m"
_UNSEEN = re.compile(_COLOUR + rb"|" + TELNET.pattern, re.DOTALL)
_PASS = re.compile((rb"(?:%b)*" % _COLOUR).join((b"p", b"a", b"s", b"s")))
"""The beginning of any word for it, whose letters may differ in colour; over text in lower case."""
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
_BEFORE_ECHO = re.compile(rb"(?:.*pass[^\r\n]*[:>?])?\s*", re.DOTALL)
"""What the server says between the first key of a line and its echo: nothing, or the prompt if it was typed ahead."""
_ECHO_OPTION = re.compile(rb"\xff[\xfb\xfc]\x01")
_WILL_ECHO = b"\xff\xfb\x01"
_LAST_ASTERISK = re.compile(rb"\*[\r\n]")
_LINE_BREAK = re.compile(rb"[\r\n]")

NEARBY = 400
"""Bytes of the server to look at before a prompt or after it."""
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


def masked(session: Session, credentials: Credentials) -> Session:
    """The session with `*` at the positions of its credentials; nothing else differs."""
    payload = session.payload.copy()
    payload[credentials.positions] = MASK
    return replace(session, payload=payload)


def copy_file(source: Path, target: Path) -> Credentials:
    """Copy a log with its credentials masked, and nothing else changed; returns what they were."""
    credentials = find(proxylog.read_file(source))
    with source.open("rb") as log, target.open("wb") as copy:
        proxylog.copy_masked(log, copy, credentials.positions)
    shutil.copystat(source, target)
    return credentials


def find(session: Session) -> Credentials:
    """Find the credentials of a recording. Work is done near hits only, but for a few searches of the whole."""
    call = _Call(session)
    secret = {*_answers(call), *_echoed_in_asterisks(call), *_unechoed(call)}
    secret |= {line + 1 for line in secret if _is_asked_again(call, line)}
    spans = [(call.begins[line], call.ends[line]) for line in secret]
    spans += [match.span(1) for match in _SPOKEN.finditer(call.text)]
    sought = {edited(call.text[begin:end]).lower() for begin, end in spans}
    sought = {word for word in sought if len(word) >= SHORTEST_SOUGHT and word.strip(b"*")}
    ordinary = {word for word in sought if word.isalpha() or word.isdigit()}
    spans += _whole_answers(call, ordinary)
    spans += _everywhere(sought - ordinary, call.text.lower())
    server_spans = _everywhere(sought - ordinary, call.lowered)
    mask = covered(*np.array(spans, np.int64).reshape(-1, 2).T, len(call.text))
    lines = np.unique(np.searchsorted(call.begins, np.flatnonzero(mask), "right") - 1).tolist()
    at_server = [np.zeros(0, np.int64), *(np.arange(*span) for span in server_spans)]
    at_server += [call.echo(line, mask[call.begins[line] : call.ends[line]]) for line in lines]
    positions = np.sort(np.concatenate([call.at[mask], call.server_at(np.unique(np.concatenate(at_server)))]))
    values = session.payload[positions]
    printable = (values >= ord(" ")) & (values != DELETE)
    return Credentials(positions[printable], len(secret))


def _everywhere(words: set[bytes], text: bytes) -> Iterator[tuple[int, int]]:
    """Where words of at least `SHORTEST_SOUGHT` bytes stand in a text. However many they are, the text is searched
    once, for their heads."""
    lengths = defaultdict(set)
    for word in words:
        lengths[word[:SHORTEST_SOUGHT]].add(len(word))
    heads = np.ndarray(max(0, len(text) - SHORTEST_SOUGHT + 1), "<u4", text, strides=(1,))
    for at in np.flatnonzero(np.isin(heads, np.frombuffer(b"".join(lengths), "<u4"))).tolist():
        for length in lengths[text[at : at + SHORTEST_SOUGHT]]:
            # At the end of the text a longer word must not pass for the shorter one that is left of it.
            if at + length <= len(text) and text[at : at + length] in words:
                yield at, at + length


def _whole_answers(call: _Call, words: set[bytes]) -> Iterator[tuple[int, int]]:
    """Where in the client's text one of the words is all that answers a prompt, but for the game's."""
    for line in range(len(call)) if words else ():
        answer = call.line(line).rpartition(b"\0")[2]
        if answer.lower() in words and _OTHER_PROMPT.fullmatch(call.prompt(line)):
            yield int(call.ends[line]) - len(answer), int(call.ends[line])


class _Call:
    """What the two sides of a session sent, and the lines that the client typed.

    Attributes:
        server: all that the server sent.
        lowered: the same in lower case.
        text: what the client typed, without control sequences and telnet commands.
        at: int64 [text], where each byte of `text` stands in the payload.
        begins, ends: int64 [lines], the lines in `text` that are not empty, without their ends. The last may lack one.
        begun, ended: int64 [lines], the bytes that the server had sent when the line began, and when it ended.
    """

    def __init__(self, session: Session) -> None:
        from_client = np.repeat(session.directions == Direction.CLIENT, session.sizes)
        client_at = np.flatnonzero(from_client)
        client = session.payload[client_at]
        self.server = session.payload[~from_client].tobytes()
        self.lowered = self.server.lower()
        self._heard_by_client = client_at - np.arange(len(client_at))
        typed = ~covered(*matches(_MARKUP, client.tobytes()), len(client))
        self.text = client[typed].tobytes()
        self.at = client_at[typed]
        breaks, resumed = matches(LINE_END, self.text)
        begins, ends = np.append(0, resumed), np.append(breaks, len(self.text))
        self.begins, self.ends = begins[begins < ends], ends[begins < ends]
        heard = np.append(self._heard_by_client[typed], len(self.server))
        self.begun, self.ended = heard[self.begins], heard[self.ends]

    def __len__(self) -> int:
        return len(self.begins)

    def line(self, index: int) -> bytes:
        """A typed line as it is, backspaces and all."""
        return self.text[self.begins[index] : self.ends[index]]

    def line_after(self, heard: int) -> int:
        """The first line that ended when the server had sent `heard` bytes; the number of lines if none did."""
        return int(np.searchsorted(self.ended, heard))

    def said(self, begin: int, end: int) -> bytes:
        """What the server said between two positions: in lower case, and with a line feed for a move of the cursor."""
        return CSI.sub(b"\n", _UNSEEN.sub(b"", self.lowered[max(0, begin) : end]))

    def prompt(self, index: int) -> bytes:
        """The unfinished line behind which a line was typed."""
        heard = int(self.begun[index])
        return _LINE_BREAK.split(self.said(heard - NEARBY, heard))[-1]

    def server_at(self, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: where bytes of `server` stand in the payload."""
        return positions + np.searchsorted(self._heard_by_client, positions, "right")

    def echo(self, index: int, mask: np.ndarray) -> np.ndarray:
        """int64 [n]: where in `server` the bytes of a line that `mask`, bool [line], covers were echoed in clear, if
        they were."""
        line = self.line(index)
        if len(line) > NEARBY or not line.strip(b"*"):
            return np.zeros(0, np.int64)
        # Backspaces are echoed as backspace, blank, backspace.
        keys = [re.escape(bytes([key])) if key not in b"\b\x7f" else rb"\x08 \x08" for key in line]
        pattern = re.compile(b"".join(b"(%b)" % key for key in keys) + rb"(?=[\r\n])")
        begun = int(self.begun[index])
        match = pattern.search(self.server, begun, min(int(self.ended[index]), begun + NEARBY) + NEARBY)
        if not match or not _BEFORE_ECHO.fullmatch(self.said(begun, match.start())):
            return np.zeros(0, np.int64)
        return np.array([match.start(1 + key) for key in np.flatnonzero(mask)], np.int64)

    def is_echoed(self, index: int) -> bool:
        """Whether a line was echoed in clear."""
        return len(self.echo(index, np.ones(len(self.line(index)), bool))) > 0


def _answers(call: _Call) -> Iterator[int]:
    """The lines that answer password prompts."""
    if not len(call):
        return
    for match in _PASS.finditer(call.lowered):
        line = call.line_after(match.end())
        until = len(call.server) if line == len(call) else int(call.begun[line])
        if until < match.end():
            until = int(call.ended[line])
        since = max(match.start() - NEARBY, int(call.ended[line - 1]) if line else 0)
        before = _LINE_BREAK.split(call.said(since, match.start()))[-1]
        said = _LINE_BREAK.split(call.said(match.start(), min(until, match.start() + NEARBY)))
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


def _echoed_in_asterisks(call: _Call) -> Iterator[int]:
    """The lines that the server answers with as many asterisks as they have characters, and a line end."""
    for match in _LAST_ASTERISK.finditer(call.server):
        line = int(np.searchsorted(call.begun, match.start(), "right")) - 1
        if line >= 0 and match.start() - call.begun[line] < NEARBY:
            echo = call.said(int(call.begun[line]), match.start() + 1).strip()
            if echo == b"*" * len(edited(call.line(line))) and len(echo) > 1:
                yield line


def _unechoed(call: _Call) -> Iterator[int]:
    """The lines typed while the server held its echo back for a few lines only."""
    spans, opened = [], None
    for match in _ECHO_OPTION.finditer(call.server):
        if match[0] == _WILL_ECHO:
            opened = opened or match.end()
        elif opened:
            spans.append((opened, match.start()))
            opened = None
    if opened and call.line_after(opened) > 0:
        spans.append((opened, len(call.server)))
    for begin, end in spans:
        lines = range(call.line_after(begin), call.line_after(end + 1))
        if len(lines) <= MOST_UNECHOED:
            yield from (line for line in lines if not call.is_echoed(line))


def _is_asked_again(call: _Call, line: int) -> bool:
    """Whether a password's next line is the same once more."""
    return line + 1 < len(call) and _AGAIN.fullmatch(call.prompt(line + 1)) is not None
