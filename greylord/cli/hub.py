"""`greylord push` and `greylord pull`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console

if TYPE_CHECKING:
    from greylord.hub import Pushed

Repository = Annotated[str, typer.Argument(metavar="USER/NAME", help="A repository of the Hugging Face Hub.")]
Private = Annotated[bool, typer.Option("--private", help="A repository that is made is for you alone.")]
Branch = Annotated[str | None, typer.Option("--revision", metavar="BRANCH", help="A branch instead of main.")]


def push(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL", help="The model's folder, as models/latest.")],
    repo_id: Repository,
    private: Private = False,
    revision: Branch = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the model and list what would go.")] = False,
) -> None:
    """Publish a model on the Hugging Face Hub: weights, JSON, picture and card, and no pickle.

    A model that has read passwords in clear is refused. Repeat the command if it fails; nothing is sent twice.

    [dim]Example: greylord push models/latest user/majormud --private --dry-run[/]
    """
    from greylord import hub, runs

    console.quieten()
    folder = runs.locate(model_dir)
    if dry_run:
        sizes = {path.name: path.stat().st_size for path in hub.published_files(folder)}
        for name, size in sizes.items():
            console.out.print(f"{units.size(size):>8}  {name}", markup=False)
        console.say("would go", f"{_together(sizes)}, to {repo_id}")
        return
    say_pushed(hub.push(folder, repo_id, private, revision), repo_id)


def say_pushed(pushed: Pushed, repo_id: str) -> None:
    """Tell what has been published."""
    console.say("pushed", f"{_together(pushed.sizes)}, to {repo_id}")
    console.say("commit", pushed.url)


def _together(sizes: Mapping[str, int]) -> str:
    return f"{units.count(len(sizes), 'file')}, {units.size(sum(sizes.values()))}"


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
