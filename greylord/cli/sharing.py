"""What all commands that publish have in common: their options, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console

if TYPE_CHECKING:
    from greylord.hub import Pushed

Repository = Annotated[str, typer.Argument(metavar="USER/NAME", help="A repository of the Hugging Face Hub.")]
Private = Annotated[bool, typer.Option("--private", help="A repository that is made is for you alone.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only check, and list what would go.")]
Branch = Annotated[str | None, typer.Option("--revision", metavar="BRANCH", help="A branch instead of main.")]


def say_pushed(pushed: Pushed, repo_id: str) -> None:
    """Tell what has been published."""
    console.say("pushed", f"{_together(pushed.sizes)}, to {repo_id}")
    console.say("commit", pushed.url)


def say_what_would_go(sizes: Mapping[str, int], repo_id: str) -> None:
    """List files and their sizes."""
    for name, size in sizes.items():
        console.out.print(f"{units.size(size):>8}  {name}")
    console.say("would go", f"{_together(sizes)}, to {repo_id}")


def _together(sizes: Mapping[str, int]) -> str:
    return f"{units.count(len(sizes), 'file')}, {units.size(sum(sizes.values()))}"
