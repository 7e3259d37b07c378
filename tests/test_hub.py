"""Push and pull, by the genuine client, against a small Hub on loopback.

The client runs in its own process.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
import torch
from helpers import PROJECT
from hub_server import CUT, TOKEN, Hub, Repository
from safetensors.torch import load_file, save_file

from greylord import hub as hub_client
from greylord import model_folders, runs
from greylord.corpus import arrow, segments
from greylord.modeling import new_model
from greylord.stream.tokenizer import Tokenizer, write_vocabulary
from greylord.workspace import Workspace

REPOSITORY = "user/majormud"


COMMANDS = """
import contextlib, io, json, os, sys
from greylord.cli import main
for line in sys.stdin:
    call = json.loads(line)
    os.chdir(call["folder"])
    os.environ.pop("HF_TOKEN", None)
    os.environ.update({"HF_TOKEN": call["token"]} if call["token"] else {})
    code, streams = 0, [io.TextIOWrapper(io.BytesIO()) for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            main(call["arguments"])
        except SystemExit as exit:
            code = exit.code or 0
    for stream in streams:
        stream.flush()
    print(json.dumps([code, *(stream.buffer.getvalue().decode() for stream in streams)]), flush=True)
"""
"""Runs one command after the other: the client reads most environment variables only once, when it is imported."""


def environment(hub: Hub, home: Path) -> dict[str, str]:
    """Return the environment of a process that can only reach `hub`."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return others | {
        "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(PROJECT), "COLUMNS": "100",
    }  # fmt: skip


class Client:
    """greylord in a process with its own HF_HOME that can only reach `hub`."""

    def __init__(self, hub: Hub, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMANDS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(hub, home),
        )

    def __call__(self, *arguments: str, token: str | None = TOKEN) -> subprocess.CompletedProcess:
        """Run a command in the current directory."""
        call = {"arguments": arguments, "folder": str(Path.cwd()), "token": token}
        print(json.dumps(call), file=self.process.stdin, flush=True)
        return subprocess.CompletedProcess(arguments, *json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def server():
    with Hub() as hub:
        yield hub


@pytest.fixture
def hub(server):
    """The server, empty."""
    for held in (server.repositories, server.stored, server.failures, server.requests):
        held.clear()
    return server


@pytest.fixture(scope="module")
def greylord(server, tmp_path_factory):
    client = Client(server, tmp_path_factory.mktemp("home"))
    yield client
    client.close()


@pytest.fixture
def model(workplace) -> Path:
    """The folder of a small model, with a checkpoint and a pickle in it."""
    torch.manual_seed(0)
    folder = Path("models/run")
    model = new_model(320)
    model.save_pretrained(folder)
    Tokenizer(320).save_pretrained(folder)
    write_vocabulary(folder)
    config = {"credentials": "masked", "dataset_folder": "/home/somebody/data/game", "continued_from": None}
    (folder / runs.CONFIG_NAME).write_text(json.dumps(config))
    (folder / "README.md").write_text('---\nlicense: mit\n---\nAutoTokenizer.from_pretrained(".")\n')
    (folder / "training_args.bin").write_bytes(b"\x80\x04")
    (folder / "checkpoints/checkpoint-1").mkdir(parents=True)
    (folder / "checkpoints/checkpoint-1/trainer_state.json").write_text("{}")
    return folder


def sentence(result: subprocess.CompletedProcess, code: int) -> str:
    """Check that a call failed with one error message, and return it."""
    assert result.returncode == code, (result.stdout, result.stderr)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in result.stderr
    return line


def files_on_main(hub: Hub) -> dict[str, bytes]:
    return hub.repositories[REPOSITORY].find("main")[1]


def test_a_pushed_model_is_pulled_unchanged_into_an_empty_home(greylord, hub, model, workplace):
    pushed = greylord("push", "models/run", REPOSITORY, "--private")
    assert pushed.returncode == 0, pushed.stderr
    files = files_on_main(hub)
    assert hub.repositories[REPOSITORY].private
    assert set(files) == {
        "model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "vocab_to_int.json", "int_to_vocab.json", runs.CONFIG_NAME, "README.md",
    }  # fmt: skip
    assert b"somebody" not in b"".join(files.values()) and b'from_pretrained("user/majormud")' in files["README.md"]

    again = greylord("push", "models/run", REPOSITORY)
    assert again.returncode == 0 and len(hub.repositories[REPOSITORY].branches["main"]) == 2

    shutil.move("models", "before")
    in_an_empty_home = Client(hub, workplace / "empty")
    pulled = in_an_empty_home("pull", REPOSITORY)
    assert pulled.returncode == 0, pulled.stderr
    commit = hub.repositories[REPOSITORY].find("main")[0]
    folder = Path("models", f"majormud_{commit[:8]}")
    assert json.loads((folder / "origin.json").read_text()) == {"repo_id": REPOSITORY, "revision": commit}
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "origin.json"} == files
    before, after = load_file("before/run/model.safetensors"), load_file(folder / "model.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert "(already here)" in in_an_empty_home("pull", REPOSITORY).stdout
    in_an_empty_home.close()


def test_a_repository_can_be_given_in_place_of_a_folder(greylord, hub, model):
    greylord("push", "models/run", REPOSITORY)
    first = hub.repositories[REPOSITORY].find("main")[0]
    generate = ("generate", "--model-dir", REPOSITORY, "--length", "40")
    pulled_and_generated = greylord(*generate, token=None)
    folder = f"models/majormud_{first[:8]}"
    assert pulled_and_generated.returncode == 0 and folder in pulled_and_generated.stderr
    assert json.loads(Path(folder, runs.ORIGIN).read_text())["revision"] == first
    from_folder = greylord("generate", "--model-dir", folder, "--length", "40")
    assert from_folder.stdout and from_folder.stdout == pulled_and_generated.stdout

    hub.requests.clear()
    (model / "README.md").write_text("changed")
    assert greylord(*generate).stdout == from_folder.stdout and not hub.requests
    greylord("push", "models/run", REPOSITORY)
    pulled = greylord("pull", REPOSITORY)
    assert model_folders.find_pulled(REPOSITORY) == model_folders.locate(Path(pulled.stdout.split()[1])) != Path(folder)

    assert "no repository 'user/nix'" in sentence(greylord("debug", "model", "--model-dir", "user/nix"), 2)
    assert "models/latest" in sentence(greylord("debug", "model"), 2)
    Path(REPOSITORY).mkdir(parents=True)
    assert "is not a model folder" in sentence(greylord(*generate), 2)


def test_the_stock_classes_load_the_repository_where_greylord_is_not_installed(greylord, hub, model, workplace):
    def compat(action: str, name: str) -> None:
        bare = environment(hub, workplace / "bare") | {"PYTHONPATH": "", "HF_TOKEN": TOKEN}
        command = [sys.executable, "-I", PROJECT / "tests/compat.py", action, name, "outputs.npz"]
        result = subprocess.run(command, capture_output=True, text=True, env=bare)
        assert result.returncode == 0, result.stderr

    greylord("push", "models/run", REPOSITORY)
    compat("write", REPOSITORY)
    compat("compare", "models/run")


LOAD = """
import json, sys
from datasets import load_dataset
corpus = load_dataset(sys.argv[1], token=sys.argv[2])
print(json.dumps({split: rows.to_list() for split, rows in corpus.items()}))
"""


def test_the_stock_load_dataset_gives_the_corpus(greylord, hub, workplace):
    assert greylord("data", "sample", "tiny", "--recordings", "4", "--minutes", "0.5").returncode == 0
    listed = greylord("data", "push", "tiny", REPOSITORY, "--dry-run", token=None)
    assert listed.returncode == 0 and segments.file_name("train") in listed.stdout and "3 files" in listed.stdout
    assert not hub.requests
    pushed = greylord("data", "push", "tiny", REPOSITORY, "--private")
    assert pushed.returncode == 0 and "3 files" in pushed.stdout, pushed.stderr
    assert set(files_on_main(hub)) == {"README.md", *map(segments.file_name, arrow.SPLITS)}
    assert greylord("data", "push", "tiny", REPOSITORY).returncode == 0
    assert len(hub.repositories[REPOSITORY].branches["main"]) == 2

    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, REPOSITORY, TOKEN], capture_output=True, text=True, env=environment(hub, workplace)
    )
    assert loaded.returncode == 0, loaded.stderr
    for split, rows in json.loads(loaded.stdout).items():
        expected = datasets.load_from_disk(f"corpora/tiny/{split}")
        assert [(row["name"], row["input_ids"]) for row in rows] == list(
            zip(expected["name"], expected["input_ids"], strict=True)
        )


def test_a_corpus_with_passwords_is_not_pushed(greylord, hub, workplace):
    greylord("data", "sample", "tiny", "--recordings", "4", "--minutes", "0.5")
    greylord("data", "build", "tiny", "--keep-credentials")
    refused = sentence(greylord("data", "push", "tiny", REPOSITORY), 1)
    assert "passwords in clear" in refused and "greylord data build tiny --mask-credentials" in refused
    assert not hub.requests


def test_a_trained_model_is_pushed_and_a_failed_push_loses_nothing(greylord, hub, workplace):
    greylord("data", "sample", "tiny", "--recordings", "4", "--minutes", "0.5")
    train = ("train", "--context-window", "32", "--batch-size", "4", "--max-steps", "4", "--cpu", "--push-to-hub")
    assert "write it as user/name" in sentence(greylord(*train, "nix"), 2)
    assert "no token" in sentence(greylord(*train, REPOSITORY, token=None), 1)
    assert not Path("models").exists()

    trained = greylord(*train, REPOSITORY)
    assert trained.returncode == 0, trained.stderr
    run = model_folders.locate(Path("models/latest"))
    assert files_on_main(hub)["model.safetensors"] == (run / "model.safetensors").read_bytes()

    hub.failures += [("POST", "/commit/", 409)] * 20
    failed = sentence(greylord(*train, "user/other"), 1)
    hub.failures.clear()
    assert model_folders.locate(Path("models/latest")) != run
    line = re.search(r"`greylord (push models/\S+ user/other)`", failed)[1]
    assert greylord(*line.split()).returncode == 0
    assert "model.safetensors" in hub.repositories["user/other"].find("main")[1]


def test_a_push_to_a_branch_and_the_deletion_of_pickles(greylord, hub, model):
    greylord("push", "models/run", REPOSITORY)
    hub.commit(REPOSITORY, "main", {**files_on_main(hub), "training_args.bin": b"\x80\x04"})
    (model / "README.md").write_text("changed")
    assert greylord("push", "models/run", REPOSITORY, "--revision", "next").returncode == 0
    assert greylord("push", "models/run", REPOSITORY).returncode == 0
    assert "training_args.bin" not in files_on_main(hub)
    assert hub.repositories[REPOSITORY].find("next")[1]["README.md"] == b"changed"
    assert greylord("pull", REPOSITORY, "--revision", "next").returncode == 0
    refused = sentence(greylord("pull", REPOSITORY, "--revision", "nix"), 2)
    assert "'nix'" in refused and "leave --revision out" in refused


@pytest.mark.parametrize(
    "failure",
    [
        ("POST", "/repos/create", 500),
        ("POST", "/repos/create", CUT),
        # The client itself tries again for half a minute.
        pytest.param(("PUT", "/store/", CUT), marks=pytest.mark.slow),
        ("POST", "/commit/", 409),
    ],
)
def test_a_push_that_fails_is_repeated_and_loses_nothing(greylord, hub, model, failure):
    hub.failures += [failure] * 20
    result = greylord("push", "models/run", REPOSITORY)
    if result.returncode:
        assert "nothing is lost" in sentence(result, 1)
        assert REPOSITORY not in hub.repositories or not files_on_main(hub)
    hub.failures.clear()
    assert greylord("push", "models/run", REPOSITORY).returncode == 0
    assert files_on_main(hub)["model.safetensors"] == (model / "model.safetensors").read_bytes()


def test_a_passing_error_is_retried(greylord, hub, model):
    hub.failures += [("POST", "/preupload/", 500), ("PUT", "/store/", CUT)]
    assert greylord("push", "models/run", REPOSITORY).returncode == 0
    assert not hub.failures and "model.safetensors" in files_on_main(hub)


def test_a_missing_and_a_wrong_token(greylord, hub, model):
    assert "There is no token for the Hub" in sentence(greylord("push", "models/run", REPOSITORY, token=None), 1)
    assert not hub.requests
    assert "refuses the token" in sentence(greylord("push", "models/run", REPOSITORY, token="hf_wrong"), 1)


def test_models_that_are_not_published(greylord, hub, model):
    def refused() -> str:
        return sentence(greylord("push", "models/run", REPOSITORY, "--dry-run"), 1)

    listed = greylord("push", "models/run", REPOSITORY, "--dry-run")
    assert listed.returncode == 0 and "model.safetensors" in listed.stdout and "checkpoint" not in listed.stdout
    (model / runs.CONFIG_NAME).write_text('{"credentials": "kept"}')
    assert "passwords in clear" in refused() and "--mask-credentials" in refused()
    (model / runs.CONFIG_NAME).unlink()
    assert "does not say whether" in refused()
    weights = load_file(model / "model.safetensors")
    weights["transformer.wpe.weight"][3, 5] = float("nan")
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    assert "NaN or infinite (transformer.wpe.weight)" in refused()
    assert not hub.requests


def test_repositories_that_are_not_pulled(greylord, hub, workplace):
    assert "There is no repository 'user/nix'" in sentence(greylord("pull", "user/nix"), 2)
    assert "write it as user/name" in sentence(greylord("pull", "nix"), 2)
    for name, files, reason in [
        ("user/pickle", {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04", "modeling.py": b""}, "is not a model"),
        ("user/large", {"config.json": b"{}", "tokenizer.json": bytes(30_000_000)}, "which no model needs"),
    ]:  # fmt: skip
        hub.repositories[name] = Repository(private=False)
        hub.commit(name, "main", files)
        assert reason in sentence(greylord("pull", name), 1)
    assert not Path("models").exists()
    fetched = {path.rpartition("/")[2] for method, path in hub.requests if method == "GET" and "/resolve/" in path}
    assert fetched <= {"config.json"}


def test_a_model_is_pulled_into_any_workspace(model, workplace, monkeypatch):
    class Api:
        def model_info(self, repo_id: str, **_: object) -> SimpleNamespace:
            return SimpleNamespace(sha="0123456789abcdef", siblings=[])

    monkeypatch.setattr(hub_client, "HfApi", Api)
    monkeypatch.setattr(hub_client, "snapshot_download", lambda *_, **__: str(model))
    elsewhere = Workspace(workplace / "elsewhere")
    pulled = hub_client.pull(REPOSITORY, workspace=elsewhere)
    assert pulled.new and pulled.folder == workplace / "elsewhere/models/majormud_01234567"
    assert (pulled.folder / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert not hub_client.pull(REPOSITORY, workspace=elsewhere).new
    assert model_folders.find_pulled(REPOSITORY, workspace=elsewhere) == pulled.folder
    assert model_folders.find_pulled(REPOSITORY) is None
