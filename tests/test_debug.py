"""`greylord debug`: sound folders pass, damage is named, figures are right."""

import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import PROJECT
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from greylord import modeling, runs
from greylord.corpus.batching import BATCH_TOKENS
from greylord.corpus.windows import Rows, TrainingWindows
from greylord.diagnostics import model as model_report
from greylord.diagnostics import vocabulary as vocabulary_files
from greylord.errors import UsageError
from greylord.stream import vocabulary
from greylord.training import memory
from greylord.training.hardware import Device

NAMES, IDS, TOKENIZER = "vocab_to_int.json", "int_to_vocab.json", "tokenizer.json"


@pytest.fixture
def call(called) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process; returns exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        result = called(*arguments)
        return result.returncode, result.stdout, result.stderr

    return run


def problems_in(output: str) -> list[str]:
    """Return the problems in the output.

    Its last line is the verdict with their number.
    """
    *lines, verdict = output.rstrip().splitlines()
    problems = [line.removeprefix("✗ ") for line in lines if line.startswith("✗ ")]
    assert verdict.startswith("Unsound: ") and str(len(problems)) in verdict
    return problems


def test_the_built_in_vocabulary_and_the_committed_folder_are_sound(call, workplace):
    for arguments in [(), ("--vocab-path", PROJECT / "tokenizer"), ("--vocab-path", PROJECT / "tokenizer" / IDS)]:
        code, output, errors = call("debug", "vocab", *arguments)
        assert (code, errors) == (0, "")
        assert output.splitlines()[-1].startswith("Sound: ")
        assert "262                262             262" in output and "256 of 256" in output
        assert all(f"{index}  {token}\n" in output for index, token in enumerate(vocabulary.SPECIAL_TOKENS, 256))
    assert not list(workplace.iterdir())


SPELLINGS = {
    "the original program's": lambda value: f"byte_{value}",
    "hexadecimal": lambda value: f"0x{value:02x}",
    "sentencepiece's": lambda value: f"<0x{value:02X}>",
    "latin-1": chr,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_vocabulary_files_of_other_programs(tmp_path, spelling):
    # The original program lists its special tokens first, and some write ids as strings.
    ids = dict(zip(vocabulary.SPECIAL_TOKENS, range(256, 262), strict=True))
    ids |= {SPELLINGS[spelling](value): value for value in range(256)}
    assert all(vocabulary_files.greylord_id(name) == index for name, index in ids.items())
    (tmp_path / NAMES).write_text(json.dumps({name: str(index) for name, index in ids.items()}, indent=4))
    (tmp_path / IDS).write_text(json.dumps({index: name for name, index in ids.items()}, indent=4))
    report = vocabulary_files.inspect(tmp_path)
    assert [form.file for form in report.forms] == [NAMES, IDS] and not report.problems


def test_names_that_are_not_tokens():
    for name in ("byte_256", "byte_", "Ā", "ab", "", "0x1", "<|eos|>", "byte_-1"):
        assert vocabulary_files.greylord_id(name) is None


@pytest.mark.parametrize(
    ("file", "before", "after", "expected"),
    [
        (NAMES, ' "byte_7": 7,\n', "", f"{NAMES}: no token has the id 7."),
        (NAMES, ' "byte_7": 7,\n', "", f"not inverse to each other: only {IDS} has 'byte_7' (7)."),
        (NAMES, ' "byte_7": 7,\n', "", "only 255 of 256 bytes"),
        (NAMES, '"byte_7": 7,', '"byte_7": 7, "byte_7": 8,', f"{NAMES}: several tokens have the id 8."),
        (NAMES, '"byte_7": 7,', '"byte_7": 8,', f"{NAMES}: another id than in greylord: 'byte_7' (8)."),
        (
            NAMES,
            '"byte_7": 7,',
            '"byte_7": 7, "<|eos|>": 262,',
            f"{NAMES}: not a token of greylord: '<|eos|>' (262).",
        ),
        (NAMES, '"byte_7": 7,', '"byte_7": "seven",', "'byte_7' and 'seven' are not a name and an id"),
        (NAMES, '"byte_7": 7,', '"byte_7" 7,', f"{NAMES}: it is not JSON"),
        (IDS, '"65": "byte_65"', '"65": "byte_66"', f"{IDS}: another id than in greylord: 'byte_66' (65)."),
        (IDS, '"257": "<|client|>"', '"257": "<|server|>"', "only 5 of 6 special tokens"),
        (TOKENIZER, '"A": 65', '"Ā": 65', f"{TOKENIZER}: not a token of greylord: 'Ā' (65)."),
        (TOKENIZER, '"normalizer": null', '"normalizer": {"type": "Lowercase"}', "only 0 of 200 marked-up texts"),
        (TOKENIZER, '"model": {', '"model": [', f"{TOKENIZER}: the tokenizer cannot be loaded"),
    ],
)
def test_a_damaged_vocabulary(call, tmp_path, file, before, after, expected):
    folder = tmp_path / "vocabulary"
    shutil.copytree(PROJECT / "tokenizer", folder)
    text = (folder / file).read_text(encoding="utf-8")
    assert text.count(before) == 1
    (folder / file).write_text(text.replace(before, after), encoding="utf-8")
    code, output, errors = call("debug", "vocab", "--vocab-path", folder)
    assert (code, errors) == (1, "")
    assert any(expected in problem for problem in problems_in(output))
    # Only the damaged file is named.
    assert all(file in problem for problem in problems_in(output))


entries = st.lists(
    st.tuples(st.one_of(st.sampled_from(sorted(vocabulary.vocab_to_int())), st.text(max_size=3)), st.integers(0, 300)),
    max_size=300,
    unique_by=lambda entry: entry[0],
)


@given(entries)
@settings(max_examples=20)
def test_the_counts_of_a_form_agree_with_plain_loops(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / NAMES).write_text(json.dumps(dict(lines)))
    (form,) = vocabulary_files.inspect(folder).forms
    ids = [index for _, index in lines]
    assert form.gaps == [index for index in range(max([261, *ids]) + 1) if index not in ids]
    assert form.duplicates == sorted(index for index, times in Counter(ids).items() if times > 1)
    expected_ids = [vocabulary_files.greylord_id(name) for name, _ in lines]
    assert len(form.misplaced) == sum(
        expected not in (None, index) for expected, index in zip(expected_ids, ids, strict=True)
    )
    assert len(form.unknown) == expected_ids.count(None) and len(form.entries) == len(lines)
    alone = [
        expected
        for expected, index in zip(expected_ids, ids, strict=True)
        if expected == index and ids.count(index) == 1
    ]
    in_place = {expected for expected in alone if expected_ids.count(expected) == 1}
    assert form.wrong_ids.isdisjoint(alone)
    assert len([value for value in in_place if value < 256]) <= form.passed["bytes"] <= 256


@pytest.mark.parametrize("path", ["nowhere", "empty", "other.json", f"empty/{NAMES}"])
def test_a_path_without_a_vocabulary(call, workplace, path):
    Path("empty").mkdir()
    Path("other.json").write_text("{}")
    code, output, errors = call("debug", "vocab", "--vocab-path", path)
    assert (code, output) == (2, "")
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert all(part in errors for part in (repr(path), TOKENIZER, NAMES, IDS))


def test_a_vocabulary_as_json(call, tmp_path):
    shutil.copy(PROJECT / "tokenizer" / NAMES, tmp_path)
    (tmp_path / IDS).write_text('{"0": "byte_1"}')
    code, output, _ = call("debug", "vocab", "--json", "--vocab-path", tmp_path)
    printed = json.loads(output)
    assert code == 1 and printed["sound"] is False and printed["problems"]
    names, ids = printed["forms"]
    assert dict(names["entries"]) == vocabulary.vocab_to_int()
    assert (ids["entries"], ids["misplaced"], len(ids["gaps"])) == ([["byte_1", 0]], [["byte_1", 0]], 261)
    assert printed["samples"]["bytes"] == names["passed"]["bytes"] == 256 and ids["passed"]["bytes"] == 0


@pytest.fixture(autouse=True)
def small_steps(monkeypatch) -> None:
    """Make training steps of a few windows, which are quick."""
    monkeypatch.setitem(BATCH_TOKENS, "cpu", 256)


@pytest.fixture
def in_trained(trained, monkeypatch) -> Path:
    """The folder of the trained model.

    The working directory holds its corpus.
    """
    monkeypatch.chdir(trained)
    (folder,) = Path("models").glob("tiny_*")
    return folder


@pytest.fixture
def copied(in_trained, tmp_path) -> Path:
    """A copy of the model that a test may damage."""
    return shutil.copytree(in_trained, tmp_path / "model")


def test_a_trained_model_is_sound_and_not_changed(call, in_trained):
    def files() -> dict:
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path.cwd().rglob("*") if path.is_file()}

    before = files()
    code, output, errors = call("debug", "model")
    assert (code, errors) == (0, "")
    assert output.splitlines()[-1].startswith("Sound: ")
    assert "corpora/tiny" in output and "5.568" in output and "13 of 13" in output
    assert re.search(r"positions +8,192\n", output) and re.search(r"total +835,072\n", output)
    assert files() == before


def test_the_files_of_a_model_are_those_that_a_run_leaves(in_trained):
    files = {path.name for path in in_trained.iterdir()}
    assert files == {*runs.USE_FILES, *runs.RECORD_FILES}


def test_the_parameters_agree_with_a_count_by_hand(in_trained):
    weights = model_report.inspect(in_trained).weights
    width, layers, context = 128, 4, 64
    block = {
        "norms": 2 * 2 * width,
        "attention": width * 3 * width + 3 * width + width * width + width,
        "MLP": width * 4 * width + 4 * width + 4 * width * width + width,
    }
    assert weights.blocks == {
        "embedding": {"all": 262 * width},
        "positions": {"all": context * width},
        **{f"block {index}": block for index in range(layers)},
        "final norm": {"all": 2 * width},
    }
    assert weights.positions == context * width
    assert weights.without_positions == 262 * width + layers * sum(block.values()) + 2 * width
    stored = load_file(in_trained / "model.safetensors")
    assert weights.dtypes == {"float32": len(stored)} and weights.tied
    largest = {name: max(abs(value) for value in tensor.flatten().tolist()) for name, tensor in stored.items()}
    assert (weights.largest_in, weights.largest) == max(largest.items(), key=lambda item: item[1])


def test_the_training_step_agrees_with_a_plain_one(in_trained):
    windows = TrainingWindows(Rows(Path("corpora/tiny"), "train"), 64)
    chosen = [windows[index] for index in (0, 3, len(windows) - 1)]
    reference = modeling.load_model(in_trained)
    nats, tokens = 0.0, 0
    for window in chosen:
        ids = torch.tensor(window["input_ids"].astype("int64"))
        nats += torch.nn.functional.cross_entropy(reference(ids[None]).logits[0, :-1], ids[1:], reduction="sum")
        tokens += len(ids) - 1
    (nats / tokens).backward()
    squares = sum(float((parameter.grad**2).sum()) for parameter in reference.parameters())
    model = modeling.load_model(in_trained)
    step = memory.step(model, chosen, Device("cpu", False, "here"))
    assert (step.windows, step.tokens, step.device) == (3, 3 * 64, "here")
    assert step.loss == pytest.approx(float(nats.detach()) / tokens, rel=1e-5)
    assert step.gradient_norm == pytest.approx(math.sqrt(squares), rel=1e-4)
    assert step.tokens_per_second == step.tokens / step.seconds and step.peak_memory_bytes > 10**6
    again = memory.step(model, chosen, Device("cpu", False, "here"))
    assert again.loss < step.loss


def test_the_step_uses_the_models_own_corpus_or_the_realm(copied):
    own = model_report.inspect(copied)
    assert own.data == "corpora/tiny" and own.step.windows > 0
    (copied / "training_config.json").unlink()
    other = model_report.inspect(copied)
    assert other.data == "the built-in realm" and other.missing == ["training_config.json"]
    assert 0 < other.step.loss < model_report.UNIFORM_NATS == math.log(262) and not other.problems


def change_weights(folder: Path, change: Callable[[dict], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


MATRIX = "transformer.h.1.mlp.c_fc.weight"
BIAS = "transformer.h.1.mlp.c_fc.bias"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t[MATRIX][3, 4:6].fill_(math.nan), f"{MATRIX} has 2 weights of 65,536 that are NaN or infinite."),
        (lambda t: t[BIAS][:1].fill_(-math.inf), f"{BIAS} has 1 weight of 512 that are NaN or infinite."),
        (lambda t: t[MATRIX].fill_(math.nan), "The loss of a training step is nan."),
        (lambda t: t[MATRIX].zero_(), f"{MATRIX} is all zero."),
        (lambda t: t[MATRIX][3, 4:5].fill_(-101), f"{MATRIX} has weights up to 101, beyond 100."),
        (lambda t: t.update({"lm_head.weight": t["transformer.wte.weight"] + 1}), "lm_head.weight is not tied"),
        (lambda t: t["transformer.ln_f.weight"].mul_(50), "is above the 5.57 of guessing, ln 262."),
        (lambda t: t.pop(MATRIX), f"does not have the weights of its config.json: {MATRIX} is missing."),
    ],
)
def test_damaged_weights(call, copied, change, expected):
    change_weights(copied, change)
    code, output, errors = call("debug", "model", "--model-dir", copied)
    assert (code, errors) == (1, "")
    assert any(expected in problem for problem in problems_in(output))


def test_biases_may_be_zero_and_weights_of_half_precision(copied):
    def halve(tensors: dict) -> None:
        tensors[BIAS].zero_()
        tensors.update({name: tensor.bfloat16() for name, tensor in tensors.items()})

    change_weights(copied, halve)
    report = model_report.inspect(copied)
    assert not report.problems and list(report.weights.dtypes) == ["bfloat16"]


@pytest.mark.parametrize(
    ("file", "key", "value", "expected"),
    [
        ("config.json", "bos_token_id", 50256, "bos_token_id of config.json is 50256, outside the 262 tokens."),
        ("generation_config.json", "eos_token_id", [256, 262], "is [256, 262], outside the 262 tokens."),
        (
            "tokenizer_config.json",
            "model_max_length",
            8192,
            "model_max_length is 8,192, but the model has 64 positions.",
        ),
        ("config.json", "n_positions", 65, "wpe.weight has the shape [64, 128], not [65, 128]."),
    ],
)
def test_damaged_settings(call, copied, file, key, value, expected):
    content = json.loads((copied / file).read_text())
    (copied / file).write_text(json.dumps({**content, key: value}))
    code, output, errors = call("debug", "model", "--model-dir", copied)
    assert (code, errors) == (1, "")
    assert any(expected in problem for problem in problems_in(output))


@pytest.mark.parametrize("file", runs.USE_FILES[2:])
def test_missing_files(call, copied, file):
    (copied / file).unlink()
    code, output, _ = call("debug", "model", "--model-dir", copied)
    assert code == 1 and "12 of 13" in output
    (problem,) = problems_in(output)
    assert file in problem


def test_a_truncated_file_of_weights(call, copied):
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    code, output, _ = call("debug", "model", "--model-dir", copied, "--json")
    printed = json.loads(output)
    assert code == 1 and printed["weights"] is printed["step"] is None
    assert len(printed["problems"]) == 1 and "cannot be loaded" in printed["problems"][0]


def test_a_model_as_json(call, copied):
    change_weights(copied, lambda tensors: tensors[MATRIX].fill_(math.nan))
    code, output, _ = call("debug", "model", "--model-dir", copied, "--json")
    printed = json.loads(output, parse_constant=pytest.fail)
    assert (code, printed["sound"], printed["context"], printed["max_length"]) == (1, False, 64, 64)
    assert printed["step"]["loss"] is None and printed["step"]["tokens"] == 64 * printed["step"]["windows"]
    assert printed["ids"]["config.json"] == dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 256)


def test_folders_that_do_not_hold_a_model(copied, workplace):
    for change, sentence in [
        ({"vocab_size": 50257}, "holds a gpt2 of 50257 tokens"),
        ({"n_positions": "many"}, "has a config.json that does not describe a GPT-2"),
    ]:
        content = json.loads((copied / "config.json").read_text())
        (copied / "config.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(UsageError, match=sentence):
            model_report.inspect(copied)
        (copied / "config.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match="is not a model folder"):
        model_report.inspect(workplace)
