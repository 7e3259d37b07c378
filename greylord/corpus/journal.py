"""The journal of a dataset: what has been done to it, in data/.journal/, outside the recordings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from greylord.corpus.folder import label
from greylord.workspace import HERE

__all__ = ["note"]


def note(folder: Path, action: str, **details: object) -> None:
    """Add a line to the journal of a dataset's folder."""
    journal = HERE.data / ".journal" / f"{label(folder)}.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, **details}
    with journal.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
