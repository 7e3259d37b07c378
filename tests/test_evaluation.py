"""The figures of --deep and --surprise, against slow, obvious versions."""

import json
import lzma
import math
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import CONTEXT, make_model, make_rows, slow_costs
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from greylord import model_folders, modeling, runs
from greylord.captures.session import Direction, Record, Session
from greylord.cli import advice, app
from greylord.corpus.windows import Rows, Span, WindowBounds
from greylord.errors import MissingDatasetError, UsageError
from greylord.evaluation import baselines, context_length, generated_play, intervals, surprisal
from greylord.evaluation import next_command as commands
from greylord.evaluation.bits_per_byte import NOTHING, Prediction, Score, bits_per_byte, score_spans
from greylord.evaluation.calibration import CalibrationTally
from greylord.evaluation.unseen import own_dataset, read_trained, read_unseen
from greylord.generation.engine import Decoder, Sampling
from greylord.stream import turns, vocabulary
from greylord.stream.turns import MAY_FOLLOW
from greylord.weights import GPT2Weights

CLIENT, SERVER = Direction.CLIENT, Direction.SERVER
WIPE = b"\x1b[79D\x1b[K"
PROMPT = WIPE + b"\x1b[0;37m[HP=46]:"


def ids_of(*records: tuple[Direction, bytes]) -> np.ndarray:
    return turns.encode(Session.from_records(Record(side, 0, payload) for side, payload in records))


@pytest.fixture(scope="module")
def player(trained):
    """A model trained on a little of the realm, and recordings unseen by it.

    The model often presses Enter.
    """
    model = modeling.load_model(model_folders.locate(trained / "models/latest")).eval()
    enter = model.transformer.wte.weight.detach()[ord("\r")]
    model.transformer.ln_f.bias.data += 12 * enter / enter.norm() ** 2
    return model, Rows(trained / "corpora/tiny", "validation")


def test_commands_are_lines_typed_at_the_prompt():
    row = ids_of(
        (SERVER, b"Your name: "), (CLIENT, b"somebody\r\n"),
        (SERVER, b"Welcome.\r\n" + PROMPT), (CLIENT, b"look\r\n"),
        (SERVER, b"look\r\nA room.\r\n" + PROMPT), (CLIENT, b"g"), (SERVER, b"g"), (CLIENT, b"ex\b\rs\r"),
        (SERVER, b"ex\b \b\r\n" + PROMPT), (CLIENT, b"\xff\xfb\x01n\r"),
        (SERVER, PROMPT + WIPE + b"A rat bites!\r\n"), (CLIENT, b"flee\r"), (SERVER, PROMPT), (CLIENT, b"\r"),
        (SERVER, PROMPT), (CLIENT, b"unfinished"),
    )  # fmt: skip
    found = commands.find_commands(row)
    assert [command.line for command in found] == [b"look", b"ge", b"s", b"n", b""]
    assert [command.first and chr(row[command.first]) for command in found] == [
        "l", "g", None, None, "\r",
    ]  # fmt: skip
    for command in found:
        if command.first is not None:
            assert row[command.first - 2 : command.first].tolist() == [vocabulary.CLIENT, vocabulary.DELAY_SHORT]


def test_trained_and_unseen_recordings_come_from_the_corpus_or_else_from_the_files(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained)
    (model,) = Path("models").glob("tiny_*")
    config = json.loads((model / runs.CONFIG_NAME).read_text())
    (tmp_path / runs.CONFIG_NAME).write_text(json.dumps({**config, "data_hash": "another"}))
    for split, part in [
        ("train", read_trained),
        ("validation", lambda folder: read_unseen(Path("data/tiny"), folder).rows),
    ]:
        expected = [row.tolist() for row in Rows(Path("corpora/tiny"), split)]
        for folder in (model, tmp_path):
            assert [row.tolist() for row in part(folder)] == expected
    (tmp_path / runs.CONFIG_NAME).write_text(json.dumps({**config, "dataset_folder": "data/gone"}))
    assert read_trained(tmp_path) == []


def test_a_model_without_its_dataset(tmp_path):
    with pytest.raises(MissingDatasetError, match="does not name the dataset") as caught:
        own_dataset(tmp_path)
    assert "--data-dir" in advice.sentence(caught.value)
    (tmp_path / runs.CONFIG_NAME).write_text(json.dumps({"dataset_folder": str(tmp_path / "gone")}))
    with pytest.raises(MissingDatasetError, match=r"gone', the dataset .* does not exist"):
        own_dataset(tmp_path)


def slow_lines(model, context: list[int], width: int) -> list[bytes]:
    """A beam search by the stock model that tries every id."""
    beam = [(0.0, ())]
    for _ in range(commands.LINE_TOKENS):
        candidates = []
        for nats, ids in beam:
            if ids and commands._has_ended(ids):
                candidates.append((nats, ids))
                continue
            before = [*context, *ids]
            with torch.no_grad():
                logits = model(torch.tensor([before])).logits[0, -1].double().numpy()
            costs = np.logaddexp.reduce(logits[MAY_FOLLOW[before[-1]]]) - logits
            candidates += [
                (nats + costs[token], (*ids, token)) for token in np.flatnonzero(MAY_FOLLOW[before[-1]]).tolist()
            ]
        beam = sorted(candidates)[:width]
    return list(dict.fromkeys(commands._line_of(ids) for _, ids in beam if commands._has_ended(ids)))


def test_the_beam_is_that_of_the_stock_model(player):
    model, rows = player
    places = [(row, command.first) for row in rows for command in commands.find_commands(row) if command.first][:6]
    contexts = [row[first - 30 : first].tolist() for row, first in places]
    decoder = Decoder(GPT2Weights.of(model), Sampling(), 5 * len(contexts))
    for width in (1, 5):
        expected = [slow_lines(model, context, width) for context in contexts]
        assert commands.beam_search(decoder, contexts, width) == expected
        assert any(expected)


@given(st.lists(st.lists(st.sampled_from([b"n", b"s", b"look"]), max_size=12), max_size=4), st.data())
def test_the_n_gram_ranks_by_counting(recordings, data):
    before = data.draw(st.lists(st.sampled_from([b"n", b"s", b"look", b"rest"]), max_size=4))
    ranked = []
    for order in (2, 1, 0):
        counts = Counter(
            lines[index]
            for lines in recordings
            for index in range(order, len(lines))
            if order <= len(before) and lines[index - order : index] == before[len(before) - order :]
        )
        ranked += sorted(counts, key=lambda line: (-counts[line], line))
    assert commands.NGram(recordings).predict(before) == list(dict.fromkeys(ranked))[:5]


def test_hits_are_counted_by_verb():
    lines, verbs = [b"n", b"n", b"get rope", b"get lamp"], ["n", "n", "get", "get"]
    answers = [[b"n"], [b"s", b"n"], [b"get rope"], []]
    assert commands._hit_rates(lines, verbs, answers) == commands.HitRates(0.5, 0.75, 0.5, 0.75)
    verbs = ["n", "n", "get", "other"]
    assert commands._hit_rates(lines, verbs, answers).macro_top_1 == pytest.approx((0.5 + 1 + 0) / 3)


def test_the_next_command_report_repeats_itself_and_has_three_predictors(player):
    model, rows = player
    report = commands.measure_next_command(model, rows, [rows[0]], sample=5)
    assert report == commands.measure_next_command(model, rows, [rows[0]], sample=5)
    assert report.turns == 5 and list(report.hits) == ["this model", "n-gram", "repeat"]
    assert "n-gram" not in commands.measure_next_command(model, rows, [], sample=2).hits
    assert commands.measure_next_command(model, [ids_of((SERVER, b"no prompt"))], []) is None


def test_calibration_against_a_loop_over_turns():
    rng, tally, seen = np.random.default_rng(0), CalibrationTally(), []
    for _ in range(3):
        ids = rng.integers(255, 262, 50).astype(np.uint16)
        logits = torch.from_numpy(rng.normal(0, 3, (50, 262))) + torch.tensor([0.0] * 259 + [9.0] * 3)
        tally.add(Prediction(WindowBounds(0, 0, 1, 51), ids, np.zeros(50, np.float32), logits))
        for token, probabilities in zip(ids.tolist(), logits.softmax(-1).tolist(), strict=True):
            if token >= 259:
                seen.append((token, probabilities[259:]))
    calibration = tally.report()

    def error(cases: list[tuple[float, bool]]) -> float:
        bins = defaultdict(list)
        for predicted, occurred in cases:
            bins[min(int(10 * predicted), 9)].append((predicted, occurred))
        return sum(abs(sum(predicted - occurred for predicted, occurred in each)) for each in bins.values()) / len(
            cases
        )

    assert calibration.turns == len(seen)
    for index, each in enumerate(calibration.delays.values()):
        cases = [(probabilities[index], token == 259 + index) for token, probabilities in seen]
        assert each.expected_calibration_error == pytest.approx(error(cases))
        assert each.predicted == pytest.approx(np.mean([predicted for predicted, _ in cases]))
        assert each.observed == pytest.approx(np.mean([occurred for _, occurred in cases]))
        assert sum(one.turns for one in each.bins) == len(seen)
    likeliest = [
        (max(probabilities), probabilities.index(max(probabilities)) == token - 259) for token, probabilities in seen
    ]
    assert calibration.expected_calibration_error == pytest.approx(error(likeliest))
    assert CalibrationTally().report() is None


def test_the_interval_resamples_groups():
    rng = np.random.default_rng(1)
    scores = [Score(*rng.uniform(1, 99, 3), *rng.integers(1, 99, 3).tolist()) for _ in range(6)]
    scores.append(NOTHING)
    groups = [0, 0, 1, 2, 2, 4, 5]
    drawn = np.random.default_rng(0).integers(4, size=(intervals.RESAMPLES, 4)).tolist()
    members = [[0, 1], [2], [3, 4], [5]]
    figures = []
    for draw in drawn:
        chosen = [scores[index] for group in draw for index in members[group]]
        figures.append(sum(each.nats for each in chosen) / math.log(2) / sum(each.payload_bytes for each in chosen))
    interval = intervals.bootstrap_interval(scores, groups)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(figures, [0.025, 0.975])))
    assert interval.groups == 4
    assert intervals.bootstrap_interval(scores[:2], [0, 0]) is None


def test_positions_and_contexts_against_single_predictions():
    rows, model = make_rows(), make_model()
    span = Span(0, 40, 150)
    nats, sizes = Counter(), Counter()
    for begin in range(39, 149, CONTEXT - 1):
        piece = rows[0][begin : min(begin + CONTEXT, 150)]
        for position, cost in enumerate(slow_costs(model, piece), start=1):
            power = 1 << position.bit_length() - 1
            nats[power] += cost
            sizes[power] += bool(piece[position] < 256)
    ranges = context_length.score_positions(model, rows, [span], CONTEXT)
    assert [(each.first, each.last) for each in ranges] == [(1, 1), (2, 3), (4, 7), (8, 15), (16, 31)]
    for each in ranges:
        expected = bits_per_byte(nats[each.first], sizes[each.first])
        assert each.bits_per_byte == pytest.approx(expected, rel=1e-5)
    lengths = context_length.score_contexts(model, rows, [span], CONTEXT)
    assert list(lengths) == [4, 8, 16, 32]
    for length, figure in lengths.items():
        assert figure == score_spans(model, rows, [span], length).bits_per_byte


def test_primed_lzma_is_the_difference_of_two_streams(monkeypatch):
    monkeypatch.setattr(baselines, "PRIMING_BYTES", 90)
    rows = make_rows()
    stream = b"".join(bytes(token & 255 for token in row.tolist()[1:]) for row in rows)
    before = stream[-90:]
    sizes = [len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) for data in (before, before + stream)]
    assert baselines.measure_primed_lzma(rows, stream, 77) == 8 * (sizes[1] - sizes[0]) / 77


@given(st.binary(max_size=40).map(lambda data: bytes(byte % 3 for byte in data)))
def test_the_longest_repeat(payload):
    longest = 0
    for begin in range(len(payload)):
        for end in range(begin + 1, len(payload) + 1):
            if payload.find(payload[begin:end], begin + 1) >= 0:
                longest = max(longest, end - begin)
    assert generated_play.longest_repeat(payload) == (longest / len(payload) if payload else 0)


def test_the_health_of_a_hand_written_stretch():
    def room(name: bytes, exits: bytes) -> bytes:
        return b"\x1b[1;36m" + name + b"\r\nAlso here: nobody.\r\n\x1b[0;32mObvious exits: " + exits + b"\r\n"

    server = PROMPT + room(b"Quay", b"nX\borth, south") + PROMPT + room(b"Quay", b"nQ\borth, south")
    server += b"\x1b[\x01 \xff\xfb\x01\xff\xf0" + room(b"Lane", b"east") + room(b"Quay", b"west") + b"\x1b[0m"
    ids = np.concatenate([np.frombuffer(server, np.uint8).astype(np.uint16), ids_of((CLIENT, b"\x1b[n\r"))[1:]])
    health = generated_play.measure_health([ids])
    assert health.server_bytes == len(server)
    escapes = server.count(b"\x1b") - 1
    assert health.valid_csi == (escapes - 1) / escapes
    assert health.valid_telnet == 1.0
    assert health.prompts_per_kilobyte == 1_000 * 2 / len(server)
    assert (health.rooms_seen_again, health.same_exits) == (2, 0.5)
    assert health.repeated == generated_play.longest_repeat(server)
    assert generated_play.measure_health([ids_of((CLIENT, b"n\r"))[1:]]).valid_csi is None


def test_stretches_continue_recordings(player):
    model, rows = player
    generated, real = generated_play.sample_stretches(model, rows, count=3, tokens=60, seed=4)
    again, _ = generated_play.sample_stretches(model, rows, count=3, tokens=60, seed=4)
    assert all((one == other).all() for one, other in zip(generated, again, strict=True))
    wholes = [row.tobytes() for row in rows]
    for one, other in zip(generated, real, strict=True):
        assert len(one) == len(other) == 60
        assert any(other.tobytes() in whole for whole in wholes)
    for payload in (b"x", b"yz"):
        generated, real = generated_play.sample_stretches(model, [ids_of((SERVER, payload))], count=2)
        assert [len(each) for each in (*generated, *real)] == [(2 + len(payload)) // 2] * 4


def test_surprisal_is_that_of_single_predictions(tmp_path):
    path = tmp_path / "call.log"
    lines = [PROMPT + b"l", b"ook\r\n\x1b[1;36mQuay\r\n", b"A rat noX\brth", WIPE + b"bites.\r\n"]
    logged = b"".join(b"<|server|><|delay#0.1|>%b<|client|><|delay#0.1|>n\r" % line for line in lines)
    path.write_bytes(logged)
    model = make_model()
    row = ids_of(*(part for line in lines for part in ((SERVER, line), (CLIENT, b"n\r"))))
    costs = np.array(slow_costs(model, row)) / math.log(2)
    measured = surprisal.measure_surprisal(model, path)
    assert measured.bits == pytest.approx(costs[row[1:] < 256], rel=1e-4)
    assert measured.bits_per_byte == pytest.approx(costs.sum() / (row < 256).sum(), rel=1e-5)
    assert bytes(turns.payload_of(row)[measured.by_client]) == b"n\rn\rn\rn\r"
    server = measured.bits[~measured.by_client]
    assert sum(line.bits for line in measured.lines) == pytest.approx(server.sum(), rel=1e-5)
    assert sorted(line.payload_bytes for line in measured.lines) == sorted(
        map(len, [PROMPT + b"look\r\n", b"\x1b[1;36mQuay\r\n", b"A rat noX\brth", WIPE + b"bites.\r\n"])
    )
    (rat,) = (line for line in measured.lines if "rat" in line.shown)
    assert rat.shown == "\x1b[0;37m\x1b[1;36mA rat north" and rat.offset == len(b"".join(lines[:2]) + b"n\rn\r")
    assert [line.bits for line in measured.lines] == sorted((line.bits for line in measured.lines), reverse=True)
    at, means = surprisal.smooth(measured, by_client=False)
    assert means == pytest.approx(server)
    assert at == pytest.approx(np.flatnonzero(~measured.by_client) + 0.5, abs=1)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_the_command_line_of_deep(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained)
    few = partial(generated_play.sample_stretches, count=2, tokens=100)
    monkeypatch.setattr(generated_play, "sample_stretches", few)
    shown = run("--deep", "--output", tmp_path / "report")
    assert shown.exit_code == 0, shown.output
    assert all(name in shown.stdout for name in ("next command", "<|delay_short|>", "rooms seen again"))
    # The corpus is smaller than the sample.
    assert "sample  all of it\n" in shown.stdout and "lzma, primed: " in shown.stdout
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.json", "commands.png", "delays.png", "context.png",
    }  # fmt: skip
    again = json.loads(run("--deep", "--json").stdout)
    assert again.pop("report") is None and report.pop("kind")
    assert again == report
    (tmp_path / "mine").mkdir()
    refused = run("--deep", "--output", tmp_path / "mine")
    assert isinstance(refused.exception, UsageError) and "not a report of --deep" in str(refused.exception)


def test_the_command_line_of_surprise(trained, workplace):
    recording, *_ = sorted((trained / "data/tiny").iterdir())
    call = ("--model-dir", trained / "models/latest", "--surprise", recording)
    shown = run(*call)
    assert shown.exit_code == 0, shown.output
    assert "\x1b" not in shown.stdout and "bits per byte of" in shown.stdout
    assert [path.name for path in workplace.iterdir()] == [f"surprise_{recording.stem}.png"]
    found = json.loads(run(*call, "--json").stdout)
    assert found["picture"] is None and len(found["lines"]) == surprisal.LINES
    (workplace / "mine.png").write_bytes(b"mine")
    for arguments, sentence in [
        ((*call, "--output", "mine.png"), "not a picture of an analysis"),
        ((*call, "--deep"), "--sample, --deep and --surprise exclude each other"),
        ((*call, "--dataset", "tiny"), "--surprise takes one recording"),
        ((*call[:-1], "mine.png"), "is not a recording"),
        (("--output", "a"), "--output is for --deep or --surprise"),
    ]:
        refused = run(*arguments)
        assert isinstance(refused.exception, UsageError) and sentence in str(refused.exception)
