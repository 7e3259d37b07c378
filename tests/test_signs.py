"""A recording that another program changed shows signs.

They are reported with their meaning.
"""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from greylord import spool
from greylord.captures import signs
from greylord.captures.formats import proxylog
from greylord.captures.reading import is_recording, read_session
from greylord.captures.signs import Sign, find_signs
from greylord.corpus import build

JUNK = b"2\xe8\xfa\x7f"


def record(side: bytes, payload: bytes) -> bytes:
    head = b"<|%b|>%b<|delay#0.100|>" % (side, JUNK)
    return head + payload[: 512 - len(head)]


def genuine(seed: int = 0) -> bytes:
    """Write a log as the v1 proxy does.

    It has CR LF, raw telnet commands, line art, and records cut at 512 bytes.
    """
    rng = random.Random(seed)
    parts = [record(b"server", b"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x00\xc9\xcd\xcd\xbb\r\n\xba hello \xba\r\n")]
    for number in range(40):
        parts.append(
            record(
                b"server",
                b"You see %07d orcs in room %d, and gold.\r\n" % (rng.randrange(10**7), number) * (1 + number % 20),
            )
        )
        parts.append(record(b"client", b"n\r"))
    return b"".join(parts)


def universal_newlines(log: bytes) -> bytes:
    return log.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


CHANGES = {
    "nothing": (lambda log: log, []),
    "CR LF to LF": (lambda log: log.replace(b"\r\n", b"\n"), [Sign.LINE_ENDS, Sign.CUTS]),
    "all to LF": (universal_newlines, [Sign.LINE_ENDS, Sign.CUTS]),
    "without LF": (lambda log: log.replace(b"\n", b""), [Sign.LINE_ENDS, Sign.CUTS]),
    "LF to CR LF": (lambda log: log.replace(b"\n", b"\r\n"), [Sign.LINE_ENDS, Sign.CUTS]),
    "read as latin-1": (lambda log: log.decode("latin-1").encode(), [Sign.UTF8, Sign.CUTS]),
    "read as CP437": (lambda log: log.decode("cp437").encode(), [Sign.UTF8, Sign.CUTS]),
    "replaced": (lambda log: log.decode("utf-8", "replace").encode(), [Sign.UTF8, Sign.CUTS]),
    "decimal commas": (lambda log: re.sub(rb"#(\d+)\.", rb"#\1,", log), [Sign.COMMAS]),
    "a tail of zeros": (lambda log: log + bytes(5_000), [Sign.ZEROS]),
    "a hole": (lambda log: log.replace(b"room 7,", bytes(9_000), 1), [Sign.ZEROS]),
    "a small hole": (lambda log: log.replace(b"room 7,", bytes(40), 1) + b"\0", [Sign.ZEROS]),
    "single zeros": (lambda log: log.replace(b"n\r", b"n\r\0"), []),
    "a window of size 0": (lambda log: log + record(b"client", b"\xff\xfa\x1f\0\0\0\0\xff\xf0"), []),
    "a broken header": (lambda log: log.replace(b"<|delay#0.100|>", b"<|delay#soon|>", 1), [Sign.STRAY_MARKERS]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_shows_its_signs_and_no_others(tmp_path, change, monkeypatch):
    change, expected = CHANGES[change]
    (tmp_path / "log").write_bytes(change(genuine()))
    session = read_session(tmp_path / "log", keep_credentials=True)
    assert find_signs(session) == expected
    monkeypatch.setattr(spool, "BLOCK_ITEMS", 7)
    assert find_signs(session) == expected


def test_delays_with_a_comma_are_read_as_with_a_point(tmp_path):
    for name, mark in (("point", b"."), ("comma", b",")):
        (tmp_path / name).write_bytes(
            b"<|server|><|delay#-1%b250|>x<|client|><|delay#7%b0|>y<|delay#1,2.3|>" % (mark, mark)
        )
    point, comma = (read_session(tmp_path / name, keep_credentials=True) for name in ("point", "comma"))
    assert list(point) == list(comma) and comma.delays.tolist() == [-1_250, 7_000]
    assert (point.dirt.decimal_commas, comma.dirt.decimal_commas) == (0, 2)


@pytest.mark.parametrize("zeros", [1, 7, 8, 31, 1_000, (1 << 19) - 40, 1 << 19, (1 << 20) + 7])
def test_zeros_at_the_end_are_cut_off_and_counted(tmp_path, zeros):
    (tmp_path / "log").write_bytes(b"<|server|><|delay#0.1|>\0\0x" + bytes(zeros))
    session = read_session(tmp_path / "log", keep_credentials=True)
    cut = zeros if zeros >= proxylog.MIN_ZEROS else 0
    assert session.payload.tobytes() == b"\0\0x" + bytes(zeros - cut) and session.ends.tolist() == [
        len(session.payload)
    ]
    assert session.dirt.trailing_zeros == cut


def test_zeros_that_were_recorded_stay(tmp_path):
    payloads = [b"x" + bytes(3_000), bytes(40), b"", bytes(31)]
    for count in range(1, 5):
        with (tmp_path / "log").open("wb") as target:
            proxylog.write([(proxylog.Direction.SERVER, 0, payload, False) for payload in payloads[:count]], target)
        session = read_session(tmp_path / "log", keep_credentials=True)
        assert [row.payload for row in session] == payloads[:count] and session.dirt.trailing_zeros == 0


def test_real_recordings_show_no_sign(real_captures):
    shown, count = {}, 0
    for path in sorted(real_captures.rglob("*")):
        if path.is_file() and is_recording(path):
            count += 1
            if signs := find_signs(read_session(path, keep_credentials=True)):
                shown[path.name] = signs
    assert count == 126 and shown == {}


def test_build_and_show_report_the_meaning_of_signs(called, workplace):
    folder = Path("data/game")
    folder.mkdir(parents=True)
    for number, change in enumerate((*CHANGES, "nothing")):
        log = CHANGES[change][0](genuine(number))
        (folder / f"{1_750_000_000 + 90_000 * number}.log").write_bytes(log)
    manifest = build.build_corpus(folder).manifest
    assert {sign: len(names) for sign, names in manifest.signs.items()} == {
        sign.value: sum(sign in signs for _, signs in CHANGES.values()) for sign in Sign
    }
    for command in ("build", "show"):
        shown = called("data", command, "game").stderr
        for meaning in signs.MEANINGS.values():
            assert meaning.partition("{}")[2].split(",")[0].split(";")[0] in " ".join(shown.split())
    counts = manifest.dialects["v1"]
    assert counts.decimal_commas == 81 and counts.trailing_zeros == 5_000


def test_a_few_chance_sequences_are_not_a_sign():
    payload = np.frombuffer(b"\xc9\xcd\xcd\xbb" * 30 + b"\xc3\xa9" * 3, np.uint8)
    session = proxylog.Session(
        payload, np.array([len(payload)]), np.ones(1, np.uint8), np.zeros(1, np.int64), np.zeros(1, bool)
    )
    assert find_signs(session) == []
