"""Finding `<|...|>` tokens in a block of a log, and taking them out, without a loop over bytes or tokens.

Positions are int64 [n], offsets into the block. No token contains another, so each is recognised by itself.
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
"""No token is longer: one that starts this far before the end of the data is decided."""

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
"""The value of a hex digit; 16, which is the bit `_DIGIT`, for any other byte."""

_CUT_TOKEN = re.compile(
    rb"<\|(?:(?:ansi|telnet)#(?P<pairs>(?:[0-9A-Fa-f]{2})*)(?:[0-9A-Fa-f]|(?<=[0-9A-Fa-f])\|)?"
    rb"|ansi|ans|an|a|telnet|telne|teln|tel|te|t)?"
)


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


@dataclass
class _Columns:
    """Arrays of one length, chosen from together."""

    starts: np.ndarray
    ends: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> Self:
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.starts)


@dataclass
class Headers(_Columns):
    """Record headers: marker, junk and delay as far as the payload."""

    directions: np.ndarray
    """uint8 [n], values of `Direction`."""
    delays: np.ndarray
    """int64 [n], milliseconds."""
    junk: np.ndarray
    """int64 [n], bytes between marker and delay."""
    commas: np.ndarray
    """bool [n]: the delay has a decimal comma."""


@dataclass
class HexTokens(_Columns):
    """Hex tokens, complete or cut off; the digits are even in number."""

    digits_from: np.ndarray
    digits_to: np.ndarray


class Scan:
    """A stretch of a log, and what stands in it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        padded = data + bytes(LOOKAHEAD)
        self._bytes = np.frombuffer(padded, np.uint8)
        # At each position the eight bytes from there on as one number: a view, no copy.
        self._words = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))
        self.openings = self._pairs(b"<|")
        self._heads = self._words[self.openings]

    def _pairs(self, pair: bytes) -> np.ndarray:
        return np.flatnonzero((self._bytes[:-1] == pair[0]) & (self._bytes[1:] == pair[1]))

    def _opened_by(self, text: bytes) -> np.ndarray:
        """int64 [n]: which openings begin `text` (up to 16 bytes)."""
        head, tail = text[:8], text[8:]
        found = np.flatnonzero(self._heads & _MASKS[len(head)] == _word(head))
        if tail:
            rest = self._words[self.openings[found] + 8] & _MASKS[len(tail)]
            found = found[rest == _word(tail)]
        return found

    def headers(self) -> Headers:
        """The direction markers that a delay follows within `MAX_JUNK_BYTES`."""
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
        """Where each `-?digits[.digits]|>` ends (0 where none stands), its milliseconds, and whether its point is a
        comma."""
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
        """bool [n]: whether `text`, which begins with `<|`, stands at each position."""
        return np.isin(positions, self.openings[self._opened_by(text)])

    def hex_tokens(self) -> HexTokens:
        """What is opened and closed as a hex token, with digits in pairs if they are digits."""
        opened, lengths = [], []
        for opening in HEX_OPENINGS:
            found = self._opened_by(opening)
            opened.append(found)
            lengths.append(np.full(len(found), len(opening)))
        opened = np.concatenate(opened)
        starts = self.openings[opened]
        digits_from = starts + np.concatenate(lengths)
        closings = np.append(self._pairs(b"|>"), len(self._bytes))
        digits_to = closings[np.searchsorted(closings, digits_from)]
        digits = digits_to - digits_from
        complete = (digits > 0) & (digits <= MAX_HEX_DIGITS) & (digits % 2 == 0)
        complete &= digits_to < np.append(self.openings, len(self._bytes))[opened + 1]
        return HexTokens(starts, digits_to + 2, digits_from, digits_to)[complete]

    def cut_tokens(self, ends: np.ndarray) -> HexTokens:
        """The hex tokens that break off at one of the positions `ends`."""
        found = []
        after = np.searchsorted(self.openings, ends)
        starts, ends = self.openings[after[after > 0] - 1], ends[after > 0]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if match := _CUT_TOKEN.fullmatch(self.data, start, end):
                found.append((start, end, *(match.span("pairs") if match["pairs"] else (end, end))))
        return HexTokens(*np.array(found, np.int64).reshape(-1, 4).T)

    def extract(self, end: int, headers: Headers, *tokens: HexTokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The bytes before `end` without the headers, each hex token replaced by the bytes that it spells.

        Returns the bytes, uint8 [m]; which positions they come from, bool [end]; and which positions belong
        to no header or token, bool [end].
        """
        nibbles = np.frombuffer(self.data.translate(_NIBBLES), np.uint8)[:end]
        states = self._states(end, headers, *tokens)
        wrong = states & nibbles & _DIGIT
        if wrong.any():
            wrong = np.flatnonzero(wrong)
            tokens = [
                group[np.searchsorted(wrong, group.starts) == np.searchsorted(wrong, group.ends)] for group in tokens
            ]
            states = self._states(end, headers, *tokens)
        plain = states & (_DROPPED | _DIGIT) == 0
        kept = plain | (states & (_DROPPED | _SECOND) == 0)
        text = self._bytes[:end].copy()
        pairs = nibbles[:-1] << 4 | nibbles[1:]
        np.copyto(text[:-1], pairs, where=states[:-1] & _DIGIT != 0)
        return text[kept], kept, plain

    @staticmethod
    def _states(end: int, headers: Headers, *tokens: HexTokens) -> np.ndarray:
        """uint8 [end]: the bits `_DROPPED` and `_DIGIT`, and in digits `_SECOND` for the second of each pair.

        Bits are toggled where spans begin and end, and the running exclusive-or over all positions is taken,
        eight at a time.
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
