"""`greylord generate`."""

from __future__ import annotations

import enum
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console, streams
from greylord.cli.options import ModelDir, PathOption
from greylord.cli.places import model_folder
from greylord.errors import UsageError

if TYPE_CHECKING:
    from greylord.captures.asciicast import Event
    from greylord.generation.playback import PlayedChunk

RESET_STYLE = "\x1b[0m"


class Sender(enum.StrEnum):
    """The side of a session that sends a turn."""

    SERVER = "server"
    CLIENT = "client"


def generate(
    model_dir: ModelDir = Path("models/latest"),
    from_capture: Annotated[
        Path | None, PathOption(metavar="FILE", help="Recording to continue.", show_default=False)
    ] = None,
    at: Annotated[
        int | None,
        typer.Option(
            metavar="OFFSET", min=0, help="Payload bytes of the recording to read first.  [dim]\\[default: all][/]"
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="Text to continue.", show_default=False)] = None,
    sender: Annotated[
        Sender | None,
        typer.Option("--as", help="Side that sends the prompt, or the next turn.  [dim]\\[default: server][/]"),
    ] = None,
    length: Annotated[int, typer.Option(metavar="BYTES", min=1, help="Payload bytes to generate.")] = 4_000,
    until_turn: Annotated[bool, typer.Option("--until-turn", help="Stop before the next turn.")] = False,
    temperature: Annotated[float, typer.Option(help="Sampling temperature; 0 takes the likeliest token.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Sample from this many of the likeliest tokens; 0 for all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Sample from the likeliest tokens that together reach this probability.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed. The same seed gives the same output.")] = 0,
    pace: Annotated[bool, typer.Option("--pace", help="Wait before each turn, as the game would.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Write the payload bytes of both sides unchanged.")] = False,
    output: Annotated[
        Path | None,
        PathOption(metavar="CAST", help="Also write an asciicast, with the delays.", show_default=False),
    ] = None,
) -> None:
    """Let a model play: show the game in colour, as its player sees it.

    What the player types is shown where the game echoes it.
    Only colours and cursor moves reach your terminal, unless you give --raw.

    [dim]Example: greylord generate --length 2000 --output play.cast[/]
    """
    _refuse_conflicts(from_capture, at, prompt)
    if output is not None:
        _check_output(output)

    from greylord import files
    from greylord.captures import asciicast
    from greylord.generation import playback
    from greylord.generation.sampling import Sampling
    from greylord.stream import delays
    from greylord.weights import GPT2Weights

    sampling = Sampling(temperature, top_k, top_p)
    ids = _prompt_ids(from_capture, at, prompt, sender)
    model_dir = model_folder(model_dir)
    weights = GPT2Weights.read(model_dir)
    quantiles = playback.read_delays(model_dir)
    if quantiles is None and (pace or output):
        console.note(f"{str(model_dir)!r} does not hold the delays of its corpus; typical ones are used instead.")

    # These import torch, which takes a second: wrong calls have been refused by now.
    from greylord.generation import drafts
    from greylord.generation.engine import Decoder

    decoder = Decoder(weights, sampling, memory=drafts.read(model_dir))
    chunks = playback.play(decoder, ids, seed, length, until_turn, quantiles or delays.DEFAULT_QUANTILES)
    events = _show(playback.render(ids, chunks), pace, raw, to_the_end=output is not None)
    if output is not None:
        files.write_file(output, asciicast.write(events, model_dir.name))
        if not raw:
            console.say("cast", f"{output}, {units.duration(events[-1].seconds)} of play")


def _refuse_conflicts(from_capture: Path | None, at: int | None, prompt: str | None) -> None:
    """Raise UsageError for flags that exclude each other."""
    if from_capture is not None and prompt is not None:
        raise UsageError("--from-capture and --prompt exclude each other.")
    if at is not None and from_capture is None:
        raise UsageError("--at is an offset into a recording; name the recording with --from-capture.")


def _check_output(path: Path) -> None:
    """Raise UsageError if a new file cannot be made at `path`."""
    if path.exists():
        raise UsageError(f"{str(path)!r} already exists; name another with --output.")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise UsageError(f"{str(path)!r} cannot be written: {str(parent)!r} is not a folder that you may write to.")


def _prompt_ids(from_capture: Path | None, at: int | None, prompt: str | None, sender: Sender | None) -> list[int]:
    """Return the token ids to continue: those of a recording or of a text."""
    from greylord.generation import playback
    from greylord.stream import vocabulary

    direction = None if sender is None else getattr(vocabulary, sender.name)
    if from_capture is None:
        return playback.encode_prompt(prompt, direction or vocabulary.SERVER)
    return playback.encode_recording(from_capture, at, direction)


def _show(played: Iterable[tuple[PlayedChunk, Event]], pace: bool, raw: bool, to_the_end: bool) -> list[Event]:
    """Write generated play to standard output as it comes.

    Args:
        played: Generated pieces of payload, and what a screen shows of each.
        pace: Wait before each turn.
        raw: Write payload bytes.
        to_the_end: Go on when standard output has lost its reader.

    Returns:
        What was shown, for an asciicast.
    """
    from greylord.captures import asciicast

    events = []
    streams.reconfigure_output(encoding="utf-8", newline="")
    try:
        for chunk, event in played:
            if pace:
                time.sleep(chunk.delay)
            events.append(event)
            shown = chunk.payload if raw else event.text * (event.kind == asciicast.SHOWN)
            if not streams.deliver(shown) and not to_the_end:
                break
    finally:
        if not raw:
            sys.stdout.write(f"{RESET_STYLE}\n")
            sys.stdout.flush()
    return events
