"""What a model is given to go on from, and what it says then: payload with who says it and after how long a pause."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from greylord import pauses, turns, units, vocabulary
from greylord.captures import asciicast, proxylog
from greylord.captures.asciicast import Event
from greylord.errors import UsageError
from greylord.generation import Decoder
from greylord.pauses import Quantiles
from greylord.terminal.display import Display

__all__ = ["Speech", "capture_ids", "on_screen", "play", "prompt_ids"]

DIRECTIONS = (vocabulary.CLIENT, vocabulary.SERVER)


class Speech(NamedTuple):
    """A piece of what is said."""

    direction: int
    """The token `CLIENT` or `SERVER`."""
    pause: float
    """Seconds before it: 0 within a turn."""
    payload: bytes


def prompt_ids(text: str | None, direction: int) -> list[int]:
    """The ids of a session that `direction` begins with `text`, or is about to begin if there is none.

    Raises UsageError for characters that are no bytes.
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
    """The ids of a recording up to `at` payload bytes, all if None, and then the token `direction` unless it is None.

    Raises UsageError if there is no recording, or it is shorter.
    """
    proxylog.check_capture(path)
    session = proxylog.read_file(path)
    size = len(session.payload)
    if at is None:
        at = size
    if at > size:
        raise UsageError(f"{str(path)!r} has {units.count(size, 'payload byte')}; --at is {at:,}.")
    ids = turns.encode(turns.turns_of(session))
    after = np.flatnonzero(ids < vocabulary.PAD)[at - 1] + 1 if at else 1
    return ids[:after].tolist() + ([] if direction is None else [direction])


def _speaker(ids: Sequence[int]) -> int:
    """The direction token of the last turn."""
    return next((token for token in reversed(ids) if token in DIRECTIONS), vocabulary.SERVER)


def play(
    decoder: Decoder, ids: Sequence[int], seed: int, length: int, until_turn: bool, quantiles: Quantiles
) -> Iterator[Speech]:
    """Let slot 0 go on from `ids`, piece by piece as it decodes.

    Args:
        decoder: of one slot or more.
        ids: what has been said.
        seed: of the bytes and of the pauses.
        length: payload bytes to say.
        until_turn: end where another turn begins, if that is sooner.
        quantiles: of the pauses.
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
                pause += pauses.draw(quantiles, token, clock.random())
        if payload:
            yield Speech(direction, pause, bytes(payload[:left]))
            left, pause = max(0, left - len(payload)), 0.0
        if token in DIRECTIONS:
            direction = token
            if until_turn and left < length:
                return


def on_screen(ids: Sequence[int], speeches: Iterable[Speech]) -> Iterator[tuple[Speech, Event]]:
    """Each speech, and what a player's terminal makes of it after `ids`.

    What the client types is an event of its own kind: to be seen, it has to be echoed by the server.
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
