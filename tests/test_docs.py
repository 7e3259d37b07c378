"""README and docs: their examples run, and their links lead somewhere."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from helpers import PROJECT, greylord

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_is_short_and_leads_to_every_page():
    text = PAGES[0].read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in text] == []


def test_the_examples_of_the_api_run(tmp_path):
    assert greylord("data", "sample", "logs", "--recordings", 4, "--minutes", 0.5, cwd=tmp_path).returncode == 0
    (tmp_path / "data" / "logs").rename(tmp_path / "logs")
    first = min((tmp_path / "logs").iterdir())
    (tmp_path / "session.log").write_bytes(first.read_bytes())
    blocks = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env=ENVIRONMENT,
    )
    assert run.returncode == 0, run.stderr


def test_the_notebook_runs_and_shows_its_results(tmp_path):
    notebook = PROJECT / "docs" / "notebook.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    shown = {kind for cell in cells for output in cell.get("outputs", ()) for kind in output.get("data", ())}
    assert "image/png" in shown
    assert [cell for cell in cells for output in cell.get("outputs", ()) if output["output_type"] == "error"] == []
    pytest.importorskip("nbclient")
    # The kernel works in the folder of the notebook.
    shutil.copy(notebook, tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", notebook.name],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env=ENVIRONMENT,
    )
    assert run.returncode == 0, run.stderr
