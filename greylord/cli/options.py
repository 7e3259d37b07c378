"""Options that several commands have, and the declarations of paths."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from greylord.files import user_path

__all__ = ["AsJson", "Cpu", "DataDir", "ModelDir", "PathArgument", "PathOption", "Picture"]

PathArgument, PathOption = partial(typer.Argument, parser=user_path), partial(typer.Option, parser=user_path)
"""Declare every path on the command line. A leading `~` is expanded, which a shell does not do in quotes."""

ModelDir = Annotated[Path, PathOption(metavar="DIR", help="Folder of the model, or USER/NAME on the Hub.")]
DataDir = Annotated[Path | None, PathOption(metavar="DIR", help="Folder of recordings anywhere else.")]
Picture = Annotated[
    Path | None,
    PathOption(
        metavar="PNG",
        help="File of the picture.  [dim]\\[default: analysis_NAME.png; none with --json][/]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Cpu = Annotated[bool, typer.Option("--cpu", help="Do not use a GPU.")]
