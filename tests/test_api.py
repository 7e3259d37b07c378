"""The public API: its names, its laziness, and its errors."""

import ast
import copy
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import PROJECT, START, write_recording
from transformers import GPT2LMHeadModel

import greylord as gl
from greylord import modeling

HEAVY = ("torch", "transformers", "datasets", "matplotlib")
LIBRARY = [path for path in sorted((PROJECT / "greylord").rglob("*.py")) if "cli" not in path.parts]


def test_every_public_name_is_documented_and_listed():
    assert sorted(gl.__all__) == gl.__all__ and gl.__all__ == dir(gl)
    for name in gl.__all__:
        assert len(inspect.getdoc(getattr(gl, name))) > 20, name
    with pytest.raises(AttributeError, match="nonsense"):
        gl.nonsense  # noqa: B018


def test_importing_greylord_loads_nothing_heavy():
    code = f"import sys, greylord; greylord.Workspace; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_type_checkers_see_what_is_exported():
    tree = ast.parse((PROJECT / "greylord" / "__init__.py").read_text(encoding="utf-8"))
    block, *_ = (node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.asname or alias.name: node.module for node in block.body for alias in node.names}
    assert imported == gl._MODULES


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(PROJECT / "greylord")))
def test_errors_of_the_library_name_no_flag_and_no_command(path):
    raised = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Raise))
    texts = [part.value for node in raised for part in ast.walk(node) if isinstance(part, ast.Constant)]
    assert [text for text in texts if isinstance(text, str) and re.search(r"(^|\W)--[a-z]|`greylord ", text)] == []


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return modeling.new_model(32, modeling.Shape(1, 32, 2)).eval()


@pytest.fixture
def game(workplace):
    """A folder with eight recordings of four evenings, outside any workspace."""
    for seed in range(8):
        write_recording(workplace / "logs", START + timedelta(days=seed // 2), seed)
    return workplace / "logs"


def test_a_corpus_lies_in_its_workspace_and_is_scored(game, model):
    workspace = gl.Workspace("elsewhere")
    corpus = gl.build_corpus("./logs", workspace=workspace)
    assert corpus.folder.parent == Path("elsewhere/corpora") and not Path("corpora").exists()
    assert repr(corpus).startswith("Corpus('elsewhere/corpora/logs") and "validation" in repr(corpus)
    rows = [np.asarray(row) for row in corpus.validation["input_ids"]]
    assert gl.score(model, corpus.validation) == gl.score(model, rows)
    session = gl.read_session(str(min(game.iterdir())))
    assert "payload bytes" in repr(session) and len(gl.encode(session)) > len(session.payload)


def test_a_corpus_is_trained_on_as_it_is(game):
    corpus = gl.build_corpus(game, val_split=0.3)
    with pytest.raises(gl.SettingError, match=r"val_split is 0\.5, but the corpus was built with 0\.3"):
        gl.train(corpus, gl.TrainingConfig(val_split=0.5))


def test_training_says_what_it_does_and_lands_in_the_workspace_of_the_corpus(game):
    corpus = gl.build_corpus(game, workspace=gl.Workspace("elsewhere"))
    said = []
    config = gl.TrainingConfig(max_steps=2, context_window=16, batch_size=2)
    run = gl.train(corpus, config, cpu=True, say=lambda label, text: said.append((label, text)))
    assert run.folder.parent == Path("elsewhere/models") and not Path("models").exists()
    assert f"{run.summary.best_bits_per_byte:.3f} bits per byte" in dict(said)["step"] and run.folder.name in repr(run)
    again = gl.load_model("latest", workspace=gl.Workspace("elsewhere"))
    assert isinstance(again, GPT2LMHeadModel)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": 1}, "context must lie between 2 and the .*32 positions, not 1"),
        ({"context": 33}, "not 33"),
        ({"rows": []}, "nothing to score"),
        ({"rows": [[256]]}, "nothing to score"),
        ({"rows": [256, 258, 259]}, "put one row in a list"),
        ({"rows": [[256, 262]]}, "between 0 and 261"),
        ({"rows": [[0.5, 1.5]]}, "an array of ids, not float64"),
    ],
)
def test_what_cannot_be_scored_is_refused(model, arguments, message):
    with pytest.raises(gl.UsageError, match=message):
        gl.score(model, **{"rows": [[256, 258, 259, 65]], **arguments})


@pytest.mark.parametrize(("name", "value"), [("max_bytes", 0), ("max_bytes", 10.5), ("seed", -1), ("temperature", -1)])
def test_what_cannot_be_generated_is_refused(model, name, value):
    with pytest.raises(gl.SettingError, match=f"^{name} must be ") as error:
        gl.generate(model, [256], **{"max_bytes": 5, name: value})
    assert error.value.settings == (name,)


def test_a_model_that_sends_no_payload_ends(model):
    silent = copy.deepcopy(model)
    # All framing tokens are likelier than any byte.
    table, direction = silent.transformer.wte.weight.data, torch.ones(32)
    table[:256], table[256:] = 0, direction
    silent.transformer.ln_f.bias.data += 10 * direction
    ids = gl.generate(silent, [256], max_bytes=5)
    assert len(ids) >= 1_000 and (ids >= 256).all()


def test_a_home_directory_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert gl.Workspace("~/greylord").models == tmp_path / "greylord" / "models"
    path = write_recording(tmp_path, START)
    assert len(gl.read_session(f"~/{path.name}").payload)


def test_help_describes_every_setting():
    text = inspect.getdoc(gl.TrainingConfig)
    assert all(f"    {field.name}: " in text for field in fields(gl.TrainingConfig))
