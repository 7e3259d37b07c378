"""Generated play: from a prompt or a recording to a terminal and to an asciicast."""

import io
import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import greylord
from hypothesis import given
from hypothesis import strategies as st

from greylord import modeling, runs
from greylord.captures.formats import proxylog
from greylord.captures.session import Direction, Record, Session
from greylord.cli import app
from greylord.corpus.build import corpus_of
from greylord.corpus.manifest import Manifest
from greylord.errors import UsageError
from greylord.generation import playback
from greylord.generation.engine import Decoder, Sampling
from greylord.stream import delays, turns, vocabulary
from greylord.weights import GPT2Weights

PAD, CLIENT, SERVER = vocabulary.PAD, vocabulary.CLIENT, vocabulary.SERVER
SHORT, LONG = vocabulary.DELAY_SHORT, vocabulary.DELAY_LONG
RECORDS = [
    Record(Direction.SERVER, 0, b"name:\x1b[0"),
    Record(Direction.CLIENT, 300, b"me\r"),
    Record(Direction.SERVER, 7_000, b"m"),
]
IDS = [PAD, SERVER, SHORT, *b"name:\x1b[0", CLIENT, SHORT, *b"me\r", SERVER, LONG, *b"m"]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    torch.manual_seed(2)
    return Decoder(GPT2Weights.of(modeling.new_model(64)), Sampling())


@pytest.fixture
def capture(tmp_path) -> Path:
    with (tmp_path / "a.log").open("wb") as target:
        proxylog.write(RECORDS, target)
    return tmp_path / "a.log"


def test_a_prompt_is_the_beginning_of_a_session():
    assert playback.encode_prompt(None, CLIENT) == [PAD, CLIENT]
    assert playback.encode_prompt("é\r", SERVER) == [PAD, SERVER, SHORT, 0xE9, 13]
    with pytest.raises(UsageError, match="'€' at character 3"):
        playback.encode_prompt("ab€", SERVER)


@pytest.mark.parametrize(("at", "ids"), [(None, IDS), (0, IDS[:1]), (1, IDS[:4]), (8, IDS[:11]), (9, IDS[:14])])
def test_a_recording_up_to_an_offset(capture, at, ids):
    assert playback.encode_recording(capture, at, None) == ids
    assert playback.encode_recording(capture, at, CLIENT) == [*ids, CLIENT]


def test_a_recording_as_prompt_is_masked(tmp_path):
    records = [
        Record(Direction.SERVER, 0, b"Password: "), Record(Direction.CLIENT, 0, b"s3cret\r"),
        Record(Direction.SERVER, 0, b"Welcome!"),
    ]  # fmt: skip
    with (tmp_path / "a.log").open("wb") as target:
        proxylog.write(records, target)
    ids = playback.encode_recording(tmp_path / "a.log", None, None)
    assert ids == [PAD, SERVER, SHORT, *b"Password: ", CLIENT, SHORT, *b"******\r", SERVER, SHORT, *b"Welcome!"]


def test_a_file_that_is_not_a_recording_or_too_short(capture):
    with pytest.raises(UsageError, match=r"12 payload bytes.*13"):
        playback.encode_recording(capture, 13, None)
    capture.write_text("plain text")
    with pytest.raises(UsageError, match="is not a recording"):
        playback.encode_recording(capture, None, None)
    for path in (capture.parent, capture / "nowhere"):
        with pytest.raises(UsageError, match=r"is not a regular file|does not exist"):
            playback.encode_recording(path, None, None)


def played(decoder, ids, seed=0, length=300, until_turn=False) -> list[playback.PlayedChunk]:
    return list(playback.play(decoder, ids, seed, length, until_turn, delays.DEFAULT_QUANTILES))


def test_play_is_what_the_decoder_samples(decoder):
    ids = [PAD, SERVER]
    chunks = played(decoder, ids)
    assert sum(len(chunk.payload) for chunk in chunks) == 300
    decoder.start(0, ids, 0)
    stream_ids = list(ids)
    while (np.array(stream_ids) < PAD).sum() < 300:
        stream_ids += decoder.step([0])[0]
    stream = turns.decode(np.array(stream_ids + [SHORT] * (stream_ids[-1] in (CLIENT, SERVER))))
    expected, begin = [], 0
    for direction, end in zip(stream.directions.tolist(), stream.ends.tolist(), strict=True):
        expected += [(direction, byte) for byte in stream.payload[begin:end].tolist()]
        begin = end
    assert [(chunk.direction, byte) for chunk in chunks for byte in chunk.payload] == expected[:300]
    assert 0 < sum(chunk.delay > 0 for chunk in chunks) <= len(stream)


def test_play_stops_before_the_next_turn(decoder):
    whole = played(decoder, [PAD, CLIENT], length=2_000)
    turn = played(decoder, [PAD, CLIENT], length=2_000, until_turn=True)
    assert turn == whole[: len(turn)]
    assert {chunk.direction for chunk in turn} == {CLIENT}
    assert 0 < sum(len(chunk.payload) for chunk in turn) < 2_000


def test_the_screen_continues_within_a_control_sequence():
    chunks = [playback.PlayedChunk(SERVER, 2.0, b"mred\xc4"), playback.PlayedChunk(CLIENT, 0.5, b"n\x1b[6n\r")]
    events = [event for _, event in playback.render([PAD, SERVER, SHORT, *b"\x1b[1;31"], chunks)]
    assert events == [(2.0, "o", "\x1b[1;31mred─"), (2.5, "i", "n\r")]


@given(st.lists(st.integers(-9_000, 90_000), min_size=1, max_size=40), st.floats(0, 1, exclude_max=True))
def test_a_delay_lies_among_those_of_the_corpus(delays_ms, uniform):
    quantiles = delays.quantiles_of(Counter(delays_ms))
    for token, low, high in [(SHORT, None, 1_000), (260, 1_001, 5_000), (LONG, 5_001, None)]:
        own = [ms for ms in delays_ms if (low is None or ms >= low) and (high is None or ms <= high)]
        seconds = delays.draw(quantiles, token, uniform)
        if own:
            assert max(0, min(own)) / 1_000 <= seconds <= max(0, *own) / 1_000 + 1e-9
        else:
            assert seconds == delays.draw(delays.DEFAULT_QUANTILES, token, uniform)


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=40))
def test_quantiles_are_those_of_all_delays_sorted(delays_ms):
    in_order = sorted(delays_ms)
    levels = [(index + 0.5) / delays.QUANTILES for index in range(delays.QUANTILES)]
    expected = [in_order[math.ceil(level * len(in_order) - 1e-9) - 1] / 1_000 for level in levels]
    assert delays.quantiles_of(Counter(delays_ms))["<|delay_short|>"] == expected


def test_the_middle_delay_is_the_median():
    assert delays.draw(delays.quantiles_of({100: 1, 200: 3, 600: 3}), SHORT, 0.5) == 0.2


def test_the_delays_of_turns_are_those_of_their_first_records():
    session = Session.from_records([*RECORDS, Record(Direction.SERVER, 900, b"x"), Record(Direction.CLIENT, -5, b"")])
    assert turns.delays_of(session).tolist() == [0, 300, 7_000, -5]
    assert len(turns.delays_of(session, keep_records=True)) == 5


def test_a_model_knows_the_delays_of_its_corpus(trained):
    manifest = Manifest.read(trained / corpus_of(Path("data/tiny")))
    config = runs.read_json(latest(trained) / runs.CONFIG_NAME)
    assert config["pauses"] == manifest.pauses
    assert len(manifest.pauses["<|delay_short|>"]) == delays.QUANTILES


@pytest.mark.parametrize("value", [None, 7, [], {"x": 1}, {"x": []}, {"x": ["1"]}, {"x": [True]}, {"x": [-1]},
                                   {"x": [math.nan]}, {"x": [math.inf]}])  # fmt: skip
def test_invalid_delays_are_not_taken(tmp_path, value):
    assert playback.read_delays(tmp_path) is None
    (tmp_path / runs.CONFIG_NAME).write_text(json.dumps({"pauses": value}))
    assert playback.read_delays(tmp_path) is None
    (tmp_path / runs.CONFIG_NAME).write_text(json.dumps({"pauses": {"x": [0, 0.5]}}))
    assert playback.read_delays(tmp_path) == {"x": [0, 0.5]}


def test_the_generate_command(trained, tmp_path):
    cast = tmp_path / "play.cast"
    shown = greylord("generate", "--length", 400, "--seed", 3, "--output", cast, cwd=trained, encoding="utf-8")
    assert shown.returncode == 0 and "note:" not in shown.stderr, shown.stderr
    raw = greylord("generate", "--length", 400, "--seed", 3, "--raw", cwd=trained, encoding="latin-1")

    run = latest(trained)
    decoder, ids = Decoder(GPT2Weights.of(modeling.load_model(run)), Sampling()), playback.encode_prompt(None, SERVER)
    quantiles = runs.read_json(run / runs.CONFIG_NAME)["pauses"]
    chunks, events = zip(*playback.render(ids, playback.play(decoder, ids, 3, 400, False, quantiles)), strict=True)
    assert raw.stdout == lines(b"".join(chunk.payload for chunk in chunks).decode("latin-1"))
    text = "".join(event.text for event in events if event.kind == "o")
    assert shown.stdout.startswith(lines(text) + "\x1b[0m\n")
    header, *rows = map(json.loads, io.StringIO(cast.read_text(encoding="utf-8")))
    assert header == {"version": 2, "width": 80, "height": 24, "title": run.name}
    assert "".join(row[2] for row in rows if row[1] == "o") == text
    moments = [(seconds, kind) for seconds, kind, _ in rows]
    assert moments == [(round(seconds, 3), kind) for seconds, kind in dict.fromkeys(event[:2] for event in events)]

    with pytest.raises(UsageError, match="already exists"):
        call("--output", str(cast))


def latest(place: Path) -> Path:
    return place / "models" / (place / "models/latest").read_text().strip()


def lines(text: str) -> str:
    """Convert line ends as `subprocess` does when it reads text."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def call(*arguments: str) -> None:
    app(["generate", *arguments], standalone_mode=False)


def test_a_model_without_delays_is_noted(trained, tmp_path):
    run = latest(trained)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((run / name).read_bytes())
    result = greylord("generate", "--model-dir", bare, "--length", 5, "--output", tmp_path / "x.cast", cwd=trained)
    assert result.returncode == 0 and "does not hold the delays" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--prompt x --from-capture y", "exclude each other"),
        ("--at 3", "name the recording with --from-capture"),
        ("--temperature -1", "temperature must be 0 or more, not -1.0"),
        ("--top-p 0", "top_p must be above 0 and at most 1, not 0.0"),
        ("--top-k -2", "top_k must be 0"),
        ("--prompt €", "the model knows bytes only"),
        ("--from-capture nix.log", "'nix.log' does not exist"),
        ("--model-dir models/nix", "There is no model folder"),
        ("--output file/x.cast", "is not a folder that you may write to"),
    ],
)
def test_wrong_calls(workplace, arguments, sentence):
    (workplace / "file").touch()
    with pytest.raises(UsageError, match=re.escape(sentence)):
        call(*arguments.split())
