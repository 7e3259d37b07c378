"""The folder that a command works on.

A name is a dataset, a path is a path, and pruning touches no other folder.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greylord.corpus import folder, listing, pruning
from greylord.errors import UsageError

LOG = b"<|server|><|delay#0.100|>%b"


def write(path: str, content: bytes = LOG % b"hello") -> Path:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def everything(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


@pytest.fixture
def nested(workplace, monkeypatch) -> Path:
    """A working directory with a folder `logs` in it and another above it.

    Returns the folder above.
    """
    for place in ("logs", "work/logs"):
        write(f"{place}/small.log")
        write(f"{place}/large.log", LOG % bytes(2_000).replace(b"\0", b"x"))
        write(f"{place}/notes.txt", b"not a recording")
    Path("work/data").mkdir()
    monkeypatch.chdir("work")
    return workplace


def prune(called, dataset: str, *more: str):
    return called("data", "prune", dataset, "--min-size", "1KB", "--yes", *more)


@pytest.mark.parametrize("dataset", ["../logs", "./../logs", "{above}/logs", "~/logs", "x\n/../../logs"])
def test_a_path_is_pruned_where_it_leads(called, nested, monkeypatch, dataset):
    monkeypatch.setenv("HOME", str(nested))
    for folder_ in ("x\n", "data/x\n"):
        Path(folder_).mkdir()
    before = everything(nested)
    result = prune(called, dataset.format(above=nested), "--delete")
    assert result.returncode == 0 and str(nested / "logs") in result.stdout
    assert before - everything(nested) == {"logs/small.log"}


def test_a_bare_name_is_a_dataset_and_nothing_else(called, nested):
    before = everything(nested)
    result = prune(called, "logs", "--delete")
    assert result.returncode == 2 and "'./logs'" in result.stderr
    assert everything(nested) == before
    write("data/logs/small.log")
    assert prune(called, "logs", "--delete").returncode == 0
    assert everything(nested) - before == {"work/data/logs", "work/data/.journal", "work/data/.journal/logs.jsonl"}


def test_data_dir_is_a_path_and_nothing_else(called, nested):
    write("data/game/a.log")
    for command in ("train", "evaluate", "audit", "analyze data"):
        result = called(*command.split(), "--data-dir", "game")
        assert result.returncode == 2 and "'game'" in result.stderr, command


@pytest.mark.parametrize("dataset", [".", "..", "./", "../work", "data/..", "data/", "./data", "./models", "~", "/"])
def test_a_folder_that_holds_the_work_is_not_pruned(called, nested, monkeypatch, dataset):
    monkeypatch.setenv("HOME", str(nested))
    Path("models").mkdir()
    before = everything(nested)
    result = prune(called, dataset, "--delete")
    assert result.returncode == 2 and "holds" in result.stderr
    assert everything(nested) == before


def test_the_attic_and_the_journal_are_not_pruned(called, nested):
    write("data/game/small.log")
    assert prune(called, "game").returncode == 0
    Path("data/kept").symlink_to(".pruned/game")
    before = everything(nested)
    for dataset in ("data/.pruned", "data/.pruned/game", "data/.journal", "./data/kept", "kept"):
        result = prune(called, dataset, "--delete")
        assert result.returncode == 2 and "is not a dataset" in result.stderr
    assert everything(nested) == before


def test_outside_data_only_recordings_are_pruned(called, nested):
    write("../logs/tiny.txt", b"x")
    before = everything(nested)
    result = prune(called, "../logs")
    assert "2 files outside data/" in result.stderr
    assert before - everything(nested) == {"logs/small.log"}
    (moved,) = Path("data/.pruned").glob("logs-*/small.log")
    assert moved.read_bytes() == LOG % b"hello"


def test_a_dataset_that_is_a_link_leads_outside_data(called, nested):
    Path("data/game").symlink_to("../../logs")
    result = prune(called, "game")
    assert str(nested / "logs") in result.stdout
    assert sorted(path.name for path in (nested / "logs").iterdir()) == ["large.log", "notes.txt"]
    assert Path("data/.pruned/game/small.log").is_file()
    Path("data/here").symlink_to("../..")
    assert prune(called, "here", "--delete").returncode == 2


def test_the_attic_keeps_paths_and_links(called, nested):
    write("data/game/deep/er/small.log")
    write("data/game/large.log", LOG % (b"x" * 2_000))
    Path("data/game/deep/link.log").symlink_to("er/small.log")
    Path("data/game/elsewhere").symlink_to("../../logs")
    assert prune(called, "data/game/deep").returncode == 0
    attic = Path("data/.pruned/game/deep")
    assert (attic / "er/small.log").read_bytes() == LOG % b"hello"
    assert (attic / "link.log").readlink() == Path("er/small.log")
    assert Path("logs/small.log").exists() and Path("data/game/elsewhere").is_symlink()
    # The same names again: files in the attic stay, even where a file has the name of a folder there.
    write("data/game/deep/er/small.log", LOG % b"another")
    write("data/game/deep/er/link.log")
    write("data/game/deep2")
    write("data/.pruned/game/deep2/kept")
    assert prune(called, "game").returncode == 0
    assert (attic / "er/small.log").read_bytes() == LOG % b"hello"
    assert (attic / "er/small~2.log").read_bytes() == LOG % b"another"
    assert Path("data/.pruned/game/deep2/kept").is_file() and Path("data/.pruned/game/deep2~2").is_file()
    write("data/game/deep/er")
    assert prune(called, "game").returncode == 0
    assert Path("data/.pruned/game/deep/er~2").is_file()


def test_a_file_that_cannot_be_removed_is_named_and_the_rest_goes(called, nested, monkeypatch):
    for name in ("a", "b", "c"):
        write(f"data/game/{name}.log")
    unlink = Path.unlink

    def fail(path: Path, **more: bool) -> None:
        if path.name == "b.log":
            raise PermissionError(13, "Permission denied")
        unlink(path, **more)

    monkeypatch.setattr(Path, "unlink", fail)
    result = prune(called, "game", "--delete")
    assert result.returncode == 1 and "b.log'" in result.stderr and "Permission denied" in result.stderr
    assert [path.name for path in Path("data/game").iterdir()] == ["b.log"]


def test_a_file_that_cannot_leave_its_folder_is_not_copied_to_the_attic(called, nested, monkeypatch):
    write("data/game/a.log")

    def fail(path: Path, *args: object, **more: bool) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", fail)
    result = prune(called, "game")
    assert result.returncode == 1 and "a.log'" in result.stderr and "Permission denied" in result.stderr
    assert not list(Path("data/.pruned").rglob("*.log"))


NAMES = st.text(st.sampled_from("ab.~/\\ \n\x1b[]-é"), min_size=1, max_size=6)


@given(NAMES)
def test_text_is_either_a_name_or_a_path(text):
    try:
        folder.check_name(text)
        named = True
    except UsageError:
        named = False
    assert not (named and folder.is_path(text))
    if any(separator in text for separator in "/\\") or text[0] in ".~":
        assert folder.is_path(text)


def test_a_file_that_vanishes_during_planning_does_not_count_as_small(nested, monkeypatch):
    write("data/game/link.log").unlink()
    Path("data/game/link.log").symlink_to("gone.log")
    gone = Path("data/game").resolve() / "link.log"
    monkeypatch.setattr(listing, "list_files", lambda *_, **__: listing.Listing(gone.parent, [gone]))
    plan = pruning.plan_pruning(Path("data/game"), 1_000, None)
    assert plan.removed == [] and plan.skipped == {"link.log": "a link to nothing"}


def test_pruning_is_refused_before_anything_is_looked_at(nested, monkeypatch):
    monkeypatch.setattr(listing, "list_files", None)
    with pytest.raises(UsageError, match="holds data/"):
        pruning.plan_pruning(Path(".."), 1_000, None)
