"""A command's work does not depend on its output.

Text from others is printed as text.
"""

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from helpers import PROJECT, make_run
from hypothesis import given
from hypothesis import strategies as st

from greylord import plots, runs
from greylord.cli import console, main, streams
from greylord.escaping import markdown, visible
from greylord.files import write_file

HOSTILE = "_x[old]y $z$ :smile:\x1b[31m\n\u202e\x9b\udce9"
SHOWN = r"_x[old]y $z$ :smile:\x1b[31m\n\u202e\x9b\xe9"


class Failing(io.RawIOBase):
    """A file that refuses every write after the first few bytes."""

    def __init__(self, number: int, room: int = 0) -> None:
        self.number, self.room = number, room

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(self.number, os.strerror(self.number))
        return len(data)


def failing(number: int, room: int = 0) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(Failing(number, room)), encoding="utf-8")


def exit_code(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(list(map(str, arguments)))
    return exit_.value.code or 0


def in_a_shell(command: str, cwd: Path, **variables: str) -> tuple[int, bytes]:
    """Run `greylord COMMAND`, redirections included.

    Returns its exit code and what reached the shell.
    """
    line = f'{{ "$0" -m greylord {command.replace("|", "; echo $? > code; } |", 1)}'
    line += "" if "|" in command else "; echo $? > code; }"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **variables}
    done = subprocess.run(["sh", "-c", line, sys.executable], cwd=cwd, capture_output=True, timeout=60, env=environment)
    assert not re.search(rb"Traceback|Exception ignored", done.stdout + done.stderr), done.stderr
    return int((cwd / "code").read_text()), done.stdout + done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("redirection", [">/dev/full", ">/dev/full 2>/dev/full", ">&- 2>&- <&-", "2>&1 | true"])
def test_a_job_is_done_whatever_becomes_of_its_output(tmp_path, redirection):
    code, output = in_a_shell(f"data sample game --recordings 1 --minutes 0.1 {redirection}", tmp_path)
    assert code == 0 and len(list(tmp_path.glob("data/game/*"))) == 1
    assert output == (
        b"note: Standard output could not be written: No space left on device.\n"
        if redirection == ">/dev/full"
        else b""
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_job_survives_its_terminal(tmp_path):
    master, slave = os.openpty()
    command = [sys.executable, "-m", "greylord", "data", "sample", "game", "--recordings", "1", "--minutes", "0.1"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=slave, stderr=slave, env={**os.environ, "PYTHONPATH": str(PROJECT)}
    )
    os.close(slave)
    os.close(master)
    assert process.wait(60) == 0 and (tmp_path / "data" / "game").is_dir()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_result_that_cannot_be_written_is_an_error_unless_its_reader_has_left(tmp_path):
    for redirection, reason in [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")]:
        code, output = in_a_shell(f"models --json {redirection}", tmp_path)
        assert (code, output.decode()) == (1, f"error: Standard output could not be written: {reason}.\n")
    assert in_a_shell("models --json | true", tmp_path) == (0, b"")


def test_training_goes_on_to_its_folder_and_to_the_hub_without_its_output(trained, monkeypatch):
    from greylord import hub

    pushed = []
    monkeypatch.chdir(trained)
    monkeypatch.setattr(hub, "check_access", lambda repo_id: None)
    monkeypatch.setattr(hub, "push", lambda folder, repo_id: pushed.append(folder) or hub.Pushed("https://hub", {}))
    monkeypatch.setattr(sys, "stdout", failing(errno.EPIPE, room=100))
    monkeypatch.setattr(sys, "stderr", failing(errno.ENOSPC))
    before, latest = set(Path("models").iterdir()), Path("models/latest").read_text()
    arguments = "train --dataset tiny --cpu --max-steps 2 --context-window 16 --push-to-hub user/game"
    assert exit_code(*arguments.split()) == 0
    (run,) = set(Path("models").iterdir()) - before
    assert pushed == [run] and (run / runs.SUMMARY).exists()
    shutil.rmtree(run)
    Path("models/latest").write_text(latest)


def test_generation_ends_with_its_reader_unless_it_writes_a_cast(trained, monkeypatch, tmp_path, capsys):
    from greylord.generation import playback

    played = []
    render = playback.render
    monkeypatch.chdir(trained)
    monkeypatch.setattr(playback, "render", lambda *given: (played.append(each) or each for each in render(*given)))

    def generated(number: int, *more: object) -> tuple[int, int]:
        """Return the exit code, and the payload bytes that were generated."""
        played.clear()
        monkeypatch.setattr(sys, "stdout", failing(number, room=10))
        code = exit_code("generate", "--length", 400, *more)
        return code, sum(len(chunk.payload) for chunk, _ in played)

    for form in ([], ["--raw"]):
        code, size = generated(errno.EPIPE, *form)
        assert code == 0 and size < 400
        code, size = generated(errno.ENOSPC, *form)
        assert code == 1 and size < 400
        assert capsys.readouterr().err == "error: Standard output could not be written: No space left on device.\n"
    assert generated(errno.EPIPE, "--output", tmp_path / "play.cast") == (0, 400)
    assert (tmp_path / "play.cast").exists()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-16", "utf-8"])
def test_characters_missing_from_an_encoding_are_replaced(monkeypatch, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding, errors="strict"))
    with streams.guarded():
        console.figures("Bits per byte", {"zlib": 4.0, "this model": 2.0}, "this model")
        console.say("name", "é 中 ─│┌ ✗")
    shown = written.getvalue().decode(encoding)
    is_unicode = encoding.startswith("utf")
    assert f"zlib          4.000  {'█' if is_unicode else '#'}" in shown
    other = {"ascii": r"\xe9 \u4e2d -|+ x", "cp1252": r"é \u4e2d -|+ x", "latin-1": r"é \u4e2d -|+ x"}
    assert f"    name  {other.get(encoding, 'é 中 ─│┌ ✗')}\n" in shown.replace("\r", "")


@given(st.text(st.characters(exclude_categories=())))
def test_escaped_text_is_printable_and_printable_text_is_left_alone(text):
    assert visible(text).isprintable()
    assert visible(text) == text or not text.isprintable()


def test_names_are_printed_as_they_are(called, workplace):
    Path("data", HOSTILE).mkdir(parents=True)
    make_run(f"{HOSTILE}_2026-01-05T10-00-00", [2.0], dataset=HOSTILE)
    make_run("other", [1.0])
    listed = called("models").stdout
    assert f"bytes of {SHOWN} " in listed and f"\n{SHOWN}_2026-01-05T10-00-00 " in listed
    compared = called("models", "compare", f"{HOSTILE}_2026-01-05T10-00-00", "other", "--output", "both.png").stdout
    assert f"A  models/{SHOWN}_2026" in compared and re.search(rf"dataset +{re.escape(SHOWN)} +game", compared)
    assert f"data/{SHOWN}: 0 files" in called("data", "show", f"data/{HOSTILE}").stdout
    for text in (listed, compared):
        assert re.sub(r"\n", "", text).isprintable()
    (found,) = (run for run in json.loads(called("models", "--json").stdout)["runs"] if HOSTILE in run["run"])
    assert found["dataset"] == HOSTILE


def test_json_is_ascii_and_no_terminal_obeys_it(capsys):
    with streams.guarded():
        console.print_json({"name": HOSTILE + "\x7f"})
    written = capsys.readouterr().out
    assert written.isascii() and written.replace("\n", "").isprintable()
    assert json.loads(written) == {"name": HOSTILE + "\x7f"}


@pytest.mark.parametrize(
    "arguments",
    [["x\x1b[31m[bold]"], ["train", "--x\x1b[31m"], ["train", "--epochs", "\x1b[31m"], ["models", "compare"]],
)  # fmt: skip
def test_a_wrong_call_is_one_sentence_however_hostile(called, workplace, arguments):
    result = called(*arguments)
    assert result.returncode == 2 and not result.stdout
    assert re.fullmatch(r"error: .+\. See `greylord.* --help`\.\n", result.stderr) and result.stderr[:-1].isprintable()


def test_strings_reach_a_terminal_only_by_the_console():
    for path in (PROJECT / "greylord" / "cli").glob("*.py"):
        if path.stem not in ("console", "streams"):
            found = re.findall(r"(?<!out\.)\bprint\(|\becho\(|Console\(|from_markup|markup=True", path.read_text())
            assert not found, (path.name, found)


@pytest.mark.parametrize("width", [1, 40])
def test_tables_are_as_wide_as_their_cells(called, workplace, monkeypatch, width):
    monkeypatch.setattr(console.out, "_width", width)
    name = "a-name-that-is-" + "very-" * 12 + "long_2026-01-05T10-00-00"
    make_run(name, [1.25], scored_bytes=123_456_789)
    make_run(f"{name}-2", [3.5], finished=False)
    listed = called("models").stdout
    assert re.search(rf"^{name} +1\.250 +0\.84 M +10 +1 min 15 s +2026-01-05 *$", listed, re.MULTILINE)
    assert re.search(rf"^{name}-2 +3\.500 +10 +30 +", listed, re.MULTILINE) and "…" not in listed
    compared = called("models", "compare", name, f"{name}-2").stdout
    assert f"models/{name}\n" in compared and re.search(r"^trained_on|^ +A +B *$", compared, re.MULTILINE)


def test_progress_is_printed_every_ten_seconds(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(console, "_clock", lambda: now[0])

    def lines_at(seconds: int) -> list[str]:
        with console.progress("Reading recordings [x]", 100) as advance:
            for _ in range(seconds):
                now[0] += 1
                advance(1)
        output, lines = capsys.readouterr()
        assert not output
        return lines.splitlines()

    assert lines_at(9) == []
    assert lines_at(100) == [
        f"Reading recordings [x]: {done}.0 %, {left} left"
        for done, left in [
            (10, "1 min 30 s"), (20, "1 min 20 s"), (30, "1 min 10 s"), (40, "1 min 00 s"), (50, "50 s"), (60, "40 s"),
            (70, "30 s"), (80, "20 s"), (90, "10 s"),
        ]
    ]  # fmt: skip


def test_no_bar_is_drawn_into_a_file_or_on_a_terminal_that_cannot_redraw(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert not console.out.is_animated
    terminal.isatty = lambda: True
    monkeypatch.setenv("TERM", "xterm")
    assert console.out.is_animated
    monkeypatch.setenv("TERM", "dumb")
    assert not console.out.is_animated


@pytest.mark.parametrize("name", [HOSTILE, "_" + "x" * 254, "中文", r"$\frac{"])
def test_pictures_show_names_as_they_are(name, monkeypatch):
    titles, handles = [], []
    png = plots.png

    def drawn(figure, *more) -> bytes:
        (axes,) = figure.axes
        titles.append(axes.get_title(loc="left"))
        handles.extend(axes.get_legend().get_texts())
        assert not any(text.get_parse_math() for text in (axes.title, *axes.get_legend().get_texts()))
        return png(figure, *more)

    monkeypatch.setattr(plots, "png", drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.compared_curves({name: ([1], [2.0]), f"{name}b": ([1], [2.0])}, name)
    assert len(handles) == 2 and visible(name)[:40] in titles[0]


def test_counts_in_a_picture_are_numbers(monkeypatch):
    labels = []
    png = plots.png

    def drawn(figure, *more) -> bytes:
        found = png(figure, *more)
        labels.extend(label.get_text() for axes in figure.axes for label in axes.get_yticklabels(which="both"))
        return found

    monkeypatch.setattr(plots, "png", drawn)
    sides = {"server": {1: 2, 0: 1}, "client": {1: 3}}
    plots.recordings_histograms("game", {}, [5], sides, sides, {"$look$": 4})
    assert "$look$" in labels and not any("mathdefault" in label for label in labels)


def test_names_of_any_kind_in_markdown_and_json(tmp_path):
    assert markdown(HOSTILE).startswith(r"\_x\[old\]y \$z\$ :smile:\\x1b\[31m\\n")
    assert markdown("game_2026-01-05") == "game_2026-01-05"
    write_file(tmp_path / "x.json", json.dumps({"name": HOSTILE}, ensure_ascii=False))
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"name": HOSTILE}


def test_folders_of_a_dataset_of_any_name_can_be_opened_by_every_library(workplace):
    from greylord.corpus.build import corpus_of

    assert runs.new_run(f" {HOSTILE}").name.startswith("_x[old]y $z$ :smile:_[31m_____2")
    for dataset in (Path(HOSTILE), Path("data", HOSTILE)):
        assert str(corpus_of(dataset)).encode()
