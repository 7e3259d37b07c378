"""Generated play: the ids that a model continues, and its continuation as payload with directions and pauses."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from greylord import runs, units
from greylord.captures import asciicast
from greylord.captures.asciicast import Event
from greylord.captures.reading import check_recording, read_session
from greylord.errors import UsageError
from greylord.stream import delays, turns, vocabulary
from greylord.stream.delays import Quantiles
from greylord.terminal.display import Display

if TYPE_CHECKING:
    from greylord.generation.engine import Decoder

__all__ = ["Speech", "capture_ids", "on_screen", "pauses_of", "play", "prompt_ids"]

DIRECTIONS = (vocabulary.CLIENT, vocabulary.SERVER)


class Speech(NamedTuple):
    """A piece of generated payload."""

    direction: int
    """Token id, `CLIENT` or `SERVER`."""
    pause: float
    """Seconds before it; 0 within a turn."""
    payload: bytes


def prompt_ids(text: str | None, direction: int) -> list[int]:
    """Encode a prompt as the beginning of a session.

    Args:
        text: The first payload; None leaves it to the model.
        direction: Token id of who sends it.

    Raises:
        UsageError: a character is above U+00FF.
    """
    if text is None:
        return [vocabulary.PAD, direction]
    try:
        payload = text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The prompt has {text[error.start]!r} at character {error.start + 1}, and the model knows bytes only: "
            "use characters up to U+00FF."
        ) from error
    return [vocabulary.PAD, direction, vocabulary.DELAY_SHORT, *payload]


def capture_ids(path: Path, at: int | None, direction: int | None) -> list[int]:
    """Encode the beginning of a recording.

    Args:
        path: The recording.
        at: Payload bytes to take; None takes all.
        direction: Token id that opens the next turn; None leaves it to the model.

    Raises:
        UsageError: the file is not a recording, or is shorter than `at`.
    """
    check_recording(path)
    session = read_session(path, keep_credentials=True)
    size = len(session.payload)
    if at is None:
        at = size
    if at > size:
        raise UsageError(f"{str(path)!r} has {units.count(size, 'payload byte')}; --at is {at:,}.")
    ids = turns.encode(turns.turns_of(session))
    after = np.flatnonzero(ids < vocabulary.PAD)[at - 1] + 1 if at else 1
    return ids[:after].tolist() + ([] if direction is None else [direction])


def pauses_of(folder: Path) -> Quantiles | None:
    """Read the pauses of a model's corpus, or None where its folder does not tell them, or not soundly."""
    quantiles = (runs.read_json(folder / runs.CONFIG_NAME) or {}).get("pauses")
    sound = isinstance(quantiles, dict) and all(map(_are_seconds, quantiles.values()))
    return quantiles if sound else None


def _are_seconds(values: object) -> bool:
    if not isinstance(values, list) or not values:
        return False
    return all(type(value) in (int, float) and 0 <= value < math.inf for value in values)


def _speaker(ids: Sequence[int]) -> int:
    """Return the direction token of the last turn."""
    return next((token for token in reversed(ids) if token in DIRECTIONS), vocabulary.SERVER)


def play(
    decoder: Decoder, ids: Sequence[int], seed: int, length: int, until_turn: bool, quantiles: Quantiles
) -> Iterator[Speech]:
    """Continue `ids` in slot 0, and yield each piece as soon as it is decoded.

    Args:
        decoder: Has one slot or more.
        ids: What came before.
        seed: For the bytes and the pauses.
        length: Payload bytes to generate.
        until_turn: Stop where the next turn begins, if that is sooner.
        quantiles: Of the pauses, in seconds.
    """
    decoder.start(0, ids, seed)
    clock = random.Random(seed)
    direction = _speaker(ids)
    pause, left = 0.0, length
    while left:
        payload = bytearray()
        # A step ends with its first direction token, so that its payload is of one turn.
        for token in decoder.step([0], stops=DIRECTIONS)[0]:
            if token < vocabulary.PAD:
                payload.append(token)
            elif token not in DIRECTIONS:
                pause += delays.draw(quantiles, token, clock.random())
        if payload:
            yield Speech(direction, pause, bytes(payload[:left]))
            left, pause = max(0, left - len(payload)), 0.0
        if token in DIRECTIONS:
            direction = token
            if until_turn and left < length:
                return


def on_screen(ids: Sequence[int], speeches: Iterable[Speech]) -> Iterator[tuple[Speech, Event]]:
    """Yield each speech with what a player's terminal shows of it.

    What the client types is an event of its own kind, since it is only seen where the server echoes it.

    Args:
        ids: What came before.
        speeches: What follows.
    """
    displays = {vocabulary.SERVER: Display(), vocabulary.CLIENT: Display()}
    kinds = {vocabulary.SERVER: asciicast.SHOWN, vocabulary.CLIENT: asciicast.TYPED}
    # The ids may end within a control sequence of the last turn.
    begin = max(index for index, token in enumerate(ids) if token >= vocabulary.PAD) + 1
    displays[_speaker(ids)].feed(bytes(ids[begin:]))
    seconds = 0.0
    for speech in speeches:
        seconds += speech.pause
        yield speech, Event(seconds, kinds[speech.direction], displays[speech.direction].feed(speech.payload))
