"""Fixtures that the tests share. No test uses the network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import contextlib
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import PROJECT, greylord
from hypothesis import settings

settings.register_profile("greylord", deadline=None)
settings.load_profile("greylord")

CAPTURES = Path(os.environ.get("GREYLORD_CAPTURES") or PROJECT / "data" / "captures").absolute()
"""The 126 real recordings, which are not part of the repository: a folder, or a tar archive of one."""


@pytest.fixture(scope="session")
def real_captures(tmp_path_factory) -> Path:
    """A folder with the real recordings.

    Tests that ask for it are skipped where they are absent.
    """
    if not CAPTURES.exists():
        pytest.skip(f"no real recordings at {CAPTURES}; name their folder or archive in GREYLORD_CAPTURES")
    if CAPTURES.is_dir():
        return CAPTURES
    folder = tmp_path_factory.mktemp("captures")
    with tarfile.open(CAPTURES) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def called(capsys) -> Callable[..., subprocess.CompletedProcess]:
    """Runs a command line in this process and the working directory.

    It saves the seconds that a process needs to start.
    """
    from greylord.cli import main

    def run(*arguments: object) -> subprocess.CompletedProcess:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(list(map(str, arguments)))
        return subprocess.CompletedProcess(arguments, exit_.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A working directory with the dataset tiny, its corpus, and a trained model."""
    from greylord.training.config import Job, TrainingConfig
    from greylord.training.train import train

    place = tmp_path_factory.mktemp("trained")
    assert greylord("data", "sample", "tiny", "--recordings", 4, "--minutes", 0.5, cwd=place).returncode == 0
    settings = TrainingConfig(context_window=64, batch_size=4, max_steps=40)
    # In float32, so that what is computed again agrees wherever the tests run.
    with contextlib.chdir(place):
        train(Job(Path("data/tiny"), settings, {"eval_steps": 20, "bf16": False}, cpu=True))
    return place
