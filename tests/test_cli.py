"""The command line: help, errors of one sentence, flags in them, and exit codes."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from helpers import PROJECT, commands, fails, greylord

from greylord.cli import advice, train
from greylord.errors import GreylordError, SettingError, UsageError
from greylord.training.config import TrainingConfig

README = (PROJECT / "README.md").read_text() if (PROJECT / "README.md").exists() else ""


@pytest.mark.parametrize("name", commands())
def test_every_command_is_in_the_readme_and_has_help_with_an_example(name, tmp_path):
    assert f"greylord {name}" in README
    result = greylord(*name.split(), "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert f"Example: greylord {name}" in re.sub(r"\s+", " ", result.stdout)


@pytest.mark.parametrize("name", commands())
def test_help_fits_80_columns(called, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    _, *details, _example = (commands()[name].__doc__ or "").strip().split("\n\n")
    # typer wraps the first paragraph, and keeps the line breaks of the others.
    assert all(len(line) <= 78 for paragraph in details for line in map(str.strip, paragraph.splitlines()))
    shown = called(*name.split(), "--help").stdout
    assert all(len(line) <= 80 for line in shown.splitlines()) and "…" not in shown


def test_help_imports_nothing_heavy():
    code = "import sys; sys.argv[1:] = ['train', '--help']\nfrom greylord.cli import main\n"
    check = "try: main()\nexcept SystemExit: print('HEAVY', {'torch', 'transformers', 'datasets'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code + check], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert "HEAVY set()" in result.stdout


@dataclass
class Refusal:
    """An error, what the command line prints for it, and the exit code."""

    error: GreylordError
    sentence: str
    code: int


class _MissingFileError(UsageError):
    def __init__(self, sentence: str, path: str) -> None:
        super().__init__(sentence)
        self.path = path


class _MissingLogError(_MissingFileError):
    """A class without advice of its own."""


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(GreylordError("The disk is full."), "The disk is full.", 1),
        Refusal(
            SettingError("time_budget and max_steps exclude each other.", "time_budget", "max_steps"),
            "--time-budget and --max-steps exclude each other.",
            2,
        ),
        # A value that reads like a setting, a longer name and a setting that is not given stay as they are.
        Refusal(
            SettingError("preset must be a name, not 'preset'; my_preset and seed are not.", "preset"),
            "--preset must be a name, not 'preset'; my_preset and seed are not.",
            2,
        ),
        Refusal(SettingError("eval_steps is 0.", "eval_steps"), "--set eval_steps is 0.", 2),
        Refusal(SettingError("max_bytes is 0.", "max_bytes"), "--length is 0.", 2),
        Refusal(_MissingFileError("There is no file.", "a.log"), "There is no file. Type `make a.log`.", 2),
        Refusal(_MissingLogError("There is no log.", "b.log"), "There is no log. Type `make b.log`.", 2),
        Refusal(_MissingFileError("There is no name.", ""), "There is no name.", 2),
    ],
)
def test_the_command_line_adds_flags_and_advice_to_errors(monkeypatch, refusal):
    table = {_MissingFileError: lambda error: f"Type `make {error.path}`." if error.path else ""}
    monkeypatch.setattr(advice, "ADVICE", table)
    assert advice.sentence(refusal.error) == refusal.sentence
    assert advice.exit_code(refusal.error) == refusal.code
    prefixed = advice.prefixed("Not done.", refusal.error)
    assert str(prefixed) == f"Not done. {refusal.sentence}" and advice.exit_code(prefixed) == refusal.code


def test_every_setting_has_the_flag_that_errors_name(called):
    shown = called("train", "--help").stdout
    for field in fields(TrainingConfig):
        assert re.search(rf"{advice.flag(field.name)}\b", shown), field.name


def test_details_of_training_are_for_verbose(capsys):
    for verbose in (False, True):
        say = train.printer(verbose)
        say("model", "GPT-2")
        say("kernel", "fused", detail=True)
        shown = capsys.readouterr().out
        assert "GPT-2" in shown and ("fused" in shown) is verbose


def test_config_json_holds_the_defaults():
    config = json.loads((PROJECT / "config.json").read_text())
    assert config.pop("set") == {}
    for name, value in config.items():
        assert getattr(TrainingConfig(), name) == value


def test_without_a_dataset_the_only_one_is_taken_or_all_are_named(called, workplace):
    assert fails(called("train"), 2) == (
        "error: There is no dataset under data/. Make one with `greylord data sample sample`.\n"
    )
    for name in ("game", "other"):
        Path("data", name).mkdir(parents=True)
    assert "game, other" in fails(called("train"), 2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            "train --dataset game --context-window 9000",
            "--context-window must be a whole number from 16 to 8,192, not 9000",
        ),
        ("train --dataset game --set learing_rate=1", "'learing_rate' is not a field of TrainingArguments. Did"),
        ("train --dataset game --set adam_beta1=abc", "invalid float value: 'abc'"),
        ("train --dataset game --set max_steps=1", "--set max_steps is not allowed; use --max-steps."),
        ("train --dataset game --set foo", "--set 'foo' must have the form field=value"),
        ("train --dataset game --epochs 0", "--epochs must be a whole number from 1 to 1,000,000,000, not 0"),
        ("train --dataset game --epochs abc", "'abc'"),
        ("train game", "--dataset game. See `greylord train --help`"),
        ("analyze data game", "--dataset game. See `greylord analyze data --help`"),
        ("generate --temperature -1", "error: --temperature must be 0 or more, not -1"),
        ("generate --top-k -1", "error: --top-k must be"),
        ("generate --top-p 2", "error: --top-p must be"),
        ("train --dataset game --data-dir .", "--dataset and --data-dir exclude each other"),
        ("train --dataset game --config nix.json", "'nix.json' cannot be read"),
        ("train --dataset game --config typo.json", "unknown setting 'epoch'. Did you mean 'epochs'?"),
        ("train --dataset game --config broken.json", "'broken.json' is not JSON: Expecting property name"),
        ("train --dataset game --config wrong.json", "error: 'wrong.json': learning_rate must be"),
        ("train --dataset game --model-path models/nix", "There is no model folder 'models/nix'"),
        ("train --dataset game --model-path old", "is not a model folder: it has no config.json"),
        ("train --dataset game --model-path gpt2", "holds a gpt2 of 50257 tokens"),
        ("train --dataset gmae", "There is no dataset 'gmae'; data/ has: game. Did you mean 'game'?"),
        ("evaluate --model-dir old --data-dir data/game", "is not a model folder"),
        ("evaluate", "There is no model folder 'models/latest'"),
        ("data copy nowhere game", "There is nothing at 'nowhere'"),
        ("data copy text ../up", "cannot be a dataset's name"),
        ("data prune game", "Give --min-size, --pattern or both"),
        ("data prune game --min-size tiny", "'tiny' is not a size"),
        ("data prune game --pattern a.log b.log c.log", "quote the pattern"),
        ("data prune game --min-size 1MB", "add --yes to prune"),
        ("data sample game", "already exists"),
        ("data build game --val-split 1", "--val-split must lie between 0.01 and 0.9, not 1"),
        ("data build game --val-split nan", "--val-split must lie between 0.01 and 0.9, not nan"),
        ("data show nix", "There is no dataset 'nix'"),
        ("push old user/game", "is not a model folder"),
    ],
)
def test_wrong_calls(called, workplace, arguments, sentence):
    Path("data/game").mkdir(parents=True)
    Path("data/game/a.log").write_bytes(b"<|server|><|delay#0.1|>x")
    Path("old").mkdir()
    Path("old/pytorch_model.bin").write_bytes(b"\x80\x04")
    Path("gpt2").mkdir()
    Path("gpt2/config.json").write_text('{"model_type": "gpt2", "vocab_size": 50257}')
    Path("gpt2/model.safetensors").write_bytes(b"")
    Path("text").mkdir()
    Path("typo.json").write_text('{"epoch": 3}')
    Path("broken.json").write_text("{")
    Path("wrong.json").write_text('{"learning_rate": 3}')
    before = set(workplace.rglob("*"))
    assert sentence in fails(called(*arguments.split()), 2)
    assert set(workplace.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train --dataset empty", "'data/empty' is empty"),
        ("generate --model-dir user/game", "no model folder 'user/game'. The Hub cannot be reached"),
        ("train --dataset text", "The only file of 'text' is not a recording"),
        ("train --dataset tiny", "too little to divide"),
        ("data build text", "The only file of 'text' is not a recording"),
        ("data copy data/text other", "There is no recording in 'data/text'"),
        ("evaluate --model-dir model --data-dir data/text", "cannot be loaded"),
    ],
)
def test_failed_jobs(called, workplace, arguments, sentence):
    for name, content in [("empty", None), ("text", b"\x00\xff no capture"), ("tiny", b"<|server|><|delay#0.1|>x")]:
        Path("data", name).mkdir(parents=True)
        if content:
            Path("data", name, "file").write_bytes(content)
    Path("model").mkdir()
    Path("model/config.json").write_text('{"model_type": "gpt2", "vocab_size": 262}')
    Path("model/model.safetensors").write_bytes(b"no tensors")
    assert sentence in fails(called(*arguments.split()), 2 if "evaluate" in arguments else 1)
    assert {path.name for path in workplace.iterdir()} == {"data", "model"}


def test_the_error_for_an_archive_says_to_unpack_it(workplace):
    Path("logs").mkdir()
    Path("logs/all.tar.xz").write_bytes(b"\xfd7zXZ\x00")
    sentence = fails(greylord("data", "copy", "logs", "game", cwd=workplace), 1)
    assert sentence.endswith("There is no recording in 'logs'. Unpack 'logs/all.tar.xz' first.\n")


def test_pruning_lists_or_removes_files(workplace):
    Path("data/game").mkdir(parents=True)
    for name, size in [("a.log", 10), ("b", 10_000), ("c", 20_000)]:
        Path("data/game", name).write_bytes(bytes(size))
    dry = greylord("data", "prune", "game", "--size", "1KB", "--dry-run", cwd=workplace)
    assert dry.returncode == 0 and "a.log  (smaller than 1.0 kB)" in dry.stdout
    assert len(list(Path("data/game").iterdir())) == 3
    over_half = greylord("data", "prune", "game", "--pattern", "*.log", "--yes", cwd=workplace)
    assert over_half.returncode == 0 and "over half" in over_half.stderr
    assert [path.name for path in Path("data/game").iterdir()] == ["a.log"]
    assert sorted(path.name for path in Path("data/.pruned/game").iterdir()) == ["b", "c"]


def test_the_output_of_data_commands(called, workplace):
    assert called("data", "sample", "game", "--recordings", 4, "--minutes", 0.5).returncode == 0
    assert "not built yet" in called("data", "show", "game").stdout
    built = called("data", "build", "game")
    assert "has been built" in built.stdout and "recordings" in built.stdout
    again = called("data", "build", "game", "--json")
    manifest = json.loads(again.stdout)
    assert manifest["dialects"]["v3"]["recordings"] == 4
    shown = called("data", "show", "game")
    assert f"{manifest['dialects']['v3']['payload_bytes']['server']:,}" in shown.stdout
    assert json.loads(called("data", "show", "game", "--json").stdout)["files"] == 4


def test_passwords_are_masked_unless_the_build_keeps_them(workplace):
    Path("logs").mkdir()
    login = (
        b"<|server|><|delay#0.1|>Password: <|client|><|delay#0.1|>hush\r" + b"<|server|><|delay#0.1|>Hello.\r\n" * 99
    )
    for hour in range(4):
        Path("logs", f"{1_750_000_000 + 7_200 * hour}_a.log").write_bytes(login + b"Hour %d" % hour)
    copied = greylord("data", "redact", "logs", "game", cwd=workplace)
    assert copied.returncode == 0 and "4 logins, 16 bytes" in copied.stdout
    assert all(path.read_bytes().startswith(login.replace(b"hush", b"****")) for path in Path("data/game").iterdir())
    masked = greylord("data", "build", "./logs", "--json", cwd=workplace)
    assert json.loads(masked.stdout)["settings"]["keep_credentials"] is False
    kept = greylord("data", "build", "./logs", "--keep-credentials", cwd=workplace)
    assert kept.returncode == 0 and "Share neither it nor a model trained on it" in kept.stderr
    assert "Share neither" in greylord("data", "show", "./logs", cwd=workplace).stderr


def test_the_same_seed_samples_the_same_recordings(workplace):
    for name, seed in [("a", 5), ("b", 5), ("c", 6)]:
        greylord("data", "sample", name, "--recordings", 2, "--minutes", 0.3, "--seed", seed, cwd=workplace)
    a, b, c = ({path.name: path.read_bytes() for path in Path("data", name).iterdir()} for name in "abc")
    assert a == b != c and len(a) == 2
