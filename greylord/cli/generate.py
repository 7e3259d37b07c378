"""`greylord generate`."""

from __future__ import annotations

import enum
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from greylord import units
from greylord.cli import console, streams
from greylord.cli.places import ModelDir, PathOption, model_folder
from greylord.errors import UsageError

PLAIN = "\x1b[0m"


class Side(enum.StrEnum):
    """The two sides of a session."""

    SERVER = "server"
    CLIENT = "client"


def generate(
    model_dir: ModelDir = Path("models/latest"),
    from_capture: Annotated[
        Path | None, PathOption(metavar="FILE", help="Recording to continue.", show_default=False)
    ] = None,
    at: Annotated[
        int | None,
        typer.Option(metavar="OFFSET", min=0, help="Payload bytes of the recording to read.  [dim]\\[default: all][/]"),
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="Text to continue.", show_default=False)] = None,
    speaker: Annotated[
        Side | None,
        typer.Option("--as", help="Who sends the prompt, or speaks next.  [dim]\\[default: server][/]"),
    ] = None,
    length: Annotated[int, typer.Option(metavar="BYTES", min=1, help="Payload bytes to generate.")] = 4_000,
    until_turn: Annotated[bool, typer.Option("--until-turn", help="Stop where the next turn begins.")] = False,
    temperature: Annotated[float, typer.Option(help="Sampling temperature; 0 takes the likeliest byte.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Sample from this many of the likeliest; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Sample from the likeliest that reach this probability.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same play.")] = 0,
    pace: Annotated[bool, typer.Option("--pace", help="Wait before each turn, as the game does.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the payload bytes of both sides as they are.")] = False,
    output: Annotated[
        Path | None, PathOption(metavar="CAST", help="Write an asciicast with the pauses, too.", show_default=False)
    ] = None,
) -> None:
    """Let a model play: the game as its player would see it, in colour, byte by byte.

    What the player types is shown where the game echoes it. Only colours and cursor moves reach the terminal,
    whatever the model says, unless --raw asks for the bytes.

    [dim]Example: greylord generate --length 2000 --output play.cast[/]
    """
    if from_capture is not None and prompt is not None:
        raise UsageError("--from-capture and --prompt exclude each other.")
    if at is not None and from_capture is None:
        raise UsageError("--at is an offset into a recording; name it with --from-capture.")
    if output is not None:
        _check_output(output)

    from greylord import files
    from greylord.captures import asciicast
    from greylord.generation import playback
    from greylord.generation.sampling import Sampling
    from greylord.stream import delays, vocabulary
    from greylord.weights import GPT2Weights

    sampling = Sampling(temperature, top_k, top_p)
    direction = None if speaker is None else getattr(vocabulary, speaker.name)
    if from_capture is None:
        ids = playback.encode_prompt(prompt, direction or vocabulary.SERVER)
    else:
        ids = playback.encode_recording(from_capture, at, direction)
    model_dir = model_folder(model_dir)
    weights = GPT2Weights.read(model_dir)
    quantiles = playback.read_delays(model_dir)
    if quantiles is None and (pace or output):
        console.warn(f"{str(model_dir)!r} does not tell its corpus's pauses; usual ones are taken instead.")

    # These import torch, which takes a second: wrong calls have been refused by now.
    from greylord.generation import drafts
    from greylord.generation.engine import Decoder

    decoder = Decoder(weights, sampling, memory=drafts.read(model_dir))
    chunks = playback.play(decoder, ids, seed, length, until_turn, quantiles or delays.USUAL)
    events = []
    sys.stdout.reconfigure(encoding="utf-8", newline="")
    try:
        for chunk, event in playback.render(ids, chunks):
            if pace:
                time.sleep(chunk.delay)
            events.append(event)
            shown = chunk.payload if raw else event.text * (event.kind == asciicast.SHOWN)
            if not streams.deliver(shown) and output is None:
                break
    finally:
        if not raw:
            sys.stdout.write(f"{PLAIN}\n")
            sys.stdout.flush()
    if output is not None:
        files.write_file(output, asciicast.write(events, model_dir.name))
        if not raw:
            console.say("cast", f"{output}, {units.duration(events[-1].seconds)} of play")


def _check_output(path: Path) -> None:
    """Raise UsageError if a new file cannot be made at `path`."""
    if path.exists():
        raise UsageError(f"{str(path)!r} is there already; give --output another name.")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise UsageError(f"{str(path)!r} cannot be written: {str(parent)!r} is not a folder that you may write to.")
