"""The analysis of recordings, each figure beside a slow and obvious computation."""

import json
import re
import weakref
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from helpers import MARKUP, fails

from greylord import plots
from greylord.analysis import data
from greylord.captures import redaction
from greylord.captures.formats import proxylog
from greylord.captures.reading import read_session
from greylord.captures.session import Direction, Record, Session
from greylord.captures.start_times import parse_start
from greylord.corpus import arrow
from greylord.corpus.build import build_corpus
from greylord.corpus.manifest import DialectCounts
from greylord.corpus.windows import Rows
from greylord.realm.recorder import record
from greylord.stream import turns, vocabulary
from greylord.stream.lines import transcript_of

C, S = Direction.CLIENT, Direction.SERVER
START = datetime(2025, 6, 18, 20, tzinfo=UTC)
USER, PASSWORD = "Zaphodette", "xyzzy-plugh"


def write_records(folder: Path, name: str, records: list[Record]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as target:
        proxylog.write(records, target)


def records_with_a_login(number: int) -> list[Record]:
    """Return a session with a login, extreme delays and two long lines.

    All sessions have one of the lines, and a few have the other.
    """
    user, password = USER.encode(), PASSWORD.encode()
    rows = [
        (S, 9_999, b'\xff\xfb\x01Type it in. Otherwise type "new": '),
        (C, 900, user + b"\r"),
        (S, 0, user + b"\r\n\x1b[1;32mEnter your password: "),
        (C, -40, password + b"\r"),
        (S, 1, b"*" * len(password) + b"\r\nGreetings, caller %d.\r\n" % number),
        (S, 2_000, b"This is the long line that all the players see together.\r\n"),
        (C, 6_000 + number, b"/" + user.lower() + b" hi\r" + user + b" hello\rlook at Grak\r"),
        (S, 70_000, b"\x1b[79D\x1b[KThis long line %d is in one recording and no other one.\r\n" % (number // 2)),
        (S, 3, b"\x1b[79D\x1b[K\x1b[0;37m[HP=46]:\x1b[79D\x1b[K\x1b[0;37m[HP=\x1b[1;31m4\x1b[0;37m/MA=2]:\xc4"),
    ]
    return [Record(*row[:2], row[2]) for row in rows]


@pytest.fixture
def dataset(workplace) -> Path:
    """Nine recordings in at least five time groups, and a file that is not one.

    They are from the realm and hand-made.
    """
    folder = workplace / "data" / "game"
    for name, session in record(3, 4, 1):
        write_records(folder, name, list(session))
    for number, hours in enumerate([0, 0.5, 5, 30, 60]):
        start = START + timedelta(hours=hours)
        write_records(folder / "sub", f"{int(start.timestamp())}_{number}.log", records_with_a_login(number))
    (folder / "change.log").write_text("COPY: 1725 files")
    return Path("data/game")


def long_lines(server: bytes) -> list[bytes]:
    """Return the long lines of what a server sent, the slow way."""
    text = re.sub(rb"\x1b\[79D\x1b\[K", b"\n", server)
    text = MARKUP.sub(b"", text)
    return [line for line in re.split(rb"[\r\n]", text) if len(line) >= 40]


def sent_by(session: Session, direction: Direction) -> bytes:
    return b"".join(row.payload for row in session if row.direction == direction)


def power(value: int) -> int:
    """Return the largest power of two that a value reaches.

    It is 0 for 0, and -1 for negative values.
    """
    return -1 if value < 0 else max(bound for bound in [0, *(1 << n for n in range(40))] if bound <= value)


def test_every_figure_agrees_with_a_slow_count(dataset):
    report = data.analyze(dataset)
    paths = [path for path in sorted(dataset.rglob("*.log")) if path.name != "change.log"]
    sessions = {path.relative_to(dataset).as_posix(): read_session(path, keep_credentials=True) for path in paths}
    assert report.skipped == ["change.log"]

    assert {entry.name for entry in report.recordings} == set(sessions)
    assert [entry.started_at for entry in report.recordings] == sorted(
        parse_start(path.name).isoformat(timespec="milliseconds") for path in paths
    )
    for entry in report.recordings:
        session = sessions[entry.name]
        assert (entry.server_bytes, entry.client_bytes) == (len(sent_by(session, S)), len(sent_by(session, C)))
    starts = sorted(parse_start(path.name) for path in paths)
    assert report.time_groups == 1 + sum(after - before > timedelta(hours=1) for before, after in pairwise(starts))
    counts = DialectCounts()
    for session in sessions.values():
        counts += DialectCounts.of(session, len(turns.turns_of(session)), redaction.find(session))
    assert report.dialects == {"v3": counts}

    for side, direction, token in (("server", S, vocabulary.SERVER), ("client", C, vocabulary.CLIENT)):
        delays = [
            row.delay_ms for session in sessions.values() for row in list(session)[1:] if row.direction == direction
        ]
        delay_report = report.delays[side]
        assert (delay_report.records, delay_report.shortest, delay_report.longest) == (
            len(delays),
            min(delays),
            max(delays),
        )
        assert delay_report.negative == sum(delay < 0 for delay in delays)
        near = np.clip(delays, -60_000, 60_000)
        for share, reached in delay_report.quantiles.items():
            assert reached == np.quantile(near, share, method="inverted_cdf")
        assert list(delay_report.tokens.values()) == [
            sum(delay <= 1_000 for delay in delays) / len(delays),
            sum(1_000 < delay <= 5_000 for delay in delays) / len(delays),
            sum(delay > 5_000 for delay in delays) / len(delays),
        ]
        assert delay_report.by_power == Counter(power(delay) for delay in near)
        lengths: list[int] = []
        for session in sessions.values():
            stream = turns.turns_of(session)
            sizes = np.diff([0, *stream.ends])
            lengths += [int(size) for size, sender in zip(sizes, stream.directions, strict=True) if sender == token]
        assert report.turn_bytes[side] == Counter(map(power, lengths))

    server = [sent_by(session, S) for session in sessions.values()]
    total = sum(map(len, server))
    csi = sum(len(each) for text in server for each in re.findall(rb"\x1b\[[ -?]*[@-~]", text))
    prompts = [each for text in server for each in re.findall(rb"\x1b\[79D\x1b\[K\x1b\[0;37m\[HP=[^]]*?\]:", text)]
    assert (report.markup.csi_bytes, report.markup.csi_share) == (csi, csi / total)
    assert report.markup.prompts == len(prompts) > 20
    assert report.markup.prompt_share == sum(map(len, prompts)) / total
    payloads = [session.payload.tobytes() for session in sessions.values()]
    options = sum(len(re.findall(rb"\xff[\xfb-\xfe].", text, re.DOTALL)) for text in payloads)
    assert (report.markup.telnet_commands, report.markup.telnet_bytes) == (options, 3 * options)
    high = sum(byte >= 0x80 for text in payloads for byte in text)
    assert report.markup.high_bytes == high - sum(
        byte >= 0x80 for text in payloads for each in re.findall(rb"\xff[\xfb-\xfe].", text, re.DOTALL) for byte in each
    )

    lines = {name: long_lines(sent_by(session, S)) for name, session in sessions.items()}
    flat = [(name, line) for name, there in lines.items() for line in there]
    recurring = sum(any(line in there for other, there in lines.items() if other != name) for name, line in flat)
    assert report.long_lines.lines == len(flat)
    assert report.long_lines.distinct == len({line for _, line in flat})
    assert report.long_lines.recurring == recurring / len(flat)
    assert 0 < recurring < len(flat)

    manifest = build_corpus(dataset).manifest
    sides = {entry.name: entry.split for entry in manifest.recordings}
    assert report.division.validation_recordings == list(sides.values()).count("validation") > 0
    trained = {line for name, line in flat if sides[name] == "train"}
    validating = [line for name, line in flat if sides[name] == "validation"]
    assert report.long_lines.validation_lines == len(validating)
    assert report.long_lines.known == sum(line in trained for line in validating) / len(validating)


def test_commands_agree_with_a_slow_count(dataset):
    report = data.analyze(dataset).commands
    lines, empty, users = [], 0, {USER.lower()}
    for _, session in record(3, 4, 1):
        client = re.sub(rb"\xff[\xfb-\xfe].|\x1b\[[ -?]*[@-~]", b"", sent_by(session, C), flags=re.DOTALL)
        user, _, *typed_later = re.split(rb"\r\n?|\n", client)[:-1]
        users.add(user.decode().lower())
        for line in map(bytearray, typed_later):
            while (at := line.find(b"\b")) >= 0:
                del line[max(0, at - 1) : at + 1]
            empty += not line
            lines += [line.decode("cp437")] * bool(line)
    by_hand = [f"/{USER.lower()} hi", f"{USER} hello", "look at Grak"] * 5
    words = Counter(re.match(r"[a-z0-9_-]+|.", line.lower())[0] for line in [*lines, *by_hand])
    assert report.lines == len(lines) + len(by_hand)
    assert report.distinct_lines == len({*lines, *by_hand})
    assert report.empty_lines == empty
    assert report.distinct == len(words)
    assert (report.logins, report.users) == (4 + 5, len(users))
    assert USER.lower() in words and words["/"] >= 5
    shown = {word: count for word, count in words.items() if word not in users}
    assert list(report.frequent.values()) == sorted(shown.values(), reverse=True)[:15]
    assert all(words[word] == count for word, count in report.frequent.items())


def test_neither_passwords_nor_user_names_are_reported(dataset, called, monkeypatch):
    drawn = []
    draw = plots.recordings_histograms
    monkeypatch.setattr(plots, "recordings_histograms", lambda **given: drawn.append(repr(given)) or draw(**given))
    assert data.analyze(dataset).commands.logins == 9
    text = called("analyze", "data")
    assert text.returncode == 0 and re.search(r"logins  9 by \d users", text.stdout)
    as_json = called("analyze", "data", "--json", "--output", "here.png")
    assert as_json.returncode == 0 and json.loads(as_json.stdout)["commands"]["frequent"]["look"] >= 5
    assert len(drawn) == 2
    for output in (text.stdout, text.stderr, as_json.stdout, as_json.stderr, *drawn):
        assert USER.lower() not in output.lower() and PASSWORD not in output


def test_the_reported_split_is_that_of_the_corpus(dataset):
    before = data.analyze(dataset)
    manifest = build_corpus(dataset, val_split=0.5, seed=4, keep_records=True).manifest
    report = data.analyze(dataset)
    assert (report.division.val_split, report.division.seed) == (0.5, 4)
    assert report.division != before.division
    assert report.division.validation_recordings == sum(entry.split == "validation" for entry in manifest.recordings)
    assert sum(counts.turns for counts in report.dialects.values()) == sum(
        counts.turns for counts in manifest.splits.values()
    )


def test_the_reported_cut_is_that_of_the_corpus(workplace):
    folder = workplace / "data" / "game"
    for name, session in list(record(1, 4, 2))[:2]:
        write_records(folder, f"{int(START.timestamp())}_{name}", list(session))
    report = data.analyze(folder)
    corpus = build_corpus(folder)
    lines = {}
    for name in arrow.SPLITS:
        parts = [turns.decode(row) for row in Rows(corpus.folder, name)]
        lines[name] = [line for part in parts for line in long_lines(transcript_of(part, vocabulary.SERVER).payload)]
    assert report.division.cut and report.division.validation_recordings == 2
    assert report.long_lines.validation_lines == len(lines["validation"]) > 0
    known = sum(line in lines["train"] for line in lines["validation"]) / len(lines["validation"])
    assert report.long_lines.known == known > 0


def test_recordings_are_read_one_at_a_time(dataset, monkeypatch):
    read, sessions = proxylog.read, []

    def read_alone(source: BinaryIO, spool: Path | None = None) -> Session:
        assert not any(reference() for reference in sessions)
        session = read(source, spool=spool)
        sessions.append(weakref.ref(session))
        return session

    monkeypatch.setattr(proxylog, "read", read_alone)
    data.analyze(dataset)
    # The first pass finds copies and reads change.log too, the second one counts.
    assert len(sessions) == 10 + 9


def test_figures_of_the_real_recordings(workplace, real_captures):
    report = data.analyze(real_captures)
    assert report.skipped == ["v2/change.log"]
    assert 0.38 < report.markup.csi_share < 0.40
    assert 0.26 < report.markup.prompt_share < 0.29
    assert 0.997 < report.delays["server"].tokens["<|delay_short|>"] < 0.998
    assert report.commands.logins == 127
    assert not set(report.commands.frequent) & {"password", "new"}


def test_the_output_for_recordings(dataset, called):
    result = called("analyze", "data", "--dataset", "game")
    report = data.analyze(dataset)
    assert result.returncode == 0 and "change.log" in result.stderr
    for share in (report.markup.csi_share, report.markup.prompt_share, report.long_lines.recurring):
        assert f"{100 * share:.1f} %" in result.stdout
    assert re.search(r"99\.9 % .*60,000\+", result.stdout)
    assert plots.is_analysis(Path("analysis_game.png"))


def test_recordings_without_dates_clients_or_text(workplace):
    write_records(workplace / "data" / "bare", "noname", [Record(S, 0, b"")])
    report = data.analyze(Path("data/bare"))
    assert report.recordings[0].started_at is None
    assert (report.markup.csi_share, report.long_lines.recurring, report.long_lines.known) == (None, None, None)
    assert data.draw(report).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ("--data-dir nix", 2, "'nix' does not exist"),
        ("--data-dir empty", 1, "'empty' is empty"),
        ("--data-dir text", 1, "The only file of 'text' is not a recording"),
        ("--data-dir text --dataset text", 2, "exclude each other"),
        ("--data-dir text --output text/file", 2, "'text/file'"),
        ("--data-dir text --output other.png", 2, "'other.png'"),
    ],
)
def test_folders_without_recordings(workplace, called, arguments, code, reason):
    Path("empty").mkdir()
    Path("text").mkdir()
    Path("text/file").write_bytes(b"\x00\xff no capture")
    Path("other.png").write_bytes(b"\x89PNG of somebody")
    before = set(workplace.rglob("*"))
    assert reason in fails(called("analyze", "data", *arguments.split()), code)
    assert set(workplace.rglob("*")) == before
