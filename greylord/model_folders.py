"""Find a model's folder: a path, a name in models/, or a repository.

A repository must have been pulled before.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from greylord import runs
from greylord.errors import UsageError
from greylord.workspace import HERE, Workspace

__all__ = ["find_pulled", "locate", "nearest_folder", "repository_of"]

LISTED = 5
"""Models named in the error about one that does not exist."""


def locate(path: Path, *, workspace: Workspace = HERE) -> Path:
    """Return the folder of a model.

    Args:
        path: A folder, the file models/latest, or the name of one of these in models/.

    Raises:
        UsageError: There is no such folder.
    """
    for candidate in (path, workspace.models / path):
        folder = candidate
        if folder.name == runs.LATEST and folder.is_file():
            folder = folder.parent / os.fsdecode(folder.read_bytes().strip())
        if folder.is_dir():
            return folder
    if (near := nearest_folder(path, workspace=workspace)) is not None:
        raise UsageError(f"There is no model folder {str(path)!r}. Did you mean {str(near)!r}?")
    names = sorted(folder.name for folder in workspace.models.glob("*_*") if folder.is_dir())
    listed = f"models/ has {', '.join(names[-LISTED:])}" if names else "models/ has no model yet"
    raise UsageError(f"There is no model folder {str(path)!r}; {listed}.")


def nearest_folder(path: Path, *, workspace: Workspace = HERE) -> Path | None:
    """Find the folder that a misspelt path may mean.

    Args:
        path: A path at which there is nothing.

    Returns:
        A folder with a similar name, in models/ for a bare name; None if there is none.
    """
    first, *rest = path.parts or ("",)
    if not rest:
        return _near(first, workspace.models, workspace)
    if path.parent.is_dir():
        return _near(path.name, path.parent, workspace)
    # Where the rest of the path exists, the first part may differ more.
    if (parent := _near(first, Path(), workspace, cutoff=0.6)) is None:
        return None
    folder = parent.joinpath(*rest)
    if (near := folder if folder.is_dir() else _near(folder.name, folder.parent, workspace)) is not None:
        return near
    return _near(first, Path(), workspace)


def _near(name: str, parent: Path, workspace: Workspace, cutoff: float = 0.75) -> Path | None:
    """Find the subfolder, or models/latest, whose name is most like `name`.

    models/ is a candidate even if it does not exist.
    """
    if not parent.is_dir():
        return None
    candidates = {workspace.models.name: workspace.models} if parent == Path(workspace.root) else {}
    candidates |= {each.name.casefold(): each for each in parent.iterdir() if each.is_dir() or each.name == runs.LATEST}
    close = difflib.get_close_matches(name.casefold(), candidates, n=1, cutoff=cutoff)
    return candidates[close[0]] if close else None


def repository_of(path: Path, *, workspace: Workspace = HERE) -> str | None:
    """Return the Hub repository USER/NAME that a path names.

    Returns None if it can only be a local path. A path names a repository if it has two parts and neither is a folder
    where it would lie.
    """
    if path.is_absolute() or len(path.parts) != 2 or path.parent == workspace.models or path.parent.exists():
        return None
    return None if (workspace.models / path).is_dir() or path.parts[0] == ".." else path.as_posix()


def find_pulled(repo_id: str, *, workspace: Workspace = HERE) -> Path | None:
    """Return the folder in models/ into which a repository was pulled last, or None."""
    origins = [
        path
        for path in workspace.models.glob(f"*/{runs.ORIGIN}")
        if (runs.read_json(path) or {}).get("repo_id") == repo_id
    ]
    return max(origins, key=lambda path: path.stat().st_mtime).parent if origins else None
