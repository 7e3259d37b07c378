"""The journal of a dataset in data/.journal/: a line for each change to its files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from greylord.corpus.folder import label
from greylord.workspace import HERE, Workspace

__all__ = ["note"]


def note(folder: Path, action: str, *, workspace: Workspace = HERE, **details: object) -> None:
    """Add a line to the journal of a dataset's folder.

    The line holds the time, the action, and its details as JSON.
    """
    journal = workspace.data / ".journal" / f"{label(folder, workspace=workspace)}.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, **details}
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
