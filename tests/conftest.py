"""What the tests share. No test uses the network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("greylord", deadline=None)
settings.load_profile("greylord")

PROJECT = Path(__file__).parent.parent
LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--standalone")
CAPTURES = PROJECT.parent / "shared" / "captures" / "captures.tar.xz"


@pytest.fixture(scope="session")
def real_captures(tmp_path_factory) -> Path:
    """A folder with 126 real recordings, where they are at hand."""
    if not CAPTURES.exists():
        pytest.skip("the real recordings are not here")
    folder = tmp_path_factory.mktemp("captures")
    with tarfile.open(CAPTURES) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def greylord(*arguments: object, cwd: Path, **options) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "greylord", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "100"},
        **options,
    )
