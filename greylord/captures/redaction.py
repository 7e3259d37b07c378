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

from greylord.captures import proxylog
from greylord.captures.markup import CSI, LINE_END, TELNET, Sought, covered, edited, find_spans
from greylord.captures.session import Direction, Session
from greylord.spool import Spool, blocks, release

__all__ = ["MASK", "Credentials", "copy_file", "find", "masked"]

MASK = ord("*")
DELETE = 0x7F

_MARKUP = Sought(CSI.pattern + rb"|" + TELNET.pattern, rb"[\x1b\xff]", 1)
_COLOUR = rb"\x1b\[[0-9;]*m"
_UNSEEN = re.compile(_COLOUR + rb"|" + TELNET.pattern, re.DOTALL)
_PASS = Sought((rb"(?:%b)*" % _COLOUR).join((b"p", b"a", b"s", b"s")), rb"pas|pa\x1b|p\x1b\[", 3)
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
_GIVING_UP = Sought(rb"suicid|reroll", rb"suicid|reroll", 6)
"""What each of these commands has."""
_BEFORE_ECHO = re.compile(rb"(?:.*pass[^\r\n]*[:>?])?\s*", re.DOTALL)
"""What the server says between the first key of a line and its echo: nothing, or the prompt if it was typed ahead."""
_ECHO_OPTION = Sought(rb"\xff[\xfb\xfc]\x01", rb"\xff[\xfb\xfc]\x01", 3)
_WILL = 0xFB
_LAST_ASTERISK = Sought(rb"\*[\r\n]", rb"\*[\r\n]", 2)
_LINE_END = Sought(LINE_END.pattern, rb"[\r\n]", 1)
_LINE_BREAK = re.compile(rb"[\r\n]")

NEARBY = 400
"""Bytes of the server to look at before a prompt or after it."""
MOST_UNECHOED = 4
"""Lines typed while the server holds its echo back; with more, it holds it back for another reason."""
TYPED_AHEAD = 8
"""Lines that may be typed before the prompts that they answer."""
SHORTEST_SOUGHT = 4
"""Characters of a password from which on it is looked for elsewhere; as many bytes are compared as one number."""
LOOKS = 1_000
"""Windows of a mapped text to look at before its pages are given back."""


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
    for begin, block in blocks(session.payload):
        first, last = np.searchsorted(credentials.positions, (begin, begin + len(block)))
        copy = block.copy()
        copy[credentials.positions[first:last] - begin] = MASK
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
    call = _Call(session, folder)
    secret = {*_answers(call), *_echoed_in_asterisks(call), *_unechoed(call)}
    secret |= {line + 1 for line in secret if _is_asked_again(call, line)}
    spans = [(int(call.begins[line]), int(call.ends[line])) for line in secret]
    spans += _spoken(call)
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
    values = session.payload[positions]
    printable = (values >= ord(" ")) & (values != DELETE)
    return Credentials(positions[printable], len(secret))


def _hits(sought: Sought, text: memoryview) -> Iterator[tuple[int, int]]:
    """Where the matches in a text begin and end."""
    begins, ends = find_spans(sought, text)
    return zip(begins.tolist(), ends.tolist(), strict=True)


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


def _spoken(call: _Call) -> Iterator[tuple[int, int]]:
    """Where in the client's text the passwords of MajorMUD's commands stand."""
    begins, _ = find_spans(_GIVING_UP, call.text)
    for line in np.unique(np.searchsorted(call.begins, begins, "right") - 1).tolist():
        begin = int(call.begins[line])
        yield from ((begin + match.start(1), begin + match.end(1)) for match in _SPOKEN.finditer(call.line(line)))


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
        text: what the client typed, without control sequences and telnet commands.
        begins, ends: int64 [lines], the lines in `text` that are not empty, without their ends. The last may lack one.
        begun, ended: int64 [lines], the bytes that the server had sent when the line began, and when it ended.
    """

    def __init__(self, session: Session, folder: Path | None) -> None:
        server, client = Spool(np.uint8, folder), Spool(np.uint8, folder)
        # What either side had sent before each record of the client, and at the end what the client has sent.
        heard, typed = Spool(np.int64, folder), Spool(np.int64, folder)
        server_bytes = client_bytes = 0
        for piece in session.pieces():
            by_client = piece.directions == Direction.CLIENT
            is_client = np.repeat(by_client, piece.sizes)
            server.append(piece.payload[~is_client])
            client.append(piece.payload[is_client])
            sizes = piece.sizes[by_client]
            before = np.cumsum(sizes) - sizes
            typed.append(client_bytes + before)
            heard.append(server_bytes + piece.ends[by_client] - sizes - before)
            client_bytes += int(sizes.sum())
            server_bytes += len(piece.payload) - int(sizes.sum())
        typed.append([client_bytes])
        self.server = memoryview(server.array())
        self._heard, self._typed = heard.array(), typed.array()
        self._looks = 0
        self._take_text(client.array(), folder)
        self._find_lines()

    def _take_text(self, client: np.ndarray, folder: Path | None) -> None:
        """Leave control sequences and telnet commands out of what the client sent."""
        begins, ends = find_spans(_MARKUP, client)
        text = Spool(np.uint8, folder)
        for first, block in blocks(client):
            inside = slice(np.searchsorted(ends, first, "right"), np.searchsorted(begins, first + len(block)))
            spans = (np.clip(edges[inside] - first, 0, len(block)) for edges in (begins, ends))
            text.append(block[~covered(*spans, len(block))])
        self.text = memoryview(text.array())
        self._left_out = np.append(0, np.cumsum(ends - begins))
        self._gaps = begins - self._left_out[:-1]

    def _find_lines(self) -> None:
        breaks, resumed = find_spans(_LINE_END, self.text)
        begins, ends = np.append(0, resumed), np.append(breaks, len(self.text))
        self.begins, self.ends = begins[begins < ends], ends[begins < ends]
        self.begun = self._heard_before(self.begins)
        self.ended = self._heard_before(self.ends)
        self.ended[self.ends == len(self.text)] = len(self.server)

    def _sent_at(self, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: where bytes of `text` stand in what the client sent."""
        return positions + self._left_out[np.searchsorted(self._gaps, positions, "right")]

    def _heard_before(self, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: how much the server had sent before bytes of `text`."""
        return self._heard[np.searchsorted(self._typed[:-1], self._sent_at(positions), "right") - 1]

    def typed_at(self, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: where bytes of `text` stand in the payload."""
        return self._sent_at(positions) + self._heard_before(positions)

    def said_at(self, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: where bytes of `server` stand in the payload."""
        return positions + self._typed[np.searchsorted(self._heard, positions, "right")]

    def __len__(self) -> int:
        return len(self.begins)

    def line(self, index: int) -> bytes:
        """A typed line as it is, backspaces and all."""
        return bytes(self.text[self.begins[index] : self.ends[index]])

    def line_after(self, heard: int) -> int:
        """The first line that ended when the server had sent `heard` bytes; the number of lines if none did."""
        return int(np.searchsorted(self.ended, heard))

    def _window(self, begin: int, end: int) -> bytes:
        """What the server sent between two positions."""
        self._looks += 1
        if self._looks % LOOKS == 0:
            release(self.server)
        return bytes(self.server[max(0, begin) : end])

    def said(self, begin: int, end: int) -> bytes:
        """What the server said between two positions: in lower case, and with a line feed for a move of the cursor."""
        return CSI.sub(b"\n", _UNSEEN.sub(b"", self._window(begin, end).lower()))

    def prompt(self, index: int) -> bytes:
        """The unfinished line behind which a line was typed."""
        heard = int(self.begun[index])
        return _LINE_BREAK.split(self.said(heard - NEARBY, heard))[-1]

    def echo(self, index: int, keys: np.ndarray) -> np.ndarray:
        """int64 [n]: where in `server` keys of a line, int64 [n], were echoed in clear, if the line was."""
        line = self.line(index)
        if len(line) > NEARBY or not line.strip(b"*"):
            return np.zeros(0, np.int64)
        # Backspaces are echoed as backspace, blank, backspace.
        echoes = [re.escape(bytes([key])) if key not in b"\b\x7f" else rb"\x08 \x08" for key in line]
        pattern = re.compile(b"".join(b"(%b)" % echo for echo in echoes) + rb"(?=[\r\n])")
        begun = int(self.begun[index])
        match = pattern.search(self._window(begun, min(int(self.ended[index]), begun + NEARBY) + NEARBY))
        if not match or not _BEFORE_ECHO.fullmatch(self.said(begun, begun + match.start())):
            return np.zeros(0, np.int64)
        return np.array([begun + match.start(1 + key) for key in keys.tolist()], np.int64)

    def is_echoed(self, index: int) -> bool:
        """Whether a line was echoed in clear."""
        return len(self.echo(index, np.arange(len(self.line(index))))) > 0


def _answers(call: _Call) -> Iterator[int]:
    """The lines that answer password prompts."""
    if not len(call):
        return
    for begin, end in _hits(_PASS, call.server):
        line = call.line_after(end)
        until = len(call.server) if line == len(call) else int(call.begun[line])
        if until < end:
            until = int(call.ended[line])
        since = max(begin - NEARBY, int(call.ended[line - 1]) if line else 0)
        before = _LINE_BREAK.split(call.said(since, begin))[-1]
        said = _LINE_BREAK.split(call.said(begin, min(until, begin + NEARBY)))
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
    for begin, _ in _hits(_LAST_ASTERISK, call.server):
        line = int(np.searchsorted(call.begun, begin, "right")) - 1
        if line >= 0 and begin - call.begun[line] < NEARBY:
            echo = call.said(int(call.begun[line]), begin + 1).strip()
            if echo == b"*" * len(edited(call.line(line))) and len(echo) > 1:
                yield line


def _unechoed(call: _Call) -> Iterator[int]:
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


def _is_asked_again(call: _Call, line: int) -> bool:
    """Whether a password's next line is the same once more."""
    return line + 1 < len(call) and _AGAIN.fullmatch(call.prompt(line + 1)) is not None
