"""Options and messages of the commands that publish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console

if TYPE_CHECKING:
    from greylord.hub import Pushed

Repository = Annotated[str, typer.Argument(metavar="USER/NAME", help="Repository on the Hugging Face Hub.")]
Private = Annotated[bool, typer.Option("--private", help="Make the repository private, if it is new.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only check, and list the files to publish.")]
Branch = Annotated[
    str | None, typer.Option("--revision", metavar="BRANCH", help="Branch to publish to.  [dim]\\[default: main][/]")
]


def print_pushed(pushed: Pushed, repo_id: str) -> None:
    """Print the size of a published model or corpus, and its commit."""
    console.say("pushed", f"{_total(pushed.sizes)}, to {repo_id}")
    console.say("commit", pushed.url)


def print_files_to_push(sizes: Mapping[str, int], repo_id: str) -> None:
    """Print the files to be published, and their sizes in bytes."""
    for name, size in sizes.items():
        console.out.print(f"{units.size(size):>8}  {name}")
    console.say("to push", f"{_total(sizes)}, to {repo_id}")


def _total(sizes: Mapping[str, int]) -> str:
    return f"{units.count(len(sizes), 'file')}, {units.size(sum(sizes.values()))}"
