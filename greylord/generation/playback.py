"""Generated play: encode a prompt, and decode the continuation.

The continuation is payload with directions and delays.
"""

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
from greylord.generation.sampling import MAX_FRAMING_TOKENS
from greylord.stream import delays, turns, vocabulary
from greylord.stream.delays import Quantiles
from greylord.terminal.display import Display

if TYPE_CHECKING:
    from greylord.generation.engine import Decoder

__all__ = ["PlayedChunk", "encode_prompt", "encode_recording", "play", "read_delays", "render"]

DIRECTIONS = (vocabulary.CLIENT, vocabulary.SERVER)


class PlayedChunk(NamedTuple):
    """A piece of generated payload."""

    direction: int
    """Token id, `CLIENT` or `SERVER`."""
    delay: float
    """Seconds before it; 0 within a turn."""
    payload: bytes


def encode_prompt(text: str | None, direction: int) -> list[int]:
    """Encode a prompt as the beginning of a session.

    Args:
        text: The first payload; None lets the model begin.
        direction: Token id of the sender.

    Raises:
        UsageError: A character is above U+00FF.
    """
    if text is None:
        return [vocabulary.PAD, direction]
    try:
        payload = text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The prompt has {text[error.start]!r} at character {error.start + 1}, but the model knows bytes only; "
            "use characters up to U+00FF."
        ) from error
    return [vocabulary.PAD, direction, vocabulary.DELAY_SHORT, *payload]


def encode_recording(path: Path, offset: int | None, direction: int | None) -> list[int]:
    """Encode the beginning of a recording, with its credentials masked.

    Args:
        path: The recording.
        offset: Payload bytes to take; None takes all.
        direction: Token id that opens the next turn; None lets the model choose.

    Raises:
        UsageError: The file is not a recording, or is shorter than `offset`.
        UnreadableRecordingError: The file cannot be opened.
    """
    check_recording(path)
    session = read_session(path)
    size = len(session.payload)
    if offset is None:
        offset = size
    if offset > size:
        raise UsageError(f"{str(path)!r} has {units.count(size, 'payload byte')}, fewer than the offset {offset:,}.")
    ids = turns.encode(session)
    end = np.flatnonzero(ids < vocabulary.PAD)[offset - 1] + 1 if offset else 1
    return ids[:end].tolist() + ([] if direction is None else [direction])


def read_delays(folder: Path) -> Quantiles | None:
    """Read the quantiles of delays from a model folder.

    Returns None if they are missing or not valid.
    """
    quantiles = (runs.read_json(folder / runs.CONFIG_NAME) or {}).get("pauses")
    if not isinstance(quantiles, dict):
        return None
    return quantiles if all(map(_are_seconds, quantiles.values())) else None


def _are_seconds(values: object) -> bool:
    if not isinstance(values, list) or not values:
        return False
    return all(type(value) in (int, float) and 0 <= value < math.inf for value in values)


def _last_direction(ids: Sequence[int]) -> int:
    """Return the direction token of the last turn."""
    return next((token for token in reversed(ids) if token in DIRECTIONS), vocabulary.SERVER)


def play(
    decoder: Decoder, ids: Sequence[int], seed: int, length: int, until_turn: bool, quantiles: Quantiles
) -> Iterator[PlayedChunk]:
    """Continue `ids` in slot 0, and yield each chunk as soon as it is decoded.

    Args:
        decoder: A decoder with at least one slot.
        ids: The prompt.
        seed: Seeds the ids and the delays.
        length: Payload bytes to generate.
        until_turn: Stop where the next turn begins.
        quantiles: Quantiles of the delays, in seconds.
    """
    decoder.start(0, ids, seed)
    clock = random.Random(seed)
    direction = _last_direction(ids)
    delay, left, framing = 0.0, length, 0
    while left and framing < MAX_FRAMING_TOKENS:
        payload = bytearray()
        # A step ends with its first direction token, so that its payload belongs to one turn.
        for token in decoder.step([0], stops=DIRECTIONS)[0]:
            if token < vocabulary.PAD:
                payload.append(token)
            elif token not in DIRECTIONS:
                delay += delays.draw(quantiles, token, clock.random())
        framing = 0 if payload else framing + 1
        if payload:
            yield PlayedChunk(direction, delay, bytes(payload[:left]))
            left, delay = max(0, left - len(payload)), 0.0
        if token in DIRECTIONS:
            direction = token
            if until_turn and left < length:
                return


def render(ids: Sequence[int], chunks: Iterable[PlayedChunk]) -> Iterator[tuple[PlayedChunk, Event]]:
    """Yield each chunk with the event that a player's terminal shows.

    Text that the client types has another kind of event, since the player sees only the server's echo of it.

    Args:
        ids: The prompt.
        chunks: The play after the prompt.
    """
    displays = {vocabulary.SERVER: Display(), vocabulary.CLIENT: Display()}
    kinds = {vocabulary.SERVER: asciicast.SHOWN, vocabulary.CLIENT: asciicast.TYPED}
    # The prompt may end within a control sequence of its last turn.
    begin = max(index for index, token in enumerate(ids) if token >= vocabulary.PAD) + 1
    displays[_last_direction(ids)].feed(bytes(ids[begin:]))
    seconds = 0.0
    for chunk in chunks:
        seconds += chunk.delay
        yield chunk, Event(seconds, kinds[chunk.direction], displays[chunk.direction].feed(chunk.payload))
