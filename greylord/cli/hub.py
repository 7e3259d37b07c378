"""`greylord push` and `greylord pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from greylord.cli import console
from greylord.cli.options import PathArgument
from greylord.cli.sharing import Branch, DryRun, Private, Repository, print_files_to_push, print_pushed


def push(
    model_dir: Annotated[Path, PathArgument(metavar="MODEL", help="Folder of the model, such as models/latest.")],
    repo_id: Repository,
    private: Private = False,
    revision: Branch = None,
    dry_run: DryRun = False,
) -> None:
    """Publish a model on the Hugging Face Hub.

    It publishes weights as safetensors, JSON, the picture and the model card.
    A model that was trained on passwords is refused.
    If publishing breaks off, repeat the command: nothing is sent twice.

    [dim]Example: greylord push models/latest user/majormud --private --dry-run[/]
    """
    from greylord import hub, model_folders

    console.quieten()
    folder = model_folders.locate(model_dir)
    if dry_run:
        print_files_to_push({path.name: path.stat().st_size for path in hub.published_files(folder)}, repo_id)
        return
    print_pushed(hub.push(folder, repo_id, private, revision), repo_id)


def pull(
    repo_id: Repository,
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Branch, tag or commit.  [dim]\\[default: main][/]")
    ] = None,
) -> None:
    """Fetch a model from the Hugging Face Hub into models/.

    Only safetensors and JSON are fetched, never code.
    The commit is part of the folder's name, and recorded in origin.json.

    [dim]Example: greylord pull user/majormud[/]
    """
    from greylord import hub

    console.quieten()
    pulled = hub.pull(repo_id, revision)
    console.say("pulled", f"{pulled.folder}{'' if pulled.new else ' (already here)'}")
    console.say("commit", pulled.revision)
