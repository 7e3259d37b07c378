"""The environment of a command: paths, encodings, variables, the Hub."""

import codecs
import importlib.util
import json
import os
import typing
from pathlib import Path

import pytest
from helpers import PROJECT, commands, fails, make_run

from greylord import runs
from greylord.cli import console, places
from greylord.cli.environment import blamed_variable
from greylord.errors import GreylordError, UsageError
from greylord.files import user_path
from greylord.training.config import CONFIG, read_config

ENCODINGS = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16, little-endian": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16, big-endian": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
}


@pytest.mark.parametrize("encoded", ENCODINGS.values(), ids=ENCODINGS)
def test_json_is_read_in_the_encodings_that_editors_save(called, workplace, encoded):
    CONFIG.write_bytes(encoded('{"epochs": 3, "set": {"seed": "é"}}'))
    assert read_config(None) == ({"epochs": 3}, {"seed": "é"})
    assert runs.read_json(CONFIG)["epochs"] == 3
    folder = make_run("game_2026-01-05T10-00-00", [2.0])
    for name in (runs.HISTORY, runs.SUMMARY, runs.CONFIG_NAME):
        (folder / name).write_bytes(encoded((folder / name).read_text()))
    assert " 2.000 " in called("models").stdout
    assert called("analyze", "training", "--model-dir", folder / runs.HISTORY, "--json").returncode == 0


def test_optimize_updates_a_config_of_another_encoding(called, workplace):
    CONFIG.write_bytes('{"epochs": 3, "set": {"seed": "é"}}'.encode("utf-16"))
    assert called("optimize", "--memory-gb", 8, "--write").returncode == 0
    written = json.loads(CONFIG.read_text(encoding="utf-8"))
    assert written["epochs"] == 3 and written["set"] == {"seed": "é"} and written["batch_size"]


@pytest.mark.parametrize("content", [b"\xff\xfe{", b'{"epochs": "\xe9"}', b"", b"\xef\xbb\xbf", b"[" * 100_000])
def test_a_damaged_config_is_one_sentence(called, workplace, content):
    Path("mine.json").write_bytes(content)
    assert "'mine.json' is not JSON" in fails(called("train", "--config", "mine.json"), 2)


def test_every_path_on_the_command_line_may_begin_with_a_home():
    found = 0
    for name, command in commands().items():
        for parameter, hint in typing.get_type_hints(command, include_extras=True).items():
            if typing.get_origin(hint) is typing.Annotated and Path in (
                hint.__origin__,
                *typing.get_args(hint.__origin__),
            ):
                assert hint.__metadata__[0].parser is user_path, f"{name}, {parameter}"
                found += 1
    assert found > 15


def test_a_home_in_quotes_is_expanded(called, workplace, monkeypatch):
    monkeypatch.setenv("HOME", str(workplace / "home"))
    monkeypatch.setenv("USERPROFILE", str(workplace / "home"))
    Path("home").mkdir()
    Path("home/c.json").write_text('{"epoch": 1}')
    assert "home/c.json' has an unknown setting 'epoch'" in fails(called("train", "--config=~/c.json"), 2)
    for arguments in (["evaluate", "--model-dir", "~/x"], ["push", "~/x", "user/x"], ["models", "compare", "~/x", "y"]):
        assert f"no model folder '{workplace}/home/x'" in fails(called(*arguments), 2)
    one, other = make_run("one", [2.0]), make_run("other", [1.0])
    assert called("models", "compare", one, other, "--output", "~/both.png").returncode == 0
    assert Path("home/both.png").exists() and not Path("~").exists()
    assert "'~nobody-of-this-name/x' begins with the home" in fails(called("push", "~nobody-of-this-name/x", "a/b"), 2)


@pytest.fixture
def asked(workplace, monkeypatch) -> list[str]:
    """The repositories that the Hub has been asked for.

    The working directory has two runs and other folders.
    """
    from greylord import hub

    found = []

    def pull(repo_id: str) -> hub.Pulled:
        found.append(repo_id)
        return hub.Pulled(Path("models/pulled"), "0", True)

    monkeypatch.setattr(hub, "pull", pull)
    for name in ("x", "sample_2026-11-24T10-11-23"):
        make_run(name, [1.0])
    Path("models/latest").write_text("x\n")
    Path("checkpoints/old").mkdir(parents=True)
    return found


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("modles/x", "models/x"),
        ("Model/x", "models/x"),
        ("modles/lates", "models/latest"),
        ("mdl/sample_2026-11-24T10-11-23", "models/sample_2026-11-24T10-11-23"),
        ("modles/smaple_2026-11-24T10-11-23", "models/sample_2026-11-24T10-11-23"),
        ("modles/nothing-of-the-kind", "models"),
        ("checkpoint/old", "checkpoints/old"),
        ("models/smaple_2026-11-24T10-11-23", "models/sample_2026-11-24T10-11-23"),
        ("smaple_2026-11-24T10-11-23", "models/sample_2026-11-24T10-11-23"),
    ],
)
def test_a_misspelt_folder_is_not_looked_up_on_the_hub(called, asked, typed, meant):
    for arguments in (["push", typed, "user/x"], ["models", "compare", typed, "x"]):
        assert f"There is no model folder {typed!r}. Did you mean {meant!r}?" in fails(called(*arguments), 2)
    with pytest.raises(UsageError, match=f"no model folder '{typed}'. Did you mean '{meant}'?"):
        places.model_folder(Path(typed))
    assert not asked


@pytest.mark.parametrize("name", ["user/majormud", "user/sample_2026-11-24T10-11-23", "user/x", "me/game"])
def test_a_name_unlike_any_folder_is_looked_up_on_the_hub(asked, name, capsys):
    assert places.model_folder(Path(name)) == Path("models/pulled")
    assert asked == [name]


def test_a_pulled_repository_is_found_despite_similar_names(asked):
    folder = make_run("mine_12345678", [1.0])
    (folder / runs.ORIGIN).write_text('{"repo_id": "modles/mine"}')
    assert places.model_folder(Path("modles/mine")) == folder and not asked


@pytest.mark.parametrize("token", ["“hf_secret”", "hf secret", "hf_secret\u00e9", "hf_\x01secret", "hf_\udce9secret"])
def test_a_token_that_no_request_can_carry_is_one_sentence(called, workplace, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    for arguments in (["pull", "user/game"], ["generate", "--model-dir", "user/game"]):
        message = fails(called(*arguments), 1)
        assert "The token for the Hub has" in message and "secret" not in message


def test_an_unusable_folder_of_the_hub_client_is_one_sentence(called, workplace, monkeypatch):
    from huggingface_hub import constants

    Path("file").touch()
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(workplace / "file" / "token"))
    message = fails(called("pull", "user/game"), 1)
    assert "file/token' cannot be used (Not a directory); set HF_HOME to a folder" in message


def test_an_error_of_the_hub_client_is_one_sentence(monkeypatch):
    from greylord import hub

    for error in (PermissionError(13, "Permission denied", "/root/cache"), ValueError("odd"), OSError("broken")):
        with (
            pytest.raises(GreylordError, match=r"set HF_HOME|The Hub broke off"),
            hub._hub_errors("a/b"),
        ):
            raise error


@pytest.mark.parametrize("address", ["nonsense", "ftp://hub", "https://", "http://[::1", "http://hub:port"])
def test_an_invalid_hub_address_is_one_sentence(called, workplace, monkeypatch, address):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setenv("HF_ENDPOINT", address)
    result = called("pull", "user/game")
    assert f"HF_ENDPOINT is {address!r}, which is not" in fails(result, result.returncode) and result.returncode


@pytest.mark.parametrize("columns", ["0", "00", "", "1", "abc", "-3"])
def test_any_width_is_enough_to_print(called, workplace, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(console.out, "_width", int(columns) if columns.isdigit() else None)
    assert "no runs in models yet" in called("models").stdout
    assert len(called("models", "--help").stdout.split()) > 5


def test_a_working_directory_that_is_gone_is_one_sentence(called, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        assert "The working directory has been deleted" in fails(called("models"), 2)
    finally:
        monkeypatch.chdir(PROJECT)


@pytest.mark.parametrize(
    ("name", "value", "module"),
    [
        ("HF_HUB_DOWNLOAD_TIMEOUT", "abc", "huggingface_hub.constants"),
        ("HF_HUB_ETAG_TIMEOUT", "1.5", "huggingface_hub.constants"),
        ("HF_DATASETS_IN_MEMORY_MAX_SIZE", "abc\x1b", "datasets.config"),
    ],
)
def test_a_variable_that_a_library_cannot_use_is_one_sentence(called, workplace, monkeypatch, name, value, module):
    spec = importlib.util.find_spec(module)
    monkeypatch.setenv(name, value)
    # Imported anew, but not for the other tests.
    monkeypatch.setattr(runs, "all_runs", lambda: spec.loader.exec_module(importlib.util.module_from_spec(spec)))
    message = fails(called("models"), 1)
    assert f"The environment variable {name} cannot be used (" in message and message.strip().isprintable()


def test_a_variable_is_blamed_only_for_its_own_value(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "abc")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("GREYLORD_OTHER", "def")

    def blamed(code: str, file: str = "library.py") -> str | None:
        try:
            exec(compile(code, file, "exec"), {})
        except Exception as error:
            # Its first frame is this one, which is greylord's in a command.
            return blamed_variable(error)

    assert blamed("raise ValueError('Unknown mixed_precision mode: ABC.')") == "ACCELERATE_MIXED_PRECISION"
    wrapped = "try:\n raise ValueError('is abc')\nexcept ValueError as e:\n raise ImportError('no') from e"
    assert blamed(wrapped) == "ACCELERATE_MIXED_PRECISION"
    for code in ("'is 2'", "'is def'", "'is abcd'", "''"):
        assert blamed(f"raise ValueError({code})") is None
    assert blamed("raise KeyError('abc')") is None
    assert blamed("raise ValueError('is abc')", str(PROJECT / "greylord" / "runs.py")) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_or_a_folder_as_config_is_one_sentence(called, workplace):
    os.mkfifo("pipe.json")
    Path("folder.json").mkdir()
    for name, why in (("pipe.json", "it is not a regular file"), ("folder.json", "Is a directory")):
        assert f"{name!r} cannot be read: {why}." in fails(called("train", "--config", name), 2)


@pytest.mark.parametrize("content", [b"\xff\xfe\xe9", b"a\0b", b"\x1b[31mx", b"../nowhere"])
def test_a_damaged_latest_is_one_sentence(called, asked, content):
    Path("models/latest").write_bytes(content)
    message = fails(called("generate"), 2)
    assert "There is no model folder 'models/" in message and message.strip().isprintable()
