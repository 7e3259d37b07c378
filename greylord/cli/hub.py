"""`greylord push` and `greylord pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from greylord.cli import console
from greylord.cli.places import PathArgument
from greylord.cli.sharing import Branch, DryRun, Private, Repository, say_pushed, say_what_would_go


def push(
    model_dir: Annotated[Path, PathArgument(metavar="MODEL", help="The model's folder, as models/latest.")],
    repo_id: Repository,
    private: Private = False,
    revision: Branch = None,
    dry_run: DryRun = False,
) -> None:
    """Publish a model on the Hugging Face Hub: weights, JSON, picture and card, and no pickle.

    A model that has read passwords in clear is refused. Repeat the command if it fails; nothing is sent twice.

    [dim]Example: greylord push models/latest user/majormud --private --dry-run[/]
    """
    from greylord import hub, model_folders

    console.quieten()
    folder = model_folders.locate(model_dir)
    if dry_run:
        say_what_would_go({path.name: path.stat().st_size for path in hub.published_files(folder)}, repo_id)
        return
    say_pushed(hub.push(folder, repo_id, private, revision), repo_id)


def pull(
    repo_id: Repository,
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="A branch, tag or commit instead of main.")
    ] = None,
) -> None:
    """Fetch a model from the Hugging Face Hub into models/: safetensors and JSON only, and no code.

    The folder is named by the commit, which origin.json records.

    [dim]Example: greylord pull user/majormud[/]
    """
    from greylord import hub

    console.quieten()
    pulled = hub.pull(repo_id, revision)
    console.say("pulled", f"{pulled.folder}{'' if pulled.new else ' is there already'}")
    console.say("commit", pulled.revision)
