"""Duplicates: copies, beginnings of other recordings, and near-copies."""

import os
import random
import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from helpers import START
from hypothesis import given
from hypothesis import strategies as st

from greylord import spool
from greylord.captures.formats import proxylog
from greylord.captures.reading import is_recording, read_session
from greylord.captures.session import Direction, Record
from greylord.corpus import arrow, copying, likeness
from greylord.corpus.build import build_corpus, corpus_of
from greylord.corpus.identity import Candidate, find_duplicates, head_of, without_torn_end
from greylord.corpus.windows import Rows

WORDS = ["you", "hit", "the", "orc", "for", "12", "damage", "goblin", "lunges", "at", "gold", "north", "door", "dragon"]
PASSWORD = b"<|server|><|delay#0.1|>Password: <|client|><|delay#0.1|>hush\r<|server|><|delay#0.1|>Welcome.\r\n"


def log(seed: int, lines: int = 300) -> bytes:
    """A recording. Those of different seeds share no line."""
    rng = random.Random(seed)
    text = (" ".join(rng.choices(WORDS, k=9)) + f" {rng.random():.6f}\r\n" for _ in range(lines))
    turns = (b"<|server|><|delay#0.100|>" + line.encode() + b"<|client|><|delay#0.100|>n\r" for line in text)
    return b"".join(turns)


def name(hours: float) -> str:
    return f"{int((START + timedelta(hours=hours)).timestamp())}_a.log"


@pytest.fixture
def logs(workplace) -> Path:
    """Five recordings of five evenings in data/game."""
    folder = Path("data/game")
    folder.mkdir(parents=True)
    for evening in range(5):
        (folder / name(24 * evening)).write_bytes(log(evening))
    return folder


def entries(folder: Path) -> dict:
    return {entry.name: entry for entry in build_corpus(folder).manifest.recordings}


def left_out(folder: Path) -> dict[str, str]:
    return build_corpus(folder).manifest.left_out


def test_a_copy_under_another_name_counts_once(logs):
    before = entries(logs)
    (logs / "copies").mkdir()
    (logs / "copies" / name(500)).write_bytes(log(2))
    assert entries(logs) == before
    assert left_out(logs) == {f"copies/{name(500)}": f"the same payload as {name(48)}"}
    rows = [row for part in arrow.SPLITS for row in Rows(corpus_of(logs), part)]
    assert len(rows) == 5


def test_among_equal_recordings_the_one_with_a_start_in_its_name_counts(logs):
    (logs / "a copy.log").write_bytes(log(2))
    assert list(left_out(logs)) == ["a copy.log"]


def test_the_same_payload_in_another_form_is_the_same_recording(logs):
    (logs / name(0)).write_bytes(PASSWORD + log(0))
    masked = (PASSWORD + log(0)).replace(b"hush", b"****")
    (logs / name(600)).write_bytes(masked)
    session = read_session(logs / name(24), keep_credentials=True)
    with (logs / name(700)).open("wb") as target:
        proxylog.write([Record(Direction.SERVER, 2_000, session.payload.tobytes())], target)
    assert left_out(logs) == {
        name(600): f"the same payload as {name(0)}",
        name(700): f"the same payload as {name(24)}",
    }


@pytest.mark.parametrize("cut", [10, 26, 30, 45, 9_000, 9_007, 9_020, 9_030, 15_000])
def test_a_growing_log_that_was_copied_is_superseded(logs, cut):
    whole_log = log(2)
    for copy, end in enumerate((cut, cut + 3_000)):
        (logs / name(300 + copy)).write_bytes(whole_log[:end])
    missing = left_out(logs)
    read = is_recording(logs / name(300))
    assert missing.pop(name(301)) == f"the beginning of {name(48)}"
    assert missing == ({name(300): f"the beginning of {name(48)}"} if read else {})


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text[2_000:],
        lambda text: text[: len(text) // 2] + log(77, 20),
        lambda text: text.replace(b"\r\n", b"\n"),
        lambda text: text.replace(b"dragon lunges", b"wyvern lunges"),
        lambda text: log(78, 30) + text,
    ],
)
def test_near_copies_are_one_group_whatever_their_names_say(logs, changed):
    (logs / "else.log").write_bytes(changed(log(3)))
    (logs / name(400)).write_bytes(changed(log(1)))
    by_name = entries(logs)
    assert by_name["else.log"].group == by_name[name(72)].group
    assert by_name[name(400)].group == by_name[name(24)].group
    assert by_name["else.log"].grouped_by == by_name[name(400)].grouped_by == "near-copy"
    assert len({entry.group for entry in by_name.values()}) == 5


@pytest.mark.parametrize(("lines", "kept"), [(12, 12), (40, 13), (8_000, 130)])
def test_near_copies_are_found_at_every_size(workplace, lines, kept):
    folder = Path("data/game")
    folder.mkdir(parents=True)
    for evening in range(4):
        (folder / name(24 * evening)).write_bytes(log(evening, lines))
    # Without its first records, and of the rest only the beginning.
    records = log(2, lines).split(b"<|server|>")
    (folder / name(900)).write_bytes(b"<|server|>" + b"<|server|>".join(records[2 : 2 + kept]))
    by_name = entries(folder)
    assert by_name[name(900)].group == by_name[name(48)].group and len({entry.group for entry in by_name.values()}) == 4


def test_near_copies_do_not_cross_a_recording_that_is_cut_in_two(workplace):
    folder = Path("data/one")
    folder.mkdir(parents=True)
    (folder / name(0)).write_bytes(log(0))
    (folder / name(0.1)).write_bytes(log(0)[3_000:])
    (folder / name(0.2)).write_bytes(log(1))
    assert left_out(folder) == {name(0.1): f"a near-copy of {name(0)}"}


def test_sessions_of_the_realm_are_not_near_copies(called, workplace):
    assert called("data", "sample", "game", "--recordings", 6, "--minutes", 1).returncode == 0
    assert {entry.grouped_by for entry in entries(Path("data/game")).values()} == {"name"}


def test_without_a_start_in_the_name_the_time_of_the_file_groups(called, logs, monkeypatch):
    for number, hours in enumerate((100, 100.5, 200)):
        path = logs / f"session{number}.log"
        path.write_bytes(log(50 + number))
        os.utime(path, (0, (START + timedelta(hours=hours)).timestamp()))
    os.utime(logs / "session0.log", (0, (START + timedelta(hours=100)).timestamp()))
    (logs / "1970.log").write_bytes(log(60))
    os.utime(logs / "1970.log", (0, 5))
    (logs / "9999.log").write_bytes(log(61))
    stat = Path.stat
    times = {"9999.log": 1e18}

    def late(path, **more):
        status = stat(path, **more)
        return os.stat_result([*status[:8], times.get(path.name, status.st_mtime), status[9]])

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", late)
        by_name = entries(logs)
    assert by_name["session0.log"].group == by_name["session1.log"].group != by_name["session2.log"].group
    assert [by_name[name].grouped_by for name in ("session0.log", "1970.log", "9999.log")] == [
        "modification time", "nothing", "nothing",
    ]  # fmt: skip
    assert all(by_name[name].started_at is None for name in ("session0.log", "1970.log"))
    result = called("data", "build", "game")
    notes = [" ".join(note.split()) for note in result.stderr.split("note: ")]
    assert any("session2.log" in note and "1970.log" not in note for note in notes)
    assert any("1970.log" in note and "1 recording" in note and "session2.log" not in note for note in notes)
    os.utime(logs / "session2.log", (0, (START + timedelta(hours=100.2)).timestamp()))
    assert entries(logs)["session2.log"].group == by_name["session0.log"].group


def copy(*sources: str) -> copying.CopyPlan:
    plan = copying.plan_copy(sources, "copied")
    copying.copy(plan)
    return plan


def test_copying_copies_each_payload_once(logs):
    for number, content in enumerate((log(2), log(2)[:9_000], log(2)[:9_030], log(2)[:40])):
        (logs / f"copy{number}").write_bytes(content)
    plan = copy("data/game")
    assert sorted(path.name for path in Path("data/copied").iterdir()) == sorted(name(24 * day) for day in range(5))
    assert {source.name for source, _ in plan.duplicates} == {f"copy{number}" for number in range(4)}
    again = copy("data/game/copy0", "data/game/copy1")
    assert (again.files, again.present) == ([], 1) and "the beginning of" in again.duplicates[0][1]


def test_a_file_that_two_sources_hold_is_copied_once(called, logs):
    result = called("data", "copy", "data/game/*", "data/../data/game", str(logs.resolve()), "data/game/**", "copied")
    assert result.returncode == 0 and result.stderr == ""
    assert re.search(r"copied +5 recordings", result.stdout)


def test_a_log_that_has_grown_replaces_its_beginning(called, workplace):
    growing = Path("session.log")
    for end in (8_000, 16_000, 24_000):
        growing.write_bytes(log(0)[:end])
        result = called("data", "copy", "session.log", "game")
        assert result.returncode == 0, result.stderr
    assert [path.read_bytes() for path in Path("data/game").iterdir()] == [log(0)[:24_000]]
    assert re.search(r"grown .*data/game/session\.log.* session\.log", result.stdout)
    Path("renamed.log").write_bytes(log(0))
    called("data", "redact", "renamed.log", "game")
    assert [path.read_bytes() for path in Path("data/game").iterdir()] == [log(0)]


def test_recordings_that_share_only_a_beginning_are_different(workplace):
    head = log(0, 200)
    for number in range(3):
        Path(f"{number}.log").write_bytes(head + log(number + 1))
    assert len(copy("0.log", "1.log", "2.log").files) == 3


payloads = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 3, 4_095, 4_096, 4_097, 20_000, 70_000])), max_size=8
)


@given(payloads)
def test_duplicates_are_those_of_a_slow_comparison(drawn):
    # The texts of two numbers differ at one place far inside, or not at all.
    texts = [b"x" * 17_000 + bytes([65 + kind % 3]) * 60_000 for kind in range(4)]
    given_payloads = [np.frombuffer(texts[kind][:size], np.uint8) for kind, size in drawn]
    duplicates = find_duplicates([Candidate(head_of(each), lambda each=each: each) for each in given_payloads])
    data = [each.tobytes() for each in given_payloads]
    for index, own in enumerate(data):
        equal = [other for other in range(index) if data[other] == own]
        longer = [
            other for other in range(len(data)) if own and len(data[other]) > len(own) and data[other].startswith(own)
        ]
        assert (index in duplicates) == bool(equal or longer)
        if index in duplicates:
            other = duplicates[index].index
            assert data[other].startswith(own) and other not in duplicates


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (b"<", b""), (b"<|", b""), (b"<|serv", b""), (b"<|server|>", b""), (b"<|client|>2\xe8\xfa\x7f<|del", b""),
        (b"<|server|><|delay#-0.1", b""), (b"<|ansi#1B5B3", b""), (b"<|hex#3C7C|", b""),
        (b"<|ansi#1B5B3<|client|>", b""), (b"<|an<|server|>2\xe8<|delay#0", b""), (b"<|hex#" + b"00" * 500, b""),
        (b"<|ansi#1B5B33<", b""), (b"> look", b"> look"),
        (b"<b", b"<b"), (b"<|server|> says hello", b"<|server|> says hello"),
    ],
)  # fmt: skip
def test_a_token_that_breaks_off_at_the_end_is_left_out(end, left):
    payload = np.frombuffer(b"It is dark." + end, np.uint8)
    assert without_torn_end(payload).tobytes() == b"It is dark." + left


def test_a_long_payload_is_compared_block_by_block(monkeypatch):
    monkeypatch.setattr(spool, "BLOCK_ITEMS", 1_000)
    data = np.frombuffer(log(0), np.uint8)
    other = data.copy()
    other[-1] ^= 1
    given_payloads = [data[:20_000], data, other]
    duplicates = find_duplicates([Candidate(head_of(each), lambda each=each: each) for each in given_payloads])
    assert {index: same.index for index, same in duplicates.items()} == {0: 1}
    in_blocks = likeness.samples_of(data)
    monkeypatch.undo()
    assert set(likeness.samples_of(data)) <= set(in_blocks)
