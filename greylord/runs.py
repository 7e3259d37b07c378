"""models/: a folder a run, the newest of which models/latest names."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from greylord.errors import UsageError
from greylord.files import write_file

__all__ = ["LATEST", "MODELS", "locate", "mark_latest", "new_run", "read_json"]

MODELS = Path("models")
LATEST = "latest"
"""A text file that holds a folder's name: symbolic links need a privilege on Windows."""


def new_run(name: str) -> Path:
    """Make the folder of a new run, models/NAME_TIME."""
    stamp = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    number = 1
    while True:
        folder = MODELS / (f"{name}_{stamp}" if number == 1 else f"{name}_{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def mark_latest(run: Path) -> None:
    """Let models/latest name this run."""
    write_file(run.parent / LATEST, run.name + "\n")


def locate(path: Path) -> Path:
    """The folder of a model: a path, or models/latest. Raises UsageError if there is none."""
    if path.name == LATEST and path.is_file():
        path = path.parent / path.read_text(encoding="utf-8").strip()
    if path.is_dir():
        return path
    if (MODELS / path).is_dir():
        return MODELS / path
    known = sorted(folder.name for folder in MODELS.glob("*_*") if folder.is_dir())
    there = f"models/ has {', '.join(known[-5:])}" if known else "models/ has none yet"
    raise UsageError(f"There is no model folder {str(path)!r}; {there}.")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if the file is missing or is no such thing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
