"""Redaction: find the passwords in a recording, and mask them with `*`.

Passwords are found by rules (`greylord.captures.redaction_rules`); here their spans are joined and masked. User names
are not masked: a player's User-ID is the name of the hero, which the game shows to everyone on nearly every line.

A password is often an ordinary word. Masking the word everywhere would reveal it. So it is masked elsewhere only where
it is the whole answer to a prompt other than the game's. A password that is neither a word nor a number is masked
wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from greylord.captures import redaction_rules as rules
from greylord.captures.conversation import Conversation
from greylord.captures.markup import apply_backspaces
from greylord.captures.redaction_rules import LOGIN_REASONS, MIN_SOUGHT, MaskSpan
from greylord.captures.session import Session
from greylord.spool import Spool, blocks

__all__ = ["MASK", "Credentials", "find", "find_spans", "mask"]

MASK = ord("*")
DELETE = 0x7F


@dataclass(frozen=True, eq=False)
class Credentials:
    """The passwords of one recording.

    Attributes:
        positions: int64 [bytes], ascending positions of their bytes in the session's payload.
        logins: Number of passwords given on request: lines that answer a prompt, or whose echo was asterisks or
            held back.
    """

    positions: np.ndarray
    logins: int


def find(session: Session, spool: Path | None = None) -> Credentials:
    """Find the passwords of a recording.

    Args:
        session: The recording.
        spool: Folder for copies of what each side of a large one sent; see `Spool`.
    """
    conversation = Conversation(session, spool)
    typed_spans, server_spans = find_spans(conversation)
    typed, server = _positions(typed_spans), _positions(server_spans)
    positions = np.sort(
        np.concatenate(
            [conversation.payload_positions_of_typed(typed), conversation.payload_positions_of_server(server)]
        )
    )
    logins = {span.begin for span in typed_spans if span.reason in LOGIN_REASONS}
    return Credentials(_printable(positions, session.payload), len(logins))


def find_spans(conversation: Conversation) -> tuple[list[MaskSpan], list[MaskSpan]]:
    """Apply all rules.

    Returns:
        The spans in `Conversation.typed` and those in `Conversation.server`, overlaps included.
    """
    logins = [
        *rules.answers_to_prompts(conversation),
        *rules.echoed_in_asterisks(conversation),
        *rules.typed_unechoed(conversation),
    ]
    typed = [*logins, *rules.asked_again(conversation, logins), *rules.hero_commands(conversation)]
    if not typed:
        return [], []
    passwords = {apply_backspaces(bytes(conversation.typed[span.begin : span.end])).lower() for span in typed}
    passwords = {password for password in passwords if len(password) >= MIN_SOUGHT and password.strip(b"*")}
    ordinary = {password for password in passwords if password.isalpha() or password.isdigit()}
    typed += rules.typed_again(conversation, ordinary)
    typed += rules.words_anywhere(conversation.typed, passwords - ordinary)
    server = [
        *rules.words_anywhere(conversation.server, passwords - ordinary),
        *rules.echoed_in_clear(conversation, _positions(typed)),
    ]
    return typed, server


def mask(session: Session, credentials: Credentials, spool: Path | None = None) -> Session:
    """Return the session with `*` at the positions of its passwords.

    Nothing else differs.

    Args:
        session: Returned itself if it has no passwords.
        credentials: What `find` found in it.
        spool: Folder for the payload of a large one; see `Spool`.
    """
    if not len(credentials.positions):
        return session
    payload = Spool(np.uint8, spool)
    for begin, block, inside in _by_block(credentials.positions, session.payload):
        copy = block.copy()
        copy[inside - begin] = MASK
        payload.append(copy)
    return replace(session, payload=payload.array())


def _positions(spans: Iterable[MaskSpan]) -> np.ndarray:
    """Return the positions within any of the spans, each once: int64 [n], ascending."""
    begins, ends = np.array(sorted((span.begin, span.end) for span in spans), np.int64).reshape(-1, 2).T
    ends = np.maximum.accumulate(ends)
    begins = np.maximum(begins, np.append(0, ends)[:-1])
    sizes = ends - begins
    return np.arange(sizes.sum()) + np.repeat(begins - np.cumsum(sizes) + sizes, sizes)


def _printable(positions: np.ndarray, payload: np.ndarray) -> np.ndarray:
    """Return the positions at which a payload has no control character, int64 [n]."""
    printable = [np.zeros(0, np.int64)]
    for begin, block, inside in _by_block(positions, payload):
        values = block[inside - begin]
        printable.append(inside[(values >= ord(" ")) & (values != DELETE)])
    return np.concatenate(printable)


def _by_block(positions: np.ndarray, payload: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the start of each block of a payload, the block, and positions within it."""
    for begin, block in blocks(payload):
        first, last = np.searchsorted(positions, (begin, begin + len(block)))
        yield begin, block, positions[first:last]
