"""Where a model lies: at a path, in models/, or in a repository of the Hub."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from greylord import runs
from greylord.errors import UsageError
from greylord.workspace import HERE

__all__ = ["fetched", "locate", "nearest", "repository_of"]


def locate(path: Path) -> Path:
    """The folder of a model: a path, or models/latest. Raises UsageError if there is none."""
    if path.name == runs.LATEST and path.is_file():
        path = path.parent / os.fsdecode(path.read_bytes().strip())
    if path.is_dir():
        return path
    if (HERE.models / path).is_dir():
        return HERE.models / path
    if (meant := nearest(path)) is not None:
        raise UsageError(f"There is no model folder {str(path)!r}. Did you mean {str(meant)!r}?")
    known = sorted(folder.name for folder in HERE.models.glob("*_*") if folder.is_dir())
    there = f"models/ has {', '.join(known[-5:])}" if known else "models/ has none yet"
    raise UsageError(f"There is no model folder {str(path)!r}; {there}.")


def nearest(path: Path) -> Path | None:
    """Find the folder that a misspelt path may mean.

    Args:
        path: A path at which there is nothing.

    Returns:
        A folder whose name is near, in models/ for a bare name; None if there is none.
    """
    first, *rest = path.parts or ("",)
    if not rest:
        return _near(first, HERE.models)
    if path.parent.is_dir():
        return _near(path.name, path.parent)
    # Where the rest is found, the first part may be farther off.
    if (folder := _near(first, Path(), nearness=0.6)) is None:
        return None
    meant = folder.joinpath(*rest)
    if (found := meant if meant.is_dir() else _near(meant.name, meant.parent)) is not None:
        return found
    return _near(first, Path())


def _near(name: str, folder: Path, nearness: float = 0.75) -> Path | None:
    """The folder in a folder whose name is nearest, or models/latest. models/ counts before the first run too."""
    if not folder.is_dir():
        return None
    known = {HERE.models.name: HERE.models} if folder == Path() else {}
    known |= {each.name.casefold(): each for each in folder.iterdir() if each.is_dir() or each.name == runs.LATEST}
    close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=nearness)
    return known[close[0]] if close else None


def repository_of(path: Path) -> str | None:
    """The repository of the Hub that stands where a model's folder may: USER/NAME, where USER is no folder. None for
    anything else."""
    if path.is_absolute() or len(path.parts) != 2 or path.parent == HERE.models or path.parent.exists():
        return None
    return None if (HERE.models / path).is_dir() or path.parts[0] == ".." else path.as_posix()


def fetched(repo_id: str) -> Path | None:
    """The folder in models/ that holds a repository's model, the one that was fetched last; None if there is none."""
    origins = [
        path for path in HERE.models.glob(f"*/{runs.ORIGIN}") if (runs.read_json(path) or {}).get("repo_id") == repo_id
    ]
    return max(origins, key=lambda path: path.stat().st_mtime).parent if origins else None
