"""The terminal's parsers accept any bytes, cut anywhere.

Only harmless output gets through.
"""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greylord.terminal.ansi import Ansi, ControlSequence
from greylord.terminal.display import Display
from greylord.terminal.telnet import DO, IAC, SB, SE, WILL, Telnet

HARMLESS = re.compile(r"\x1b\[[0-9;]*[A-HJKdfmsu]|[\b\t\n\r]|(?!\x1b).", re.DOTALL)

LIKELY = [b"\xff", b"\xff\xfa", b"\xff\xf0", b"\xff\xfb", b"\x1b", b"\x1b[", b"\x1b]", b"\x1b\\", b"\x07", b"0;", b"1"]
LIKELY += [b"m", b"?", b" ", b"6n", b"c", b"K", b"79D", b"\r\n", b"look", b"\xc9\xcd", b"\x00", b"\x9b", b"\x7f", b"!"]
streams = st.lists(st.sampled_from(LIKELY) | st.binary(max_size=3), max_size=30).map(b"".join)


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(edges)]


@given(streams, st.lists(st.integers(0, 200), max_size=8))
def test_cuts_change_nothing(data, cuts):
    parts = chunks(data, cuts)
    telnet, ansi, display = Telnet(), Ansi(), Display()
    assert b"".join(map(telnet.feed, parts)) == Telnet().feed(data)
    assert joined(piece for part in parts for piece in ansi.feed(part)) == joined(Ansi().feed(data))
    assert "".join(map(display.feed, parts)) == Display().feed(data)


def joined(pieces) -> list[ControlSequence | bytes]:
    """Join neighbouring runs of text."""
    result = []
    for piece in pieces:
        if result and not isinstance(piece, ControlSequence) and not isinstance(result[-1], ControlSequence):
            result[-1] += piece
        else:
            result.append(piece)
    return result


@given(streams)
def test_only_text_colours_and_cursor_moves_come_through(data):
    shown = Display().feed(data)
    pieces = HARMLESS.findall(shown)
    assert "".join(pieces) == shown
    for piece in pieces:
        assert piece.startswith("\x1b[") or piece in "\b\t\n\r" or piece.isprintable()


@given(st.binary(max_size=40).map(lambda data: bytes(byte for byte in data if byte != IAC)))
def test_data_without_commands_stays_as_it_is(data):
    assert Telnet().feed(data) == data


@pytest.mark.parametrize(
    ("received", "data"),
    [
        (bytes([IAC, WILL, 1]) + b"a" + bytes([IAC, DO, IAC]) + b"b", b"ab"),
        (bytes([IAC, IAC]), b"\xff"),
        (bytes([IAC, SB, 24, 0]) + b"ansi" + bytes([IAC, IAC, IAC, SE]) + b"x", b"x"),
        (bytes([IAC, SB, 24, IAC, WILL, 3]) + b"x", b"x"),
        (bytes([IAC, 249]) + b"x", b"x"),
        (bytes([IAC, SB]) + b"a" * 512 + b"bcd", b"bcd"),
        (b"a" + bytes([IAC]), b"a"),
    ],
)
def test_telnet_commands(received, data):
    assert Telnet().feed(received) == data


@pytest.mark.parametrize(
    ("received", "shown"),
    [
        (b"\x1b[79D\x1b[K\x1b[0;37m[HP=46]:", "\x1b[79D\x1b[K\x1b[0;37m[HP=46]:"),
        (b"\xc9\xcd\xbb\xff\xff", "╔═╗ "),
        (b"a\x1b]0;title\x07b\x1b]2;title\x1b\\c\x1bP1$r0m\x1b\\d", "abcd"),
        (b"a\x1b]0;no end\r\nb", "a\r\nb"),
        (b"a\x1b[6nb\x1b[cd\x1b[?25l\x1b[21t\x1b[2 q\x1b[1000000A\x1b#8e", "abde"),
        (b"\x1b[!\x1b[1mx", "\x1b[1mx"),
        (b"\x1b[1\rx\x1bcy\x1b\x1b[Az", "\rxy\x1b[Az"),
        (b"\x07\x00\x0e\x7f\x05bell", "bell"),
        (b"\x1b[" + b"1" * 70 + b"mx", "111111mx"),
    ],
)
def test_the_display_shows(received, shown):
    assert Display().feed(received) == shown
