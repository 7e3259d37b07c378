"""The public API: its names, its laziness, and its errors."""

import ast
import inspect
import re
import subprocess
import sys

import pytest
from helpers import PROJECT

import greylord as gl

HEAVY = ("torch", "transformers", "datasets", "matplotlib")
LIBRARY = [path for path in sorted((PROJECT / "greylord").rglob("*.py")) if "cli" not in path.parts]


def test_every_public_name_is_documented_and_listed():
    assert sorted(gl.__all__) == gl.__all__ and set(gl.__all__) <= set(dir(gl))
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
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.asname or alias.name: node.module for node in block.body for alias in node.names}
    assert imported == gl._MODULES


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(PROJECT / "greylord")))
def test_errors_of_the_library_name_no_flag_and_no_command(path):
    raised = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Raise))
    texts = [part.value for node in raised for part in ast.walk(node) if isinstance(part, ast.Constant)]
    assert [text for text in texts if isinstance(text, str) and re.search(r"(^|\W)--[a-z]|`greylord ", text)] == []
