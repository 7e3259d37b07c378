"""The text of a session's sides, and the lines that a player typed."""

import numpy as np
import pytest
from helpers import MARKUP
from hypothesis import given
from hypothesis import strategies as st

from greylord.captures import redaction
from greylord.captures.markup import CSI, span_mask
from greylord.captures.session import Direction, Record, Session
from greylord.stream import lines, turns, vocabulary
from greylord.stream.lines import transcript_of

C, S = Direction.CLIENT, Direction.SERVER


def session_of(*records: tuple[Direction, bytes]) -> Session:
    """Return a session without delays."""
    return Session.from_records(Record(direction, 0, payload) for direction, payload in records)


PIECES = (b"\x1b[0;37m", b"\x1b[79D\x1b[K", b"\x1b[", b"\x1b[5;", b"\xff\xfb\x01", b"\xff\xf1", b"\xff\xff", b"go\r\n")
MORE_PIECES = (b"\xff\xfa\x18\x00\xff\xff\x01\xff\xf0", b"\xc4\xb3", b"[HP=46]:", b" Vase. ", b"\x1b\x1b[1A")


@given(st.lists(st.tuples(st.sampled_from([C, S]), st.lists(st.sampled_from(PIECES + MORE_PIECES))), max_size=12))
def test_text_is_the_payload_without_markup(records):
    stream = turns.turns_of(session_of(*((direction, b"".join(pieces)) for direction, pieces in records)))
    for direction, token in ((C, vocabulary.CLIENT), (S, vocabulary.SERVER)):
        side = transcript_of(stream, token)
        payload = b"".join(b"".join(pieces) for sender, pieces in records if sender == direction)
        assert side.payload == payload
        markup = list(MARKUP.finditer(payload))
        assert side.text == MARKUP.sub(lambda match: b"\n" if match["wipe"] else b"", payload)
        assert side.csi_bytes == sum(len(match["csi"] or match["wipe"] or b"") for match in markup)
        commands = [match["telnet"] for match in markup if match["telnet"]]
        assert (side.telnet_commands, side.telnet_bytes) == (len(commands), sum(map(len, commands)))
        high = sum(byte >= 0x80 for byte in payload)
        assert side.high_bytes == high - sum(byte >= 0x80 for command in commands for byte in command)
        without = MARKUP.sub(lambda match: (b"\n" if match["wipe"] else b"").ljust(len(match[0]), b"\a"), payload)
        sent, expected = 0, []
        for sender, begin, end in zip(stream.directions, [0, *stream.ends], stream.ends, strict=False):
            sent += (end - begin) * (sender == token)
            expected.append(sent - without[:sent].count(b"\a"))
        assert side.ends.tolist() == expected


def sort_typed(*records: tuple[Direction, bytes]) -> tuple[list[bytes], list[bytes], int, int]:
    """Return commands, names, and the numbers of passwords and empty lines."""
    session = session_of(*records)
    stream, credentials = turns.turns_of(session), redaction.find(session)
    by_client = np.flatnonzero(np.repeat(session.directions == C, session.sizes))
    secret = np.isin(by_client, credentials.positions)
    sorted_lines = lines.typed_lines(
        transcript_of(stream, vocabulary.CLIENT), transcript_of(stream, vocabulary.SERVER), secret
    )
    return sorted_lines.commands, sorted_lines.names, credentials.logins, sorted_lines.empty


LOGIN = ((S, b"User-ID: "), (C, b"Grak\r"), (S, b"Grak\r\nEnter your password: "), (C, b"look\r"), (S, b"****\r\n"))


@pytest.mark.parametrize(
    ("records", "commands", "names", "passwords", "empty"),
    [
        # The password is an ordinary word, which is a command elsewhere.
        ((*LOGIN, (C, b"look\r\n\r\nn\n")), [b"look", b"n"], [b"Grak"], 1, 1),
        # The prompt in colours and halves, telnet and a cursor report before the name.
        (
            ((S, b"Pass\x1b[1"), (S, b";32mWORD: \x1b[0m"), (C, b"\xff\xfd\x01\x1b[2;1Rs\r\0sn\r")),
            [b"sn"],
            [],
            1,
            0,
        ),
        # Typed key by key; one line begins before the prompt and ends after it.
        (
            ((C, b"Bo"), (C, b"b\r"), (C, b"s"), (S, b"password:"), (C, b"w"), (C, b"\r"), (C, b"w\r")),
            [b"w"],
            [b"Bob"],
            1,
            0,
        ),
        # Corrected with backspaces, one too many.
        ((*LOGIN, (C, b"\bbiy\b\buy\x7f\x7fuy st\b\bsword\r")), [b"buy sword"], [b"Grak"], 1, 0),
        # The prompt is lost, but not the echo.
        (((S, b"pass"), (C, b"hush\r"), (S, b"****\r"), (C, b"sn\r"), (S, b"*Combat*\r")), [b"sn"], [], 1, 0),
        # Echoed key by key.
        (((C, b"h"), (S, b"*"), (C, b"i\r"), (S, b"*\r\n"), (C, b"sn\r")), [b"sn"], [], 1, 0),
        # Records out of order: the next line is not a password, though the prompt is the last thing the server sent.
        ((*LOGIN[:4], (C, b"m\r"), (S, b"****\r")), [b"m"], [b"Grak"], 1, 0),
        # Wrong name, then wrong password: neither is a command, and only the last name counts.
        (
            (
                *LOGIN[:2],
                (S, b"no such user\r\nUser-ID: "),
                *LOGIN[1:4],
                (S, b"password:"),
                (C, b"hush\r"),
                (C, b"m\r"),
            ),
            [b"m"],
            [b"Grak"],
            2,
            0,
        ),
        # A call that ends before the password; a line without an end.
        (((S, b'Otherwise type "new": '), (C, b"Grak\rsn")), [], [], 0, 0),
        # A player who talks of passwords hides no line.
        ((*LOGIN, (C, b"n\r"), (S, b"Bob says: password: x\r\n"), (C, b"s\r")), [b"n", b"s"], [b"Grak"], 1, 0),
        ((), [], [], 0, 0),
    ],
)
def test_commands_and_names_among_typed_lines(records, commands, names, passwords, empty):
    assert sort_typed(*records) == (commands, names, passwords, empty)


@given(
    st.lists(st.sampled_from([b"\x1b", b"[", b"1;31", b" ", b"?", b"m", b"K", b"\r", b"\xff"]), max_size=30).map(
        b"".join
    )
)
def test_control_sequences_follow_the_grammar(payload):
    begins, ends = lines._control_sequences(np.frombuffer(payload, np.uint8))
    assert list(zip(begins, ends, strict=True)) == [match.span() for match in CSI.finditer(payload)]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted), max_size=6))
def test_covered_positions(spans):
    begins, ends = np.array(spans, np.int64).reshape(-1, 2).T
    assert span_mask(begins, ends, 20).tolist() == [any(a <= at < b for a, b in spans) for at in range(20)]
