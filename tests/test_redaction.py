"""Passwords are found however they are typed, and masked.

No other byte changes.
"""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greylord.captures import redaction
from greylord.captures.conversation import Conversation
from greylord.captures.redaction_rules import Reason
from greylord.captures.session import Direction, Record, Session
from greylord.realm.players import CAST
from greylord.realm.recorder import record

C, S = Direction.CLIENT, Direction.SERVER
NAME = ((S, b"User-ID: "), (C, b"Grak\r"), (S, b"Grak\r\n\r\n"))
LOGIN = (*NAME, (S, b"Enter your password: "), (C, b"look\r"), (S, b"****\r\nWelcome!\r\n"))
ODD_LOGIN = (*NAME, (S, b"Enter your password: "), (C, b"x7-moth\r"), (S, b"*******\r\nWelcome!\r\n"))
WILL_ECHO, WONT_ECHO = b"\xff\xfb\x01", b"\xff\xfc\x01"
GAME = (S, b"\x1b[79D\x1b[K\x1b[0;37m[HP=46]:")


def session_of(*records: tuple[Direction, bytes]) -> Session:
    return Session.from_records(Record(direction, 0, payload) for direction, payload in records)


def keys(line: bytes, echo: bytes) -> list[tuple[Direction, bytes]]:
    """Send each key as a record of its own, followed by its echo."""
    return [part for key in line for part in ((C, bytes([key])), (S, echo))]


def secrets(*records: tuple[Direction, bytes]) -> list[bytes]:
    """Return the masked stretches in the order of the payload."""
    session = session_of(*records)
    masked = np.zeros(len(session.payload), bool)
    masked[redaction.find(session).positions] = True
    text = session.payload.tobytes()
    return [text[slice(*run.span())] for run in re.finditer(rb"\x01+", masked.tobytes())]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        # Worldgroup: the prompt, the line, its echo in asterisks. An ordinary word stays one in the game.
        ((*LOGIN, GAME, (C, b"look\r"), (S, b"look\r\n")), [b"look"]),
        # Two passwords begin alike, and the shorter one is the last text of either side.
        (
            (
                *((S, b"Password: "), (C, b"x7-m\r"), (S, b"****\r\nPassword: "), (C, b"x7-moth-king\r")),
                *((S, b"*" * 12 + b"\r\n"), (C, b"x7-m"), (S, b"No: x7-m")),
            ),
            [b"x7-m", b"x7-moth-king", b"x7-m", b"x7-m"],
        ),
        # The prompt is coloured and split, even between letters; telnet and a cursor report precede the password.
        (((S, b"Pass\x1b[1"), (S, b";32mWORD: \x1b[0m"), (C, b"\xff\xfd\x01\x1b[2;1Rs\r\0s\r")), [b"s"]),
        (((S, b"\x1b[1;31mP\x1b[0massword: "), (C, b"hush\n")), [b"hush"]),
        # After a wipe of the line, and with a hint before the colon.
        ((GAME, (S, b"\x1b[79D\x1b[KChoose a password (3 to 8 signs) : "), (C, b"hush\r")), [b"hush"]),
        (((S, b"What is your pass phrase?\r\n\r\n> "), (C, b"hush now\r")), [b"hush now"]),
        (((S, b"Sorry: that was wrong. Password: "), (C, b"hush\r")), [b"hush"]),
        # Key by key, echoed by asterisks; corrected; the line end is lost with the connection.
        ((*NAME, (S, b"Password:"), *keys(b"hus\bh", b"*"), (C, b"\r")), [b"h", b"u", b"s", b"h"]),
        ((*NAME, (S, b"Password:"), (C, b"hu"), (C, b"sh")), [b"hush"]),
        # The server echoes in clear, at once or key by key.
        (((S, b"Password: "), (C, b"hush\r"), (S, b"hush\r\nhush, they say")), [b"hush", b"hush"]),
        (
            ((S, b"Password: "), (C, b"hus\b"), (S, b"hus\b \b"), (C, b"h\r"), (S, b"h\r\n")),
            [b"hus", b"hus", b"h", b"h"],
        ),
        # The prompt is lost, but not the echo. Asterisks of another number or after other words are not an echo.
        (((S, b"pass"), (C, b"hush\r"), (S, b"\x1b[1m****\r"), (C, b"sn\r"), (S, b"*Combat*\r")), [b"hush"]),
        (((C, b"look\r"), (S, b"***\r\n"), (C, b"read\r"), (S, b"A box:\r\n****\r\n")), []),
        # Typed ahead of the prompts.
        (((S, b"User-ID: "), (C, b"Grak\rhushed\r"), (S, b"Grak\r\nPassword: ******\r\n"), (C, b"m\r")), [b"hushed"]),
        # The answer was recorded late.
        ((*NAME, (S, b"Password: ****\r\n"), (C, b"hush\r"), (C, b"m\r")), [b"hush"]),
        # The password was wrong twice.
        ((*NAME, *2 * ((S, b"\r\nPassword: "), (C, b"hush\r"), (S, b"****\r\nWrong.\r\n"))), [b"hush", b"hush"]),
        # A new user types it twice, with a slip.
        (
            ((S, b"New password: "), (C, b"hush\r"), (S, b"\r\nVerify: "), (C, b"husj\r"), (S, b"Age: "), (C, b"9\r")),
            [b"hush", b"husj"],
        ),
        # The password was wrong, and the name is asked again.
        (((S, b"Password: "), (C, b"hush\r"), (S, b"\r\nEnter your User-ID again: "), (C, b"Grak\r")), [b"hush"]),
        # The server holds its echo back for one line; the prompt does not say password.
        (((S, b"Who? " + WILL_ECHO), (C, b"hush\r\n"), (S, WONT_ECHO), (C, b"n\r\n")), [b"hush"]),
        (((S, b"Name?"), (C, b"Grak\r\n"), (S, WILL_ECHO + b"Well? "), (C, b"hush\r\n")), [b"hush"]),
        # WILL ECHO stays on for the whole call.
        (((S, WILL_ECHO), (C, b"Grak\r"), (S, b"Grak\r\n> "), (C, b"look\r"), (S, b"look\r\nBye!" + WONT_ECHO)), []),
        (((S, WILL_ECHO), (C, b"Grak\r"), (S, b"Hello.\r\n"), (C, b"look\r")), []),
        # An ordinary word is masked again at another prompt and in its echo, but not in the game.
        ((*LOGIN, (S, b"User-ID: "), (C, b"LOOK\r"), (S, b"LOOK\r\n")), [b"look", b"LOOK", b"LOOK"]),
        ((*LOGIN, GAME, (C, b"look\rlook\r"), (S, b"You look.\r\nSay: look\r\n")), [b"look"]),
        # Neither a word nor a number: it is masked wherever it stands.
        (
            (*ODD_LOGIN, GAME, (C, b"gos mine is X7-Moth!\r"), (S, b"You gossip: mine is X7-Moth!\r\n")),
            [b"x7-moth", b"X7-Moth", b"X7-Moth"],
        ),
        # MajorMUD's commands for giving up a hero take a password.
        ((GAME, (C, b"set suicide hush\r"), (S, b"set suicide hush\r\n"), (C, b"suicide\r")), [b"hush", b"hush"]),
        # Players and texts mention passwords.
        (((C, b"n\r"), (S, b"Bob says: password: x\r\n"), (C, b"s\r")), []),
        (((S, b'Bob says "tell me the password: \r\n'), (C, b"s\r")), []),
        (((S, b"These commands are password protected.\r\nGo on? "), (C, b"y\r")), []),
        (((S, b"Forgot your password: mail us.\r\nName: "), (C, b"Grak\r")), []),
        (((S, b"A narrow passage goes north: "), (C, b"n\r")), []),
        # Nobody typed anything.
        (((S, b"Password: "),), []),
        ((), []),
    ],
)  # fmt: skip
def test_passwords_are_found(records, expected):
    assert secrets(*records) == expected


@pytest.mark.parametrize(
    ("records", "typed", "server"),
    [
        # Passwords of three characters are too short to be searched for elsewhere.
        (((S, b"Password: "), (C, b"x7!\r")), [(b"x7!", Reason.PROMPT)], []),
        (((S, b"pass"), (C, b"hush\r"), (S, b"****\r\n")), [(b"hush", Reason.ASTERISKS)], []),
        (((S, b"Who? " + WILL_ECHO), (C, b"hus\r"), (S, WONT_ECHO)), [(b"hus", Reason.UNECHOED)], []),
        (
            ((S, b"Password: "), (C, b"hus\r"), (S, b"\r\nVerify: "), (C, b"huj\r")),
            [(b"hus", Reason.PROMPT), (b"huj", Reason.ASKED_AGAIN)],
            [],
        ),
        (
            (GAME, (C, b"suicide hush\r"), (S, b"suicide hush\r\n")),
            [(b"hush", Reason.HERO_COMMAND)],
            [(bytes([key]), Reason.ECHO) for key in b"hush"],
        ),
        (
            (*LOGIN, (S, b"User-ID: "), (C, b"LOOK\r"), (S, b"\r\n")),
            [
                (b"look", Reason.PROMPT),
                (b"look", Reason.ASTERISKS),
                (b"look", Reason.TYPED_AGAIN),
                (b"LOOK", Reason.TYPED_AGAIN),
            ],
            [],
        ),
        (
            (*ODD_LOGIN, GAME, (C, b"n\r"), (S, b"x7-moth!")),
            [(b"x7-moth", Reason.PROMPT), (b"x7-moth", Reason.ASTERISKS), (b"x7-moth", Reason.ANYWHERE)],
            [(b"x7-moth", Reason.ANYWHERE)],
        ),
    ],
)
def test_each_rule_gives_its_reason(records, typed, server):
    conversation = Conversation(session_of(*records))
    found = redaction.find_spans(conversation)
    for text, spans, expected in zip((conversation.typed, conversation.server), found, (typed, server), strict=True):
        assert [(bytes(text[span.begin : span.end]), span.reason) for span in spans] == expected


def test_masking_is_idempotent():
    for records in (LOGIN, ODD_LOGIN):
        session = session_of(*records)
        once = redaction.mask(session, redaction.find(session))
        found = redaction.find(once)
        assert (once.payload[found.positions] == redaction.MASK).all() and found.logins == 1
        assert len(found.positions) == len(redaction.find(session).positions)


PIECES = (
    b"password:", b"Password: ", b"PASS", b"verify: ", b"look", b"x7!q", b"****", b"*", b"\r", b"\r\n", b"\b", b"\x7f",
    b"\x1b[0;37m", b"\x1b[79D\x1b[K", b"\x1b[", b"\xff", WILL_ECHO, WONT_ECHO, b"set suicide ", b"[HP=4]:", b"> ",
)  # fmt: skip
sessions = st.lists(st.tuples(st.sampled_from(Direction), st.lists(st.sampled_from(PIECES), max_size=6))).map(
    lambda records: Session.from_records(
        Record(each, 7 * at, b"".join(parts)) for at, (each, parts) in enumerate(records)
    )
)


@given(sessions)
def test_masking_changes_the_positions_only(session):
    found = redaction.find(session)
    masked = redaction.mask(session, found)
    assert found.positions.tolist() == sorted(set(found.positions.tolist()))
    expected = bytearray(session.payload.tobytes())
    for position in found.positions:
        assert expected[position] >= 32 and expected[position] != 127
        expected[position] = ord("*")
    assert masked.payload.tobytes() == bytes(expected)
    for before, after in zip(session, masked, strict=True):
        assert before._replace(payload=b"") == after._replace(payload=b"")
        assert len(before.payload) == len(after.payload)


@given(st.binary(min_size=1, max_size=12), st.binary(max_size=40), st.lists(st.integers(1, 12), max_size=5))
def test_any_line_at_the_prompt_is_masked_wherever_it_is_cut(secret, later, cuts):
    secret = re.sub(rb"[\0-\x1f\x7f\xff*]", b"s", secret)
    typed = secret + b"\r" + re.sub(rb"[\0-\x1f\x7f-\xff]", b"n", later)
    bounds = sorted({0, *cuts, len(typed)})
    parts = [(C, typed[a:b]) for a, b in pairwise(bounds)]
    session = session_of((S, b"Password: "), *parts)
    client = redaction.mask(session, redaction.find(session)).payload.tobytes()[len(b"Password: ") :]
    assert client[: len(secret)] == b"*" * len(secret)


def test_every_password_of_the_realm_is_masked():
    passwords = {persona.password.encode() for persona in CAST}
    for name, session in record(2, 12, 0.6):
        found = redaction.find(session)
        typed = b"".join(row.payload for row in session if row.direction == C)
        lines = re.split(rb"[\r\n]+", typed)
        masked = redaction.mask(session, found)
        left = b"".join(row.payload for row in masked if row.direction == C)
        assert found.logins >= 1, name
        assert passwords & set(lines), name
        assert not passwords & set(re.split(rb"[\r\n]+", left)), name
        assert len(found.positions) == sum(map(len, passwords & set(lines))), name
