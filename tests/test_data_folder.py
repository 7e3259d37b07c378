"""Copying and pruning recordings: nothing is overwritten, nothing is lost."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greylord import units
from greylord.captures.redaction import Credentials
from greylord.corpus import copying, folder, pruning
from greylord.errors import AmbiguousDatasetError, GreylordError, NoDatasetError, UsageError
from greylord.workspace import Workspace


def recording(text: str) -> bytes:
    return b"<|server|><|delay#0.100|>" + text.encode()


def write(path: str, content: bytes) -> Path:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def copy(*sources: str, name: str = "game") -> copying.CopyPlan:
    plan = copying.plan_copy(sources, name)
    copying.copy(plan)
    return plan


def contents(root: str) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}


@pytest.fixture
def sources(workplace) -> None:
    write("one/a.log", recording("first"))
    write("one/deep/b", recording("second"))
    write("one/change.log", b"journal")
    write("one/.hidden", recording("hidden"))
    write("two/a.log", recording("another"))
    write("two/c.log", recording("third"))


def test_folders_files_and_patterns_are_copied_with_their_folders(sources):
    plan = copy("one", "two/c.log", "two/*.log")
    assert contents("data/game") == {
        "a.log": recording("first"), "deep/b": recording("second"), "c.log": recording("third"),
        "a~2.log": recording("another"),
    }  # fmt: skip
    assert [path.name for path in plan.others] == ["change.log"]
    assert [target.name for _, target in plan.renamed] == ["a~2.log"]
    journal = [json.loads(line) for line in Path("data/.journal/game.jsonl").read_text().splitlines()]
    assert [(line["action"], line["recordings"]) for line in journal] == [("copy", 4)]


def test_copying_again_copies_nothing(sources):
    copy("one", "two")
    before = contents("data/game")
    again = copy("one", "two")
    assert (again.files, again.present, contents("data/game")) == ([], 4, before)


LOGIN = b"<|server|><|delay#0.1|>Password: <|client|><|delay#0.1|>%b\r<|server|><|delay#0.1|><|ansi#1B5B306D|>Hello."


def redact(*sources: str) -> tuple[copying.CopyPlan, list[Credentials]]:
    plan = copying.plan_copy(sources, "shared", masked=True)
    return plan, copying.copy(plan).credentials


def test_a_redacted_copy_is_recognised_and_other_recordings_are_not(sources):
    write("one/login", LOGIN % b"hush")
    write("one/other/login", LOGIN % b"<|hex#2D|>")
    plan, credentials = redact("one")
    expected = {
        "a.log": recording("first"), "deep/b": recording("second"), "login": LOGIN % b"****",
        "other/login": LOGIN % b"<|hex#2A|>",
    }  # fmt: skip
    assert contents("data/shared") == expected
    assert [path.name for path in plan.others] == ["change.log"]
    assert (sum(each.logins for each in credentials), sum(len(each.positions) for each in credentials)) == (2, 5)
    assert redact("one")[0].present == 4 and contents("data/shared") == expected
    write("one/login", LOGIN.replace(b"Hello", b"Howdy") % b"hush")
    redact("one")
    assert contents("data/shared") == expected | {"login~2": LOGIN.replace(b"Hello", b"Howdy") % b"****"}
    journal = [json.loads(line)["action"] for line in Path("data/.journal/shared.jsonl").read_text().splitlines()]
    assert journal == ["redact", "redact"]


def test_a_recording_of_the_same_name_is_never_overwritten(sources):
    copy("one")
    write("one/a.log", recording("changed"))
    copy("one")
    write("one/a.log", recording("and changed again"))
    copy("one")
    assert contents("data/game") == {
        "a.log": recording("first"), "a~2.log": recording("changed"), "a~3.log": recording("and changed again"),
        "deep/b": recording("second"),
    }  # fmt: skip


def test_names_that_differ_only_in_case_get_a_number(workplace):
    write("one/A.log", recording("upper"))
    write("two/a.log", recording("lower"))
    copy("one", "two")
    assert sorted(contents("data/game")) == ["A.log", "a~2.log"]


def test_too_little_room_is_an_error_before_anything_is_copied(sources, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1_000))
    with pytest.raises(GreylordError, match=r"'data/game' has 1\.0 kB free"):
        copy("one")
    assert contents("data") == {}


def test_a_copy_that_fails_leaves_no_half_file(sources, monkeypatch):
    def fail(source, target):
        Path(target).write_bytes(b"<|ser")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", fail)
    with pytest.raises(OSError):
        copy("one")
    assert contents("data") == {}


@pytest.mark.parametrize("source", ["nowhere", "one/*.txt", "data/game", "data/game/x.log", "data", "."])
def test_sources_that_cannot_be_copied(sources, source):
    copy("one")
    before = contents("data/game")
    with pytest.raises(UsageError):
        copy(source)
    assert contents("data/game") == before


@pytest.mark.parametrize("name", ["", ".x", "..", "a/b", "a\\b", "a:b", "*"])
def test_names_that_a_dataset_cannot_have(workplace, name):
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        folder.check_name(name)


def test_pruning_keeps_what_is_large_enough_and_matches(workplace):
    for name, size in [("a.log", 2_000), ("b.log", 100), ("deep/c", 5_000), ("deep/d.log", 3_000)]:
        write(f"data/game/{name}", bytes(size))
    plan = pruning.plan_pruning(Path("data/game"), 1_000, "*.log")
    assert {(path.name, why) for path, why in plan.removed} == {
        ("b.log", "smaller than 1.0 kB"),
        ("c", "does not match '*.log'"),
    }
    assert plan.kept == 2 and plan.bytes == 5_100
    assert pruning.prune(plan, delete=False).removed == 2
    assert sorted(contents("data/game")) == ["a.log", "deep/d.log"]
    assert {name: len(data) for name, data in contents(str(plan.attic)).items()} == {"b.log": 100, "deep/c": 5_000}
    write("data/game/b.log", bytes(50))
    pruning.prune(pruning.plan_pruning(Path("data/game"), 1_000, None), delete=False)
    assert sorted(contents(str(plan.attic))) == ["b.log", "b~2.log", "deep/c"]


def test_a_workspace_elsewhere_holds_copies_journal_and_attic(sources):
    workspace = Workspace(Path("place"))
    before = contents(".")
    plan = copying.plan_copy(["one"], "game", workspace=workspace)
    copying.copy(plan)
    assert (folder.names(workspace=workspace), folder.names()) == (["game"], [])
    pruning.prune(
        pruning.plan_pruning(folder.locate(None, workspace=workspace), None, "a*", workspace=workspace), False
    )
    made = {name: content for name, content in contents(".").items() if name not in before}
    assert made.pop("place/data/.journal/game.jsonl").count(b"\n") == 2
    assert made == {"place/data/game/a.log": recording("first"), "place/data/.pruned/game/deep/b": recording("second")}
    with pytest.raises(UsageError, match="holds place/data/"):
        pruning.plan_pruning(Path("place"), 1_000, None, workspace=workspace)


def test_deleting_leaves_no_empty_folder(workplace):
    write("data/game/deep/a.log", b"x")
    write("data/game/b.log", bytes(10))
    assert pruning.prune(pruning.plan_pruning(Path("data/game"), 5, None), delete=True).removed == 1
    assert sorted(contents("data/game")) == ["b.log"] and not Path("data/game/deep").exists()
    assert not Path("data/.pruned").exists()


def test_a_dataset_is_a_name_a_path_or_the_only_one(workplace):
    with pytest.raises(NoDatasetError, match="data/"):
        folder.locate(None)
    write("data/game/a", b"x")
    write("elsewhere/a", b"x")
    assert folder.locate(None) == folder.locate("game") == Path("data/game")
    assert folder.locate("./elsewhere") == folder.locate_path(Path("elsewhere")) == Path("elsewhere")
    with pytest.raises(UsageError, match=r"'elsewhere'; data/ has: game\..*'\./elsewhere'"):
        folder.locate("elsewhere")
    with pytest.raises(UsageError, match="'game'"):
        folder.locate("./game")
    with pytest.raises(UsageError, match=r"data/game .*'game'"):
        folder.locate_path(Path("game"))
    write("data/other/a", b"x")
    with pytest.raises(AmbiguousDatasetError, match="game, other"):
        folder.locate(None)
    with pytest.raises(UsageError, match=r"'nix'; .*game, other"):
        folder.locate("nix")


@pytest.mark.parametrize(
    ("text", "size"),
    [("300", 300), ("1MB", 10**6), ("1.5 kb", 1_500), ("2GiB", 2**31), ("64KiB", 65_536), ("3g", 3 * 10**9)],
)
def test_sizes(text, size):
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1XB", "-1", "1iB", "1 2"])
def test_text_that_is_not_a_size(text):
    with pytest.raises(UsageError, match=re.escape(repr(text))):
        units.parse_size(text)


@given(st.integers(0, 10**13))
def test_a_formatted_size_is_near_its_value(value):
    number, unit = units.size(value).split()
    shown = float(number) * {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}[unit]
    assert abs(shown - value) <= 0.051 * max(value, 1) or unit == "GB"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (170, "2 min 50 s"), (5_400, "1 h 30 min")]
)
def test_durations(seconds, text):
    assert units.duration(seconds) == text
