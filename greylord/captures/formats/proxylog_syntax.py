"""Find the `<|...|>` tokens of a proxy log in a block, and remove them.

There is no loop over bytes or tokens. Positions are int64 [n], offsets into the block. No token contains another, so
each is found on its own.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from greylord.captures.session import Direction

__all__ = ["HEADER_BYTES", "LOOKAHEAD", "MARKERS", "MAX_JUNK_BYTES", "Headers", "HexTokens", "Scan"]

LOOKAHEAD = 1_024
"""Bytes, more than the longest token: one that starts this far before the end of the data is whole or cut for good."""

MARKERS = {Direction.CLIENT: b"<|client|>", Direction.SERVER: b"<|server|>"}
MARKER_BYTES = 10
MAX_JUNK_BYTES = 8
DELAY = b"<|delay#"
MAX_DELAY_CHARACTERS = 20
MAX_DELAY_DIGITS = 12
HEADER_BYTES = MARKER_BYTES + MAX_JUNK_BYTES + len(DELAY) + MAX_DELAY_CHARACTERS + 2

HEX_OPENINGS = (b"<|ansi#", b"<|telnet#", b"<|hex#")
MAX_HEX_DIGITS = 1_000

_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
_DROPPED, _SECOND, _DIGIT = 1, 2, 16

_NIBBLES = bytes(int(chr(byte), 16) if chr(byte) in string.hexdigits else 16 for byte in range(256))
"""The value of a hex digit. Any other byte has 16, the bit `_DIGIT`."""

_CUT_TOKEN = re.compile(
    rb"<\|(?:(?:ansi|telnet)#(?P<pairs>(?:[0-9A-Fa-f]{2})*)(?:[0-9A-Fa-f]|(?<=[0-9A-Fa-f])\|)?"
    rb"|ansi|ans|an|a|telnet|telne|teln|tel|te|t)?"
)


def _word(text: bytes) -> np.uint64:
    """Pack up to 8 bytes into one number, the first in its lowest byte."""
    return np.uint64(int.from_bytes(text, "little"))


@dataclass
class _Columns:
    """Arrays of one length, indexed together."""

    starts: np.ndarray
    ends: np.ndarray

    def __getitem__(self, chosen: np.ndarray | slice) -> Self:
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.starts)


@dataclass
class Headers(_Columns):
    """Record headers: marker, junk and delay, up to the payload."""

    directions: np.ndarray
    """uint8 [n], values of `Direction`."""
    delays: np.ndarray
    """int64 [n], milliseconds."""
    junk: np.ndarray
    """int64 [n], bytes between marker and delay."""
    commas: np.ndarray
    """bool [n], the delay has a decimal comma."""


@dataclass
class HexTokens(_Columns):
    """Hex tokens, complete or cut off, with an even number of digits."""

    digits_from: np.ndarray
    digits_to: np.ndarray

    @classmethod
    def none(cls) -> Self:
        """Return no tokens."""
        return cls(*np.zeros((4, 0), np.int64))


class Scan:
    """A block of a log, searched for tokens."""

    openings: np.ndarray
    """Where each `<|` stands."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        padded = data + bytes(LOOKAHEAD)
        self._bytes = np.frombuffer(padded, np.uint8)
        # The eight bytes from each position on as one number: a view, no copy.
        self._words = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))
        self.openings = self._find_pair(b"<|")
        self._heads = self._words[self.openings]

    def _find_pair(self, pair: bytes) -> np.ndarray:
        return np.flatnonzero((self._bytes[:-1] == pair[0]) & (self._bytes[1:] == pair[1]))

    def _opened_by(self, text: bytes) -> np.ndarray:
        """Return the indices of openings at which `text` stands, int64 [n].

        `text` has up to 16 bytes.
        """
        head, tail = text[:8], text[8:]
        indices = np.flatnonzero(self._heads & _MASKS[len(head)] == _word(head))
        if tail:
            rest = self._words[self.openings[indices] + 8] & _MASKS[len(tail)]
            indices = indices[rest == _word(tail)]
        return indices

    def headers(self) -> Headers:
        """Find the direction markers that a delay follows after at most `MAX_JUNK_BYTES`."""
        delay_starts = self.openings[self._opened_by(DELAY)]
        delay_ends, delays, commas = self._delays(delay_starts + len(DELAY))
        valid = delay_ends > 0
        delay_starts, delay_ends, delays, commas = (each[valid] for each in (delay_starts, delay_ends, delays, commas))

        marked = np.zeros(len(self.openings), np.uint8)
        for direction, marker in MARKERS.items():
            marked[self._opened_by(marker)] = 1 + direction
        markers = np.flatnonzero(marked)
        starts, directions = self.openings[markers], marked[markers] - np.uint8(1)

        follower = np.searchsorted(delay_starts, starts + MARKER_BYTES)
        junk = np.append(delay_starts, len(self._bytes))[follower] - starts - MARKER_BYTES
        complete = junk <= MAX_JUNK_BYTES
        follower = follower[complete]
        return Headers(
            starts=starts[complete],
            ends=delay_ends[follower],
            directions=directions[complete],
            delays=delays[follower],
            junk=junk[complete],
            commas=commas[follower],
        )

    def _delays(self, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parse delays written as `-?digits[.digits]|>`.

        Returns:
            Where each ends, or 0 if there is none; its milliseconds; bool [n], its point is a comma.
        """
        text = self._bytes[starts[:, None] + np.arange(MAX_DELAY_CHARACTERS + 1)]
        width = np.argmax(text == ord("|"), axis=1)
        negative = text[:, 0] == ord("-")
        value, digits, decimals = np.zeros((3, len(starts)), np.int64)
        commas = ((text == ord(",")) & (np.arange(text.shape[1]) < width[:, None])).any(axis=1)
        text[text == ord(",")] = ord(".")
        pointed = np.zeros(len(starts), bool)
        valid = self._bytes[starts + width + 1] == ord(">")
        for column in range(width.max(initial=0)):
            character = text[:, column]
            inside = column < width
            digit = inside & (character >= ord("0")) & (character <= ord("9"))
            point = inside & (character == ord(".")) & ~pointed & (digits > 0)
            sign = negative if column == 0 else False
            valid &= digit | point | sign | ~inside
            shown = digit & (decimals < 3)
            value[shown] = value[shown] * 10 + (character[shown] - ord("0"))
            digits += digit
            decimals += digit & pointed
            pointed |= point
        valid &= (digits > 0) & ((decimals > 0) | ~pointed) & (digits - decimals <= MAX_DELAY_DIGITS)
        value *= 10 ** (3 - np.minimum(decimals, 3))
        return np.where(valid, starts + width + 2, 0), np.where(negative, -value, value), commas

    def followed_by(self, positions: np.ndarray, text: bytes) -> np.ndarray:
        """Return where `text` stands at a position, bool [n]. `text` begins with `<|`."""
        return np.isin(positions, self.openings[self._opened_by(text)])

    def hex_tokens(self) -> HexTokens:
        """Find hex tokens that open and close.

        `extract` checks that their digits are digits.
        """
        per_opening = [self._opened_by(opening) for opening in HEX_OPENINGS]
        lengths = [np.full(len(indices), len(text)) for indices, text in zip(per_opening, HEX_OPENINGS, strict=True)]
        opened = np.concatenate(per_opening)
        starts = self.openings[opened]
        digits_from = starts + np.concatenate(lengths)
        closings = np.append(self._find_pair(b"|>"), len(self._bytes))
        digits_to = closings[np.searchsorted(closings, digits_from)]
        digits = digits_to - digits_from
        complete = (digits > 0) & (digits <= MAX_HEX_DIGITS) & (digits % 2 == 0)
        complete &= digits_to < np.append(self.openings, len(self._bytes))[opened + 1]
        return HexTokens(starts, digits_to + 2, digits_from, digits_to)[complete]

    def cut_tokens(self, ends: np.ndarray) -> HexTokens:
        """Find the hex tokens that break off at one of the positions `ends`, int64 [n]."""
        tokens = []
        after = np.searchsorted(self.openings, ends)
        starts, ends = self.openings[after[after > 0] - 1], ends[after > 0]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if match := _CUT_TOKEN.fullmatch(self.data, start, end):
                tokens.append((start, end, *(match.span("pairs") if match["pairs"] else (end, end))))
        return HexTokens(*np.array(tokens, np.int64).reshape(-1, 4).T)

    def extract(self, end: int, headers: Headers, *tokens: HexTokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Extract the payload before `end`.

        Headers are removed, and each hex token is replaced by the bytes that it spells.

        Returns:
            The payload, uint8 [m]; the positions it comes from, bool [end]; the positions outside every header
            and token, bool [end].
        """
        nibbles = np.frombuffer(self.data.translate(_NIBBLES), np.uint8)[:end]
        states = self._states(end, headers, *tokens)
        wrong = states & nibbles & _DIGIT
        if wrong.any():
            # A token with a wrong digit is payload.
            wrong = np.flatnonzero(wrong)
            valid = (np.searchsorted(wrong, group.starts) == np.searchsorted(wrong, group.ends) for group in tokens)
            states = self._states(end, headers, *(group[chosen] for group, chosen in zip(tokens, valid, strict=True)))
        is_raw = states & (_DROPPED | _DIGIT) == 0
        is_payload = is_raw | (states & (_DROPPED | _SECOND) == 0)
        text = self._bytes[:end].copy()
        pairs = nibbles[:-1] << 4 | nibbles[1:]
        np.copyto(text[:-1], pairs, where=states[:-1] & _DIGIT != 0)
        return text[is_payload], is_payload, is_raw

    @staticmethod
    def _states(end: int, headers: Headers, *tokens: HexTokens) -> np.ndarray:
        """Mark positions with the bits `_DROPPED`, `_DIGIT` and `_SECOND`.

        `_SECOND` marks the second digit of each pair. Bits are toggled where spans begin and end. The running
        exclusive-or spreads them, eight positions at a time.

        Returns:
            uint8 [end].
        """
        toggles = np.zeros(end // 8 * 8 + 8, np.uint8)
        toggles[headers.starts] ^= _DROPPED
        toggles[headers.ends] ^= _DROPPED
        for group in tokens:
            change = (_DROPPED | _DIGIT | _SECOND * (group.digits_from & 1)).astype(np.uint8)
            toggles[group.starts] ^= _DROPPED
            toggles[group.digits_from] ^= change
            toggles[group.digits_to] ^= change
            toggles[group.ends] ^= _DROPPED
        words = toggles.view("<u8")
        for bits in (8, 16, 32):
            words ^= words << np.uint64(bits)
        words[1:] ^= np.bitwise_xor.accumulate(words[:-1] >> np.uint64(56)) * np.uint64(0x0101010101010101)
        words ^= np.uint64(_SECOND * 0x0100010001000100)
        return toggles[:end]
