"""What `greylord analyze` tells, each figure beside a slow and obvious computation."""

import json
import math
import re
import weakref
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greylord import plots
from greylord.analysis import data, training
from greylord.captures import redaction
from greylord.captures.formats import proxylog
from greylord.captures.markup import CSI, span_mask
from greylord.captures.reading import read_session
from greylord.captures.session import Direction, Record, Session
from greylord.captures.start_times import parse_start
from greylord.cli import main
from greylord.corpus import build
from greylord.corpus.manifest import DialectCounts
from greylord.corpus.windows import Rows
from greylord.realm.recorder import record
from greylord.stream import lines, turns, vocabulary
from greylord.stream.lines import side_of, typed

C, S = Direction.CLIENT, Direction.SERVER
START = datetime(2025, 6, 18, 20, tzinfo=UTC)
USER, PASSWORD = "Zaphodette", "xyzzy-plugh"


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """Run a command in this process: exit code, output, errors."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return ended.value.code or 0, output.out, output.err


def fails(result: tuple[int, str, str], code: int) -> str:
    """The one sentence of a call that fails."""
    assert result[0] == code, result
    assert result[2].count("error: ") == 1
    return result[2]


# Runs.


def original(folder: Path, **lists: object) -> Path:
    """A history as the original program wrote it."""
    file = folder / "training_history.json"
    file.write_text(json.dumps({"best_epoch": 1, "best_val_loss": 1.0, "early_stopped": False, **lists}))
    return file


def ours(folder: Path, validation: list, trained: list, name: str = "training_history.json") -> Path:
    """A history of ours, with an evaluation every hundred steps."""
    rows = [
        {
            "step": 100 * number,
            "epoch": 0.1 * number,
            "tokens": 1000 * number,
            "seconds": 1.0 * number,
            "train_bits_per_token": train,
            "bits_per_byte": figure,
            "learning_rate": 0.004 / number,
        }
        for number, (figure, train) in enumerate(zip(validation, trained, strict=True), 1)
    ]
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) if name.endswith("l") else json.dumps(rows))
    return file


FALLING_TRAINING = [3.0, 2.0, 1.5, 1.3, 1.2, 1.1, 1.05, 1.0]


@pytest.mark.parametrize(
    ("validation", "trained", "verdict", "advice"),
    [
        ([3, 2, 1.6, 1.5, 1.4, 1.3, 1.25, 1.2], FALLING_TRAINING, "none", "Train longer: validation gained 7.7 %"),
        ([3, 2, 1.6, 1.5, 1.4, 1.3, 1.305, 1.31], [3, 2, 1.6, 1.5, 1.4, 1.2, 1.2, 1.2], "none", "only 8.4 % below"),
        ([3, 2, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6], FALLING_TRAINING, "none", "Train on more recordings"),
        ([3, 2, 1.6, 1.5, 1.5, 1.52, 1.55, 1.56], FALLING_TRAINING, "mild", "--max-steps 400"),
        ([3, 2, 1.6, 1.5, 1.5, 1.6, 1.62, 1.65], FALLING_TRAINING, "moderate", "--max-steps 400"),
        ([3, 2, 1.6, 1.5, 1.6, 1.8, 1.9, 2.0], FALLING_TRAINING, "severe", "--max-steps 400"),
        ([3, 2, 1.6, 1.5, 1.6, 1.8, 1.9, 2.0], [3, 2, 1.5, 1.3, 1.4, 1.6, 1.8, 2], "none", "lower learning rate"),
        ([3, 2, 1.6, 1.5, 1.6, 1.8, 1.9, 2.0], [None] * 8, None, "--max-steps 400"),
        ([3, 2, 2.4, 1.5, 1.4, 1.3, 1.2, 1.1], [3, 2, 2.5, 1.5, 1.4, 1.3, 1.2, 1.1], "none", "jumped by 20.0 %"),
    ],
)
def test_verdict_and_advice_follow_from_the_curve(tmp_path, validation, trained, verdict, advice):
    report = training.analyze(ours(tmp_path / "run", validation, trained))
    assert report.verdict.overfitting == verdict
    assert any(advice in sentence for sentence in report.advice), report.advice
    best = min(validation)
    assert report.best.validation == best and report.best.at == 100 * (validation.index(best) + 1)


def test_the_verdict_prints_the_figures_that_it_is_made_of(tmp_path):
    verdict = training.analyze(
        ours(tmp_path / "run", [3, 2, 1.5, 1.9, 1.65, 1.8, 1.68], [3, 2, 1.4, 1.3, 1.2, 1.1, 1.05])
    ).verdict
    # The lowest of the last three: 1.65 over 1.5, while training went from 1.4 to 1.05.
    assert verdict.rise == pytest.approx(0.1) and verdict.training_change == pytest.approx(-0.25)
    assert verdict.overfitting == "moderate" and "10.0 %" in verdict.reason and "25.0 %" in verdict.reason


def test_instability_is_not_overfitting(tmp_path):
    report = training.analyze(ours(tmp_path / "run", [3, 2, 1.5, 1.9, 2.5], [3, 2, 1.4, 1.8, 2.6]))
    assert report.verdict.overfitting == "none" and "instability" in report.verdict.reason
    assert report.advice == [
        "Try a lower learning rate than 0.004: at step 500 validation jumped by 31.6 %, and training rose with it."
    ]


@given(st.lists(st.sampled_from([1.0, 1.1, 1.2, 1.3, 1.4]), min_size=1, max_size=25))
def test_stops_are_where_a_window_of_patience_brings_nothing(tmp_path_factory, validation):
    file = ours(tmp_path_factory.mktemp("runs") / "run", validation, [1.0] * len(validation))
    for stop in training.analyze(file).stops:
        wait = stop.patience
        ends = [
            n
            for n in range(wait + 1, len(validation) + 1)
            if min(validation[: n - wait]) <= min(validation[n - wait : n])
        ]
        end = ends[0] if ends else None
        seen = validation[:end]
        assert stop.at == (end and 100 * end)
        assert (stop.kept, stop.kept_at) == (min(seen), 100 * (seen.index(min(seen)) + 1))
        assert stop.saved == (100 * (len(validation) - end) if end else 0)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_short_runs_of_the_original(tmp_path, epochs):
    losses = [2.0, 1.0, 1.2, 1.3][:epochs]
    file = original(
        tmp_path,
        epochs=list(range(1, epochs + 1)),
        train_losses=[2.5, 1.5, 1.4, 1.3][:epochs],
        val_losses=losses,
        learning_rates=[1e-4] * epochs,
    )
    report = training.analyze(file)
    assert (report.course.clock, report.course.unit) == ("epoch", "nats per token")
    assert report.course.name == tmp_path.name
    assert (report.best.at, report.best.validation) == (losses.index(min(losses)) + 1, min(losses))
    assert report.verdict.overfitting == [None, "none", "severe", "severe"][epochs - 1]
    assert [stop.at for stop in report.stops] == [None] * 3
    advice = ["one evaluation", "gained 50.0 % since epoch 1", "--epochs 2", "--epochs 2"][epochs - 1]
    assert advice in report.advice[0]
    assert training.picture(report).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("lists", "points", "left_out"),
    [
        ({"val_losses": [2, 1], "epochs": [5], "train_losses": [3, 2, 1]}, [(5, 2, 3), (2, 1, 2)], 0),
        ({"val_losses": [None, 1.5, "unknown", 1], "train_losses": [3, None]}, [(2, 1.5, None), (4, 1, None)], 2),
        ({"val_losses": [2, math.nan, 1], "epochs": "unknown", "train_losses": None}, [(1, 2, None), (3, 1, None)], 1),
        ({"val_losses": [2], "epochs": [None], "train_losses": [math.inf], "learning_rates": []}, [(1, 2, None)], 0),
    ],
)
def test_odd_lists_of_the_original(tmp_path, lists, points, left_out):
    report = training.analyze(original(tmp_path, **lists))
    course = report.course
    assert [(point.at, point.validation, point.training) for point in course.points] == points
    assert course.left_out == left_out
    assert course.diverged == (math.nan in lists["val_losses"])
    assert ("no number any more" in report.advice[0]) == course.diverged
    assert training.picture(report).startswith(b"\x89PNG")


def test_a_run_that_goes_on(workplace, capsys):
    run_folder = workplace / "models" / "game_2026"
    run_folder.parent.mkdir()
    journal = ours(run_folder, [3, 2, 1.5], [3, 2, 1.5], "training_history.jsonl")
    with journal.open("a") as file:
        file.write('{"step": 400, "bits_per_')
    (run_folder / "training_config.json").write_text('{"plan": {"max_steps": 7000}}')
    report = training.analyze(run_folder)
    assert (report.course.going, report.course.planned, len(report.course.points)) == (True, 7_000, 3)
    assert report.advice == ["Let it run: validation gained 25.0 % since step 200."]
    Path("models/latest").write_text("game_2026\n")
    code, out, _ = run(capsys, "analyze", "training")
    assert code == 0 and "not yet: step 300 of 7,000" in out
    ours(run_folder, [3, 2, 1.5, 1.4], [3, 2, 1.5, 1.4])
    assert not training.analyze(run_folder).course.going


def test_the_screen_and_the_picture_of_a_run(workplace, capsys, monkeypatch):
    file = ours(workplace / "run", [3, 2, 1.5, 1.6, 1.7, 1.8, 1.9], [3, 2, 1.5, 1.3, 1.2, 1.1, 1.0])
    drawn = {}
    draw = plots.training_analysis
    monkeypatch.setattr(plots, "training_analysis", lambda **given: drawn.update(given) or draw(**given))
    code, out, _ = run(capsys, "analyze", "training", "--model-dir", file.parent)
    assert code == 0
    assert "1.500 bits per byte at step 300; at the end 1.900" in out
    assert "moderate: validation ended 13.3 % over its best while training fell by 33.3 %" in out
    assert re.search(r"patience 3 +600 +300 +1\.500 +100\n", out)
    assert re.search(r"patience 5 +never +300 +1\.500 +0\n", out)
    assert {path.name for path in workplace.iterdir()} == {"run", "analysis_run.png"}
    assert plots.is_analysis(workplace / "analysis_run.png")
    assert drawn["best"] == (300, 1.5) and drawn["stops"] == {3: 600, 5: None, 10: None} and drawn["overfitted"]
    code, out, _ = run(capsys, "analyze", "training", "--model-dir", file, "--json")
    assert json.loads(out) == {**json.loads(json.dumps(asdict(training.analyze(file)))), "picture": None}


def test_pictures_replace_only_their_like(workplace, capsys):
    ours(workplace / "run", [3, 2, 1], [3, 2, 1])
    call = ("analyze", "training", "--model-dir", "run", "--output")
    curves = workplace / "curves.png"
    curves.write_bytes(plots.training_curves([1, 2], [2.0, 1.0], [(1, 2.0), (2, 1.0)], 2, {}, "a run"))
    before = curves.read_bytes()
    assert "'curves.png' is there already" in fails(run(capsys, *call, "curves.png"), 2)
    assert "end 'curves.jpg' in .png" in fails(run(capsys, *call, "curves.jpg"), 2)
    assert curves.read_bytes() == before
    for _ in range(2):
        assert run(capsys, *call, "new/of run.png")[0] == 0
    assert sorted(path.name for path in workplace.iterdir()) == ["curves.png", "new", "run"]


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        ("[]", 1, "holds no evaluation at all"),
        ('{"val_losses": [null, "unknown"]}', 1, "holds no evaluation at all"),
        ("{", 2, "is no JSON"),
        ("\xff\xfe", 2, "is no JSON"),
        ('{"train_losses": [1.0]}', 2, "has neither evaluations nor val_losses"),
        ("[1, 2]", 2, "has neither evaluations nor val_losses"),
        ("3", 2, "has neither evaluations nor val_losses"),
        (None, 2, "has no training_history.json"),
    ],
)
def test_what_is_no_history(workplace, capsys, content, code, sentence):
    Path("run").mkdir()
    if content is not None:
        Path("run/training_history.json").write_text(content, encoding="latin-1")
    assert sentence in fails(run(capsys, "analyze", "training", "--model-dir", "run"), code)
    assert {path.name for path in workplace.iterdir()} == {"run"}


def test_a_run_that_is_not_there_or_has_nothing_yet(workplace, capsys):
    assert "no model folder 'nix'" in fails(run(capsys, "analyze", "training", "--model-dir", "nix"), 2)
    ours(workplace / "run", [], [], "training_history.jsonl")
    assert "no evaluation yet" in fails(run(capsys, "analyze", "training", "--model-dir", "run"), 1)


# Lines.


def stream(*said: tuple[Direction, bytes]) -> turns.Turns:
    """A session in which one record follows the other at once."""
    return turns.turns_of(Session.from_records(Record(direction, 0, payload) for direction, payload in said))


PIECES = (b"\x1b[0;37m", b"\x1b[79D\x1b[K", b"\x1b[", b"\x1b[5;", b"\xff\xfb\x01", b"\xff\xf1", b"\xff\xff", b"go\r\n")
MORE_PIECES = (b"\xff\xfa\x18\x00\xff\xff\x01\xff\xf0", b"\xc4\xb3", b"[HP=46]:", b" Vase. ", b"\x1b\x1b[1A")
MARKUP = re.compile(
    rb"(?P<wipe>\x1b\[79D\x1b\[K)|(?P<csi>\x1b\[[ -?]*[@-~])"
    rb"|(?P<telnet>\xff\xfa(?:[^\xff]|\xff\xff)*\xff\xf0|\xff[\xfb-\xfe].|\xff[^\xfa-\xfe])",
    re.DOTALL,
)


@given(st.lists(st.tuples(st.sampled_from([C, S]), st.lists(st.sampled_from(PIECES + MORE_PIECES))), max_size=12))
def test_text_is_what_remains_without_markup(said):
    spoken = stream(*((direction, b"".join(pieces)) for direction, pieces in said))
    for direction, token in ((C, vocabulary.CLIENT), (S, vocabulary.SERVER)):
        side = side_of(spoken, token)
        payload = b"".join(b"".join(pieces) for speaker, pieces in said if speaker == direction)
        assert side.payload == payload
        found = list(MARKUP.finditer(payload))
        assert side.text == MARKUP.sub(lambda match: b"\n" if match["wipe"] else b"", payload)
        assert side.csi_bytes == sum(len(match["csi"] or match["wipe"] or b"") for match in found)
        commands = [match["telnet"] for match in found if match["telnet"]]
        assert (side.telnet_commands, side.telnet_bytes) == (len(commands), sum(map(len, commands)))
        high = sum(byte >= 0x80 for byte in payload)
        assert side.high_bytes == high - sum(byte >= 0x80 for command in commands for byte in command)
        dropped = MARKUP.sub(lambda match: (b"\n" if match["wipe"] else b"").ljust(len(match[0]), b"\a"), payload)
        sent, expected = 0, []
        for speaker, begin, end in zip(spoken.directions, [0, *spoken.ends], spoken.ends, strict=False):
            sent += (end - begin) * (speaker == token)
            expected.append(sent - dropped[:sent].count(b"\a"))
        assert side.ends.tolist() == expected


def heard(*said: tuple[Direction, bytes]) -> tuple[list[bytes], list[bytes], int, int]:
    """The commands, the names, the number of passwords and of empty lines."""
    session = Session.from_records(Record(direction, 0, payload) for direction, payload in said)
    spoken, credentials = turns.turns_of(session), redaction.find(session)
    by_client = np.flatnonzero(np.repeat(session.directions == C, session.sizes))
    secret = np.isin(by_client, credentials.positions)
    found = typed(side_of(spoken, vocabulary.CLIENT), side_of(spoken, vocabulary.SERVER), secret)
    return found.commands, found.names, credentials.logins, found.empty


LOGIN = ((S, b"User-ID: "), (C, b"Grak\r"), (S, b"Grak\r\nEnter your password: "), (C, b"look\r"), (S, b"****\r\n"))


@pytest.mark.parametrize(
    ("said", "commands", "names", "passwords", "empty"),
    [
        # The password is an ordinary word, and stays one.
        ((*LOGIN, (C, b"look\r\n\r\nn\n")), [b"look", b"n"], [b"Grak"], 1, 1),
        # The prompt in colours and halves, telnet and a cursor report before the name.
        (
            ((S, b"Pass\x1b[1"), (S, b";32mWORD: \x1b[0m"), (C, b"\xff\xfd\x01\x1b[2;1Rs\r\0sn\r")),
            [b"sn"],
            [],
            1,
            0,
        ),
        # Typed key by key; a new line begins before the prompt and ends after it.
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
        # Records out of order: the next line is no password, though the prompt is still the last that was heard.
        ((*LOGIN[:4], (C, b"m\r"), (S, b"****\r")), [b"m"], [b"Grak"], 1, 0),
        # Wrong name, wrong password: all are withheld, and the name that counts is the last.
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
        # Talk of passwords hides no line.
        ((*LOGIN, (C, b"n\r"), (S, b"Bob says: password: x\r\n"), (C, b"s\r")), [b"n", b"s"], [b"Grak"], 1, 0),
        ((), [], [], 0, 0),
    ],
)
def test_typed_lines(said, commands, names, passwords, empty):
    assert heard(*said) == (commands, names, passwords, empty)


# Recordings.


def write(folder: Path, name: str, rows: list[Record]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as target:
        proxylog.write(rows, target)


def secretive(number: int) -> list[Record]:
    """A session with a login, odd delays, and lines of its own and of all."""
    user, password = USER.encode(), PASSWORD.encode()
    said = [
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
    return [Record(*row[:2], row[2]) for row in said]


@pytest.fixture
def dataset(workplace) -> Path:
    """Nine recordings in five time groups or more, of the realm and hand-made, and a file that is none."""
    folder = workplace / "data" / "game"
    for name, session in record(3, 4, 1):
        write(folder, name, list(session))
    for number, hours in enumerate([0, 0.5, 5, 30, 60]):
        start = START + timedelta(hours=hours)
        write(folder / "sub", f"{int(start.timestamp())}_{number}.log", secretive(number))
    (folder / "change.log").write_text("COPY: 1725 files")
    return Path("data/game")


def slow_lines(server: bytes) -> list[bytes]:
    text = re.sub(rb"\x1b\[79D\x1b\[K", b"\n", server)
    text = MARKUP.sub(b"", text)
    return [line for line in re.split(rb"[\r\n]", text) if len(line) >= 40]


def said_by(session: Session, direction: Direction) -> bytes:
    return b"".join(row.payload for row in session if row.direction == direction)


def power(value: int) -> int:
    return -1 if value < 0 else max(bound for bound in [0, *(1 << n for n in range(40))] if bound <= value)


def test_every_figure_of_recordings(dataset):
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
        assert (entry.server_bytes, entry.client_bytes) == (len(said_by(session, S)), len(said_by(session, C)))
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
        found = report.delays[side]
        assert (found.records, found.shortest, found.longest) == (len(delays), min(delays), max(delays))
        assert found.negative == sum(delay < 0 for delay in delays)
        near = np.clip(delays, -60_000, 60_000)
        for share, reached in found.quantiles.items():
            assert reached == np.quantile(near, share, method="inverted_cdf")
        assert list(found.tokens.values()) == [
            sum(delay <= 1_000 for delay in delays) / len(delays),
            sum(1_000 < delay <= 5_000 for delay in delays) / len(delays),
            sum(delay > 5_000 for delay in delays) / len(delays),
        ]
        assert found.by_power == Counter(power(delay) for delay in near)
        lengths: list[int] = []
        for session in sessions.values():
            spoken = turns.turns_of(session)
            sizes = np.diff([0, *spoken.ends])
            lengths += [int(size) for size, speaker in zip(sizes, spoken.directions, strict=True) if speaker == token]
        assert report.turn_bytes[side] == Counter(map(power, lengths))

    server = [said_by(session, S) for session in sessions.values()]
    total = sum(map(len, server))
    csi = sum(len(each) for text in server for each in re.findall(rb"\x1b\[[ -?]*[@-~]", text))
    prompts = [each for text in server for each in re.findall(rb"\x1b\[79D\x1b\[K\x1b\[0;37m\[HP=[^]]*?\]:", text)]
    assert (report.markup.csi_bytes, report.markup.csi_share) == (csi, csi / total)
    assert report.markup.prompts == len(prompts) > 20
    assert report.markup.prompt_share == sum(map(len, prompts)) / total
    everything = [session.payload.tobytes() for session in sessions.values()]
    options = sum(len(re.findall(rb"\xff[\xfb-\xfe].", text, re.DOTALL)) for text in everything)
    assert (report.markup.telnet_commands, report.markup.telnet_bytes) == (options, 3 * options)
    high = sum(byte >= 0x80 for text in everything for byte in text)
    assert report.markup.high_bytes == high - sum(
        byte >= 0x80
        for text in everything
        for each in re.findall(rb"\xff[\xfb-\xfe].", text, re.DOTALL)
        for byte in each
    )

    lines = {name: slow_lines(said_by(session, S)) for name, session in sessions.items()}
    flat = [(name, line) for name, there in lines.items() for line in there]
    again = sum(any(line in there for other, there in lines.items() if other != name) for name, line in flat)
    assert report.long_lines.lines == len(flat)
    assert report.long_lines.distinct == len({line for _, line in flat})
    assert report.long_lines.recurring == again / len(flat)
    assert 0 < again < len(flat)

    manifest, _ = build.refresh(dataset)
    sides = {entry.name: entry.split for entry in manifest.recordings}
    assert report.division.validation_recordings == list(sides.values()).count("validation") > 0
    trained = {line for name, line in flat if sides[name] == "train"}
    validating = [line for name, line in flat if sides[name] == "validation"]
    assert report.long_lines.validation_lines == len(validating)
    assert report.long_lines.known == sum(line in trained for line in validating) / len(validating)


def test_commands_of_recordings(dataset):
    report = data.analyze(dataset).commands
    lines, empty, users = [], 0, {USER.lower()}
    for _, session in record(3, 4, 1):
        client = re.sub(rb"\xff[\xfb-\xfe].|\x1b\[[ -?]*[@-~]", b"", said_by(session, C), flags=re.DOTALL)
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


def test_no_password_and_no_user_name_comes_out(dataset, capsys, monkeypatch):
    drawn = []
    draw = plots.recordings_histograms
    monkeypatch.setattr(plots, "recordings_histograms", lambda **given: drawn.append(repr(given)) or draw(**given))
    assert data.analyze(dataset).commands.logins == 9
    code, out, err = run(capsys, "analyze", "data")
    assert code == 0 and "9 of" in out
    code, text, more = run(capsys, "analyze", "data", "--json", "--output", "here.png")
    assert code == 0 and json.loads(text)["commands"]["frequent"]["look"] >= 5
    assert len(drawn) == 2
    for told in (out, err, text, more, *drawn):
        assert USER.lower() not in told.lower() and PASSWORD not in told


def test_a_split_by_time_is_the_corpus_own_with_its_settings(dataset):
    before = data.analyze(dataset)
    manifest, _ = build.refresh(dataset, val_split=0.5, seed=4, keep_records=True)
    report = data.analyze(dataset)
    assert (report.division.val_split, report.division.seed) == (0.5, 4)
    assert report.division != before.division
    assert report.division.validation_recordings == sum(entry.split == "validation" for entry in manifest.recordings)
    assert sum(counts.turns for counts in report.dialects.values()) == sum(
        counts.turns for counts in manifest.splits.values()
    )


def test_a_cut_is_the_corpus_own(workplace):
    folder = workplace / "data" / "game"
    for name, session in list(record(1, 4, 2))[:2]:
        write(folder, f"{int(START.timestamp())}_{name}", list(session))
    report = data.analyze(folder)
    build.refresh(folder)
    lines = {}
    for name in build.SPLITS:
        parts = [turns.decode(row) for row in Rows(build.corpus_of(folder), name)]
        lines[name] = [line for part in parts for line in slow_lines(side_of(part, vocabulary.SERVER).payload)]
    assert report.division.cut and report.division.validation_recordings == 2
    assert report.long_lines.validation_lines == len(lines["validation"]) > 0
    known = sum(line in lines["train"] for line in lines["validation"]) / len(lines["validation"])
    assert report.long_lines.known == known > 0


def test_recordings_are_read_one_at_a_time(dataset, monkeypatch):
    read, kept = proxylog.read, []

    def read_alone(source: BinaryIO, spool: Path | None = None) -> Session:
        assert not any(reference() for reference in kept)
        session = read(source, spool=spool)
        kept.append(weakref.ref(session))
        return session

    monkeypatch.setattr(proxylog, "read", read_alone)
    data.analyze(dataset)
    # Once to tell copies apart, which reads change.log too, and once to count.
    assert len(kept) == 10 + 9


def test_real_recordings_agree_with_what_was_measured_before(workplace, real_captures):
    report = data.analyze(real_captures)
    assert report.skipped == ["v2/change.log"]
    assert 0.38 < report.markup.csi_share < 0.40
    assert 0.26 < report.markup.prompt_share < 0.29
    assert 0.997 < report.delays["server"].tokens["<|delay_short|>"] < 0.998
    assert report.commands.logins == 127
    assert not set(report.commands.frequent) & {"password", "new"}


def test_the_screen_of_recordings(dataset, capsys):
    code, out, err = run(capsys, "analyze", "data", "--dataset", "game")
    report = data.analyze(dataset)
    assert code == 0 and re.search("1 file left out.*change.log", err)
    assert out.index("recordings") < out.index("delays") < out.index("lines")
    assert f"{100 * report.markup.csi_share:.1f} % of its bytes are CSI" in out
    assert f"{100 * report.long_lines.recurring:.1f} % stand in another recording" in out
    assert re.search(r"99\.9 % up to, ms +60,000\+", out)
    assert plots.is_analysis(Path("analysis_game.png"))


def test_recordings_without_dates_clients_or_text(workplace):
    write(workplace / "data" / "bare", "noname", [Record(S, 0, b"")])
    report = data.analyze(Path("data/bare"))
    assert report.recordings[0].started_at is None
    assert (report.markup.csi_share, report.long_lines.recurring, report.long_lines.known) == (None, None, None)
    assert data.picture(report).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("--data-dir nix", 2, "'nix' does not exist"),
        ("--data-dir empty", 1, "'empty' is empty"),
        ("--data-dir text", 1, "None of the 1 files of 'text' is a recording"),
        ("--data-dir text --dataset text", 2, "exclude each other"),
        ("--data-dir text --output text/file", 2, "end 'text/file' in .png"),
        ("--data-dir text --output other.png", 2, "'other.png' is there already"),
    ],
)
def test_what_holds_no_recordings(workplace, capsys, arguments, code, sentence):
    Path("empty").mkdir()
    Path("text").mkdir()
    Path("text/file").write_bytes(b"\x00\xff no capture")
    Path("other.png").write_bytes(b"\x89PNG of somebody")
    before = set(workplace.rglob("*"))
    assert sentence in fails(run(capsys, "analyze", "data", *arguments.split()), code)
    assert set(workplace.rglob("*")) == before


@given(
    st.lists(st.sampled_from([b"\x1b", b"[", b"1;31", b" ", b"?", b"m", b"K", b"\r", b"\xff"]), max_size=30).map(
        b"".join
    )
)
def test_control_sequences_are_those_of_the_grammar(payload):
    begins, ends = lines._control_sequences(np.frombuffer(payload, np.uint8))
    assert list(zip(begins, ends, strict=True)) == [match.span() for match in CSI.finditer(payload)]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted), max_size=6))
def test_covered_positions(spans):
    begins, ends = np.array(spans, np.int64).reshape(-1, 2).T
    assert span_mask(begins, ends, 20).tolist() == [any(a <= at < b for a, b in spans) for at in range(20)]
