"""Find the paths of commands: models, recordings, and pictures."""

from __future__ import annotations

from pathlib import Path

from greylord.cli import advice, console
from greylord.errors import GreylordError, UsageError

__all__ = ["given_dataset", "model_folder", "picture_path"]


def model_folder(model_dir: Path) -> Path:
    """Find the folder of a model.

    If `model_dir` is a repository that is not here yet, it is pulled from the Hub. The Hub is not asked for a name that
    nearly matches a local folder.

    Args:
        model_dir: A path, or USER/NAME on the Hub.

    Raises:
        UsageError: There is no such folder or repository.
        GreylordError: The Hub cannot be asked.
    """
    from greylord import model_folders

    repo_id = model_folders.repository_of(model_dir)
    if repo_id is None:
        return model_folders.locate(model_dir)
    if (folder := model_folders.find_pulled(repo_id)) is not None:
        return folder
    if (nearest := model_folders.nearest_folder(model_dir)) is not None:
        raise UsageError(
            f"There is no model folder {str(model_dir)!r}. Did you mean {str(nearest)!r}? "
            f"For the repository on the Hub, type `greylord pull {repo_id}` first."
        )

    from greylord import hub

    console.quieten()
    try:
        pulled = hub.pull(repo_id)
    except GreylordError as error:
        raise advice.prefixed(f"There is no model folder {str(model_dir)!r}.", error) from error
    # On standard error, since standard output may be the command's result.
    console.note(f"Pulled {repo_id} to {pulled.folder}.")
    return pulled.folder


def given_dataset(dataset: str | None, data_dir: Path | None) -> Path | None:
    """Find the folder of recordings that --dataset or --data-dir names.

    Returns:
        The folder; None if neither flag was given.

    Raises:
        UsageError: Both flags were given, or the folder does not exist.
    """
    from greylord.corpus import folder

    if dataset is not None and data_dir is not None:
        raise UsageError("--dataset and --data-dir exclude each other.")
    if data_dir is not None:
        return folder.locate_path(data_dir)
    return None if dataset is None else folder.locate(dataset)


def picture_path(output: Path | None, name: str, kind: str = "analysis") -> Path:
    """Choose the file of a picture.

    Args:
        output: The path that was given, if any.
        name: What the picture is about; part of the default name.
        kind: The first word of the default name.

    Raises:
        UsageError: The file is not a PNG, or exists and is not a picture that greylord has drawn.
    """
    path = output or Path(f"{kind}_{name}.png")
    if path.suffix.lower() != ".png":
        raise UsageError(f"{str(path)!r} does not end in .png; the picture is a PNG file.")
    from greylord import plots

    if path.exists() and not plots.is_analysis(path):
        raise UsageError(f"{str(path)!r} exists and is not a picture of an analysis; name another with --output.")
    return path
