"""Where commands read and write: the folder of a model, of recordings, and the file of a picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from greylord.cli import console
from greylord.errors import GreylordError, UsageError
from greylord.files import user_path

__all__ = ["DataDir", "ModelDir", "PathArgument", "PathOption", "given_dataset", "model_folder", "picture_path"]


PathArgument, PathOption = partial(typer.Argument, parser=user_path), partial(typer.Option, parser=user_path)
"""What declares every path on the command line: a leading `~`, which a shell leaves alone in quotes, is expanded."""

ModelDir = Annotated[Path, PathOption(metavar="DIR", help="The model's folder, or USER/NAME on the Hub.")]
DataDir = Annotated[Path | None, PathOption(metavar="DIR", help="A folder of recordings elsewhere.")]


def model_folder(model_dir: Path) -> Path:
    """The folder of a model: a path, or a repository of the Hub, which is fetched unless it has been.

    The Hub is not asked for what is nearly the name of a folder here. Raises UsageError or GreylordError if there is no
    such model, or the Hub cannot be asked for it.
    """
    from greylord import model_folders

    repo_id = model_folders.repository_of(model_dir)
    if repo_id is None:
        return model_folders.locate(model_dir)
    if (folder := model_folders.find_pulled(repo_id)) is not None:
        return folder
    if (meant := model_folders.nearest_folder(model_dir)) is not None:
        raise UsageError(
            f"There is no model folder {str(model_dir)!r}. Did you mean {str(meant)!r}? "
            f"For the repository on the Hub, type `greylord pull {repo_id}` first."
        )

    from greylord import hub

    console.quieten()
    try:
        pulled = hub.pull(repo_id)
    except GreylordError as error:
        raise type(error)(f"There is no model folder {str(model_dir)!r}. {error}") from error
    # Standard output may be the result of the command.
    console.warn(f"{repo_id} has been pulled to {pulled.folder}.")
    return pulled.folder


def given_dataset(dataset: str | None, data_dir: Path | None) -> Path | None:
    """The folder of recordings that the flags name, or None. Raises UsageError where two do, or there is none."""
    from greylord.corpus import folder

    if dataset is not None and data_dir is not None:
        raise UsageError("--dataset and --data-dir exclude each other.")
    if data_dir is not None:
        return folder.locate_path(data_dir)
    return None if dataset is None else folder.locate(dataset)


def picture_path(output: Path | None, name: str, as_json: bool, kind: str = "analysis") -> Path | None:
    """Where the picture goes, or None. Raises UsageError for a name that is taken by anything but such a picture."""
    if output is None and as_json:
        return None
    path = output or Path(f"{kind}_{name}.png")
    if path.suffix.lower() != ".png":
        raise UsageError(f"The picture is a PNG; end {str(path)!r} in .png.")
    from greylord import plots

    if path.exists() and not plots.is_analysis(path):
        raise UsageError(f"{str(path)!r} is there already and no picture of an analysis; name another with --output.")
    return path
