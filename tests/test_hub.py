"""Publishing and fetching, by the genuine client in a process of its own, against a small Hub on loopback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import PROJECT
from hub_server import CUT, TOKEN, Hub, Repository
from safetensors.torch import load_file, save_file

from greylord import runs
from greylord.model import fresh
from greylord.tokenizer import GreylordTokenizer, write_vocabulary

REPOSITORY = "user/majormud"


@pytest.fixture
def hub():
    with Hub() as hub:
        yield hub


@pytest.fixture
def model(workplace) -> Path:
    """A small model's folder, with a checkpoint and a pickle lying about."""
    torch.manual_seed(0)
    folder = Path("models/run")
    made = fresh(16)
    made.save_pretrained(folder)
    GreylordTokenizer(16).save_pretrained(folder)
    write_vocabulary(folder)
    config = {"credentials": "masked", "dataset_folder": "/home/somebody/data/game", "continued_from": None}
    (folder / runs.CONFIG_NAME).write_text(json.dumps(config))
    (folder / "README.md").write_text('---\nlicense: mit\n---\nAutoTokenizer.from_pretrained(".")\n')
    (folder / "training_args.bin").write_bytes(b"\x80\x04")
    (folder / "checkpoints/checkpoint-1").mkdir(parents=True)
    (folder / "checkpoints/checkpoint-1/trainer_state.json").write_text("{}")
    return folder


def greylord(hub: Hub, *arguments: str, token: str | None = TOKEN, home: str = "home") -> subprocess.CompletedProcess:
    """The command line with a home of its own, which reaches nothing but `hub`."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {
        "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HOME": str(Path(home).resolve()), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(PROJECT), "COLUMNS": "100",
    } | ({"HF_TOKEN": token} if token else {})  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "greylord", *arguments], capture_output=True, text=True, timeout=120, env=environment
    )


def sentence(result: subprocess.CompletedProcess, code: int) -> str:
    """The one sentence of a call that fails."""
    assert result.returncode == code, (result.stdout, result.stderr)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in result.stderr
    return line


def on_main(hub: Hub) -> dict[str, bytes]:
    return hub.repositories[REPOSITORY].find("main")[1]


def test_pushed_and_pulled_in_an_empty_home_a_model_is_the_same(hub, model):
    pushed = greylord(hub, "push", "models/run", REPOSITORY, "--private")
    assert pushed.returncode == 0, pushed.stderr
    files = on_main(hub)
    assert hub.repositories[REPOSITORY].private
    assert set(files) == {
        "model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "vocab_to_int.json", "int_to_vocab.json", runs.CONFIG_NAME, "README.md",
    }  # fmt: skip
    assert b"somebody" not in b"".join(files.values()) and b'from_pretrained("user/majormud")' in files["README.md"]

    again = greylord(hub, "push", "models/run", REPOSITORY)
    assert again.returncode == 0 and len(hub.repositories[REPOSITORY].branches["main"]) == 2

    shutil.move("models", "before")
    pulled = greylord(hub, "pull", REPOSITORY, home="empty")
    assert pulled.returncode == 0, pulled.stderr
    commit = hub.repositories[REPOSITORY].find("main")[0]
    folder = Path("models", f"majormud_{commit[:8]}")
    assert json.loads((folder / "origin.json").read_text()) == {"repo_id": REPOSITORY, "revision": commit}
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "origin.json"} == files
    before, after = load_file("before/run/model.safetensors"), load_file(folder / "model.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert "is there already" in greylord(hub, "pull", REPOSITORY, home="empty").stdout


def test_a_branch_and_what_should_not_lie_there(hub, model):
    greylord(hub, "push", "models/run", REPOSITORY)
    hub.commit(REPOSITORY, "main", {**on_main(hub), "training_args.bin": b"\x80\x04"})
    (model / "README.md").write_text("changed")
    assert greylord(hub, "push", "models/run", REPOSITORY, "--revision", "next").returncode == 0
    assert greylord(hub, "push", "models/run", REPOSITORY).returncode == 0
    assert "training_args.bin" not in on_main(hub)
    assert hub.repositories[REPOSITORY].find("next")[1]["README.md"] == b"changed"
    assert greylord(hub, "pull", REPOSITORY, "--revision", "next").returncode == 0
    assert "no such revision" in sentence(greylord(hub, "pull", REPOSITORY, "--revision", "nix"), 2)


@pytest.mark.parametrize(
    "failure", [("POST", "/repos/create", 500), ("PUT", "/store/", CUT), ("PUT", "/store/", 500), ("POST", "/commit/", 409)]
)  # fmt: skip
def test_a_push_that_fails_is_repeated_and_loses_nothing(hub, model, failure):
    hub.failures = [failure] * 20
    result = greylord(hub, "push", "models/run", REPOSITORY)
    if result.returncode:
        assert "repeat the command" in sentence(result, 1)
        assert REPOSITORY not in hub.repositories or not on_main(hub)
    hub.failures = []
    assert greylord(hub, "push", "models/run", REPOSITORY).returncode == 0
    assert on_main(hub)["model.safetensors"] == (model / "model.safetensors").read_bytes()


def test_an_error_of_a_moment_is_got_over(hub, model):
    hub.failures = [("POST", "/preupload/", 500), ("PUT", "/store/", 503)]
    assert greylord(hub, "push", "models/run", REPOSITORY).returncode == 0
    assert not hub.failures and "model.safetensors" in on_main(hub)


def test_tokens(hub, model):
    assert "There is no token for the Hub" in sentence(greylord(hub, "push", "models/run", REPOSITORY, token=None), 1)
    assert not hub.requests
    assert "refuses the token" in sentence(greylord(hub, "push", "models/run", REPOSITORY, token="hf_wrong"), 1)


def test_what_must_not_leave(hub, model):
    def refused() -> str:
        return sentence(greylord(hub, "push", "models/run", REPOSITORY, "--dry-run"), 1)

    listed = greylord(hub, "push", "models/run", REPOSITORY, "--dry-run")
    assert listed.returncode == 0 and "model.safetensors" in listed.stdout and "checkpoint" not in listed.stdout
    (model / runs.CONFIG_NAME).write_text('{"credentials": "kept"}')
    assert "has read passwords in clear" in refused() and "--mask-credentials" in refused()
    (model / runs.CONFIG_NAME).unlink()
    assert "does not tell whether" in refused()
    weights = load_file(model / "model.safetensors")
    weights["transformer.wpe.weight"][3, 5] = float("nan")
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    assert "no numbers (transformer.wpe.weight)" in refused()
    assert not hub.requests


def test_what_is_not_fetched(hub, workplace):
    assert "There is no repository 'user/nix'" in sentence(greylord(hub, "pull", "user/nix"), 2)
    assert "write it as user/name" in sentence(greylord(hub, "pull", "nix"), 2)
    for name, files, told in [
        ("user/pickle", {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04", "modeling.py": b"exit()"}, "is no model"),
        ("user/large", {"config.json": b"{}", "tokenizer.json": bytes(30_000_000)}, "which no model needs"),
    ]:  # fmt: skip
        hub.repositories[name] = Repository(private=False)
        hub.commit(name, "main", files)
        assert told in sentence(greylord(hub, "pull", name), 1)
    assert not Path("models").exists()
    fetched = {path.rpartition("/")[2] for method, path in hub.requests if method == "GET" and "/resolve/" in path}
    assert fetched <= {"config.json"}
