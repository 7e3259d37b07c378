"""Only regular files are read, and everything else is skipped and named.

Commands neither hang nor lose a file.
"""

import json
import os
import socket
from pathlib import Path

import pytest

from greylord import files, runs
from greylord.captures.formats import proxylog
from greylord.captures.reading import Recording
from greylord.captures.session import Direction, Record
from greylord.corpus import build, copying, listing, reading
from greylord.corpus.windows import Rows

needs_posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")


def write(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        proxylog.write(
            [Record(Direction(turn % 2), 0, b"turn %d of %d\r\n" % (turn, number)) for turn in range(99)], target
        )
    return path


@pytest.fixture
def logs(workplace) -> Path:
    """A folder of four recordings of four evenings."""
    for number in range(4):
        write(Path(f"logs/{1_750_000_000 + 90_000 * number}.log"), number)
    return Path("logs")


@pytest.fixture
def special_files(logs) -> dict[str, str]:
    """Add special files and links to the folder. Returns the reason given for each."""
    os.mkfifo(logs / "pipe")
    (logs / "sub").mkdir()
    os.mkfifo(logs / "sub" / "pipe.log")
    (logs / "dangling.log").symlink_to("nowhere")
    (logs / "self.log").symlink_to("self.log")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(logs / "socket"))
    (logs / "sub" / "loop").symlink_to("..")
    (logs / "null").symlink_to("/dev/null")
    return {
        "pipe": "a named pipe",
        "sub/pipe.log": "a named pipe",
        "dangling.log": "a link to nothing",
        "self.log": "cannot be read: Too many levels of symbolic links",
        "socket": "a socket",
        "sub/loop": "a link to a folder that holds this one",
        "null": "a device",
    }


@needs_posix
@pytest.mark.parametrize(
    "command",
    [
        "data build ./logs",
        "data show ./logs",
        "data copy logs game",
        "data redact logs game",
        "analyze data --data-dir logs",
        "data prune ./logs --min-size 1 --dry-run",
    ],
)
def test_only_regular_files_are_opened_and_the_rest_is_named(called, special_files, command):
    result = called(*command.split())
    assert result.returncode == (1 if command.startswith(("data copy", "data redact")) else 0), result.stderr
    if "prune" in command:
        special_files["sub/loop"] = "a link to a folder"
    for path, why in special_files.items():
        assert f"{path}  ({why})" in result.stdout + result.stderr


@needs_posix
def test_a_pipe_given_as_a_recording_is_refused(called, logs):
    os.mkfifo("pipe")
    for command in ("data copy pipe game", "generate --from-capture pipe", "evaluate --surprise pipe"):
        result = called(*command.split())
        assert result.returncode != 0 and "pipe" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("error: ")


@needs_posix
def test_linked_folders_are_followed_once(logs):
    write(Path("elsewhere/deep/x.log"), 9)
    Path("elsewhere/deep/back").symlink_to("..")
    (logs / "a link").symlink_to("../elsewhere")
    (logs / "b link").symlink_to("../elsewhere/deep")
    (logs / "to a file.log").symlink_to("../elsewhere/deep/x.log")
    found = listing.list_files(logs)
    names = [found.name_of(path) for path in found.files]
    assert [name for name in names if "x.log" in name] == ["a link/deep/x.log"] and "to a file.log" in names
    assert found.skipped == {}
    assert "elsewhere" not in str(listing.list_files(logs, follow_links=False).files)


@needs_posix
def test_a_folder_that_cannot_be_read_is_named_and_is_not_empty(called, logs, monkeypatch):
    (logs / "secret").mkdir()
    scan = os.scandir

    def refuse(path):
        if Path(path).name in ("secret", "locked"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert listing.list_files(logs).skipped == {"secret": "cannot be read: Permission denied"}
    Path("locked").mkdir()
    result = called("data", "build", "./locked")
    assert result.returncode == 1 and "empty" not in result.stderr and "Permission denied" in result.stderr
    Path("bare").mkdir()
    assert "'bare' is empty" in called("data", "build", "./bare").stderr


def test_a_file_that_cannot_be_read_is_left_out_and_named(called, logs, monkeypatch):
    opened = Path.open

    def refuse(path, *args, **more):
        if path.name == "locked.log":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **more)

    write(logs / "locked.log", 7)
    monkeypatch.setattr(Path, "open", refuse)
    manifest = build.build_corpus(logs).manifest
    assert manifest.left_out == {"locked.log": "cannot be read: Permission denied"} and len(manifest.recordings) == 4
    copied = called("data", "copy", "logs", "game")
    assert copied.returncode == 1 and "locked.log' cannot be read: Permission denied" in copied.stderr
    assert len(list(Path("data/game").iterdir())) == 4


def test_a_file_that_vanishes_while_a_corpus_is_built_is_left_out(logs, monkeypatch):
    gone = write(logs / "gone.log", 7)
    read = reading.read_recording

    def read_late(path: Path, spool: Path) -> Recording:
        gone.unlink(missing_ok=True)
        return read(path, spool=spool)

    monkeypatch.setattr(reading, "read_recording", read_late)
    manifest = build.build_corpus(logs).manifest
    assert manifest.left_out == {"gone.log": "cannot be read: No such file or directory"}
    assert len(manifest.recordings) == 4


def test_a_full_disk_ends_a_build(logs, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(proxylog, "read", fail)
    with pytest.raises(OSError, match="No space"):
        build.build_corpus(logs)


def test_a_file_that_cannot_be_written_is_named_and_the_rest_is_copied(called, logs, monkeypatch):
    replace = Path.replace

    def refuse(path, target):
        if Path(target).name.startswith("1750090000"):
            raise OSError(36, "File name too long")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    result = called("data", "copy", "logs", "game")
    assert result.returncode == 1 and "1750090000.log' cannot be copied: File name too long" in result.stderr
    assert len(list(Path("data/game").iterdir())) == 3


@needs_posix
def test_names_that_are_not_unicode_are_kept_and_shown_escaped(called, logs):
    write(logs / os.fsdecode(b"caf\xe9.log"), 8)
    assert called("data", "copy", "logs", "game").returncode == 0
    assert os.fsencode("data/game") + b"/caf\xe9.log" in [os.fsencode(path) for path in Path("data/game").iterdir()]
    built = called("data", "build", "game", "--json")
    assert r"caf\xe9.log" in [entry["name"] for entry in json.loads(built.stdout)["recordings"]]
    assert not build.build_corpus(Path("data/game")).is_new
    assert len(Rows(Path("corpora/game"), "train")) > 0
    (logs / os.fsdecode(b"\xff.txt")).write_text("no recording")
    assert r"\xff.txt" in called("data", "build", "./logs").stderr
    assert called("data", "prune", "game", "--min-size", "1GB", "--yes").returncode == 0
    assert b"caf\xe9.log" in [os.fsencode(path.name) for path in Path("data/.pruned/game").iterdir()]


def test_names_as_long_as_names_can_be(called, logs):
    for number in range(2):
        write(Path("other" if number else "logs", "n" * 251 + ".log"), 20 + number)
    write(Path("logs", "é" * 125 + ".log"), 30)
    assert called("data", "copy", "logs", "other", "game").returncode == 0
    lengths = [len(os.fsencode(path.name)) for path in Path("data/game").iterdir()]
    assert len(lengths) == 7 and max(lengths) == 255
    assert called("data", "build", "game").returncode == 0
    too_long = called("data", "copy", "logs", "x" * 250)
    assert too_long.returncode == 2 and "may have 200 bytes" in too_long.stderr


def test_a_number_does_not_cut_a_character_in_two():
    for length in (100, 122, 123, 124, 125):
        name = files.numbered(Path("é" * length + ".log"), 12).name
        assert len(name.encode()) <= 255 and name.endswith("~12.log") and set(name[:-7]) == {"é"}
    assert files.numbered(Path("a.log"), 2).name == "a~2.log"
    assert files.numbered(Path("a." + "b" * 253), 2).name == "a." + "b" * 251 + "~2"


@pytest.mark.parametrize("name", ["x" * 300, "./" + "x" * 300])
def test_a_dataset_of_an_impossible_name_is_one_sentence(called, workplace, name):
    result = called("data", "show", name)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1


def test_build_and_show_name_files_added_since_the_build(called, logs):
    write(logs / "copy.log", 0)
    assert called("data", "build", "./logs").returncode == 0
    (logs / "gone.log").symlink_to("nowhere")
    for command in ("build", "show"):
        shown = called("data", command, "./logs").stderr
        assert "gone.log  (a link to nothing)" in shown and "copy.log  (the same payload as" in shown
    (logs / "gone.log").unlink()
    assert "gone.log" not in called("data", "show", "./logs").stderr
    assert not build.build_corpus(logs).is_new


def test_corpora_and_models_are_not_recordings_of_the_folder_that_holds_them(called, logs, monkeypatch):
    monkeypatch.chdir(logs)
    assert called("data", "build", ".").returncode == 0
    write(Path("models/run/1750000000.log"), 50)
    corpus = build.build_corpus(Path())
    assert not corpus.is_new and corpus.manifest.skipped == [] and len(corpus.manifest.recordings) == 4
    assert len(listing.list_files(Path("models")).files) == 1


@needs_posix
def test_a_link_to_nothing_is_skipped(called, logs):
    Path("self").symlink_to("self")
    Path("nowhere").symlink_to("gone")
    result = called("data", "copy", "logs", "self", "nowhere", "game")
    assert "nowhere  (a link to nothing)" in result.stderr and result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: 'self' cannot be read: Too many levels")
    assert len(list(Path("data/game").iterdir())) == 4


@pytest.mark.parametrize("command", ["data copy logs taken", "data redact logs taken", "data sample taken"])
def test_a_dataset_does_not_take_the_place_of_anything_else(called, logs, command):
    Path("data").mkdir()
    for make in (Path.touch, lambda path: path.symlink_to("nowhere")):
        make(Path("data/taken"))
        result = called(*command.split())
        assert result.returncode == 2 and "choose another name" in result.stderr
        Path("data/taken").unlink()


def test_a_file_that_vanishes_before_it_is_copied_is_named_and_the_rest_is_copied(logs):
    plan = copying.plan_copy(["logs"], "game")
    (logs / "1750000000.log").unlink()
    copied = copying.copy(plan)
    assert copied.files == 3 and [source.name for source, _ in copied.failed] == ["1750000000.log"]


def test_sources_in_quotes_are_expanded(called, logs, monkeypatch):
    monkeypatch.setenv("HOME", str(Path.cwd()))
    Path("x[old]y").mkdir()
    write(Path("x[old]y/a.log"), 40)
    for source, count in (("~/logs/*.log", 4), ("~/logs", 4), ("x[old]y/*.log", 1), ("x[old]y", 1), ("./lo*/17*", 4)):
        result = called("data", "copy", source, f"game{count}{len(source)}")
        assert f"copied  {count} recording" in result.stdout, (source, result.stderr)
    unknown = called("data", "copy", "~nobody-of-that-name/logs", "game")
    assert unknown.returncode == 2 and "a user who is not known here" in unknown.stderr


@needs_posix
def test_a_pipe_named_like_a_json_file_does_not_block(workplace):
    os.mkfifo("training_config.json")
    assert runs.read_json(Path("training_config.json")) is None
