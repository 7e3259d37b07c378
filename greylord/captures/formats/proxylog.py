"""Telnet proxy logs: two dialects found in the wild, and our own.

A record is a direction marker, a delay, and payload up to the next record:

    <|server|> junk <|delay#0.810|> payload

* v1 leaves up to 8 junk bytes after the marker (a stale pointer) and writes payload raw.
* v2 writes control sequences as hex: `<|ansi#1B5B306D|>`, `<|telnet#FFFB01|>`.
* v3, ours, opens with the line `<|greylord#3|>`, writes any `<|` of payload as `<|hex#3C7C|>`, and puts
  `<|truncated|>` before the payload of a record whose end was lost.

The proxy that wrote v1 and v2 cut its records at 512 bytes. Such a record is flagged as truncated; if it ends
within a hex token, the whole bytes that the token spells are kept. Whatever is not understood stays payload
and is counted, so that no bytes make reading fail.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import numpy as np

from greylord.captures.formats.proxylog_tokens import (
    HEADER_BYTES,
    LOOKAHEAD,
    MARKERS,
    MAX_HEX_DIGITS,
    MAX_JUNK_BYTES,
    Scan,
)
from greylord.captures.session import Direction, Dirt, Record, Session
from greylord.errors import UsageError
from greylord.spool import Spool

__all__ = [
    "check_capture",
    "copy_masked",
    "is_capture",
    "plausible_start",
    "read",
    "read_file",
    "read_head",
    "started_at",
    "write",
]

V3_HEADER = b"<|greylord#3|>\n"
TRUNCATED = b"<|truncated|>"
CUT_RECORD_BYTES = 512
MIN_ZEROS = 8
"""Zero bytes at the end of a file from which on they are no payload: room that was made for it and never written. One
may have been recorded: telnet ends lines with CR NUL."""
BLOCK_BYTES = 1 << 19
ZEROS_IN_TOKEN = MAX_HEX_DIGITS // 2

EARLIEST_START = datetime(1995, 1, 1, tzinfo=UTC)
"""MajorMUD is not older."""
_DATE_NAME = re.compile(
    r"(?<!\d)(\d{4})([-._]?)(\d\d)\2(\d\d)"
    r"(?:[T _.,(-]{0,3}(?:at )?(\d\d)([-:._h]?)(\d\d)(?:\6(\d\d)(?:[-.,]?(\d{3})\d{0,6})?)?)?(?!\d)"
)
_EPOCH_NAME = re.compile(r"(?<!\d)(\d{13}|\d{9,10})(?![0-9a-zA-Z])")


def started_at(name: str) -> datetime | None:
    """Return the start of a recording (UTC) as its file name carries it, or None if it carries none.

    A name may hold a date, with a time or without (`2025-06-18T05-44-07-829`, `2025-06-18 05-44-07`,
    `20250618_054407`), or the seconds or milliseconds since 1970 (`1750709786`, `1750709786123`). A start before 1995
    or after tomorrow is not one.
    """
    for match in _DATE_NAME.finditer(name):
        year, _, month, day, hour, _, minute, second, milli = match.groups()
        date = [int(part) for part in (year, month, day)]
        time = [int(part or 0) for part in (hour, minute, second)]
        # What stands behind a date need not be a time.
        for numbers in ([*date, *time, int(milli or 0) * 1_000], date):
            with contextlib.suppress(ValueError):
                if plausible := plausible_start(datetime(*numbers, tzinfo=UTC)):
                    return plausible
    for match in _EPOCH_NAME.finditer(name):
        milliseconds = int(match[1]) * (1 if len(match[1]) == 13 else 1_000)
        if plausible := plausible_start(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)):
            return plausible
    return None


def plausible_start(start: datetime) -> datetime | None:
    """Return `start`, or None if it is before 1995 or after tomorrow."""
    return start if EARLIEST_START <= start <= datetime.now(UTC) + timedelta(days=1) else None


def write(records: Iterable[Record], target: BinaryIO) -> None:
    """Write records in our dialect, v3. Reading them back gives equal records."""
    target.write(V3_HEADER)
    for direction, delay_ms, payload, truncated in records:
        seconds, milliseconds = divmod(abs(delay_ms), 1_000)
        sign = "-" if delay_ms < 0 else ""
        target.write(MARKERS[direction] + f"<|delay#{sign}{seconds}.{milliseconds:03}|>".encode())
        target.write((TRUNCATED if truncated else b"") + _escaped(payload))


def _escaped(payload: bytes) -> bytes:
    """A payload as v3 has it: with no token's opening in it, and no zeros at its end that reading would cut off."""
    written = payload.rstrip(b"\0") if payload.endswith(bytes(MIN_ZEROS)) else payload
    zeros = len(payload) - len(written)
    tokens = (b"<|hex#%b|>" % (b"00" * min(ZEROS_IN_TOKEN, zeros - at)) for at in range(0, zeros, ZEROS_IN_TOKEN))
    return written.replace(b"<|", b"<|hex#3C7C|>") + b"".join(tokens)


def read_file(path: Path, folder: Path | None = None) -> Session:
    """Read one log; see `read`. Raises OSError where the file cannot be read, and nothing else, whatever it holds."""
    with path.open("rb") as source:
        return read(source, folder=folder)


def read(source: BinaryIO, block_bytes: int = BLOCK_BYTES, folder: Path | None = None) -> Session:
    """Read a log of any dialect and size from a binary stream.

    Args:
        source: the log.
        block_bytes: what is parsed at a time, at least 4 x `LOOKAHEAD`.
        folder: where the arrays of a large log lie; see `Spool`.
    """
    payload, ends = Spool(np.uint8, folder), Spool(np.int64, folder)
    directions, delays, truncated = Spool(np.uint8, folder), Spool(np.int64, folder), Spool(np.bool_, folder)
    # What stands before the first header counts as a record of the server, if there is anything.
    directions.append([Direction.SERVER])
    delays.append([0])
    junk = np.zeros(MAX_JUNK_BYTES + 1, np.int64)
    dirt, end, cut, v3, spells, zeros = Dirt(), 0, False, False, False, 0
    for block, _ in _blocks(source, block_bytes):
        # What stands before a block's first header belongs to the record that the block before left open.
        block_ends = end + np.cumsum(block.sizes, dtype=np.int64)
        block.truncated[0] |= cut
        ends.append(block_ends[:-1])
        truncated.append(block.truncated[:-1])
        end, cut = int(block_ends[-1]), block.truncated[-1]
        payload.append(block.payload)
        directions.append(block.directions)
        delays.append(block.delays)
        junk += np.bincount(block.junk, minlength=len(junk))
        dirt.cut_tokens += block.cut_tokens
        dirt.stray_markers += block.stray_markers
        dirt.decimal_commas += block.decimal_commas
        zeros = zeros + block.zeros if block.zeros == block.text_bytes else block.zeros
        v3, spells = block.v3, spells or block.spells
    if zeros >= MIN_ZEROS:
        dirt.trailing_zeros, end = zeros, end - zeros
    ends.append([end])
    truncated.append([cut])
    columns = [column.array() for column in (ends, directions, delays, truncated)]
    dirt.junk = Counter({length: count for length, count in enumerate(junk.tolist()) if count})
    dirt.headless_bytes = int(columns[0][0])
    if not dirt.headless_bytes:
        columns = [column[1:] for column in columns]
    wild = "v1" if junk[1:].any() or not spells else "v2"
    return Session(payload.array()[:end], *columns, "v3" if v3 else wild, dirt)


def is_capture(path: Path) -> bool:
    """Whether a file holds at least one record header. Reads little further than the first."""
    return read_head(path, 0) is not None


def read_head(path: Path, size: int) -> np.ndarray | None:
    """Return the first `size` bytes of a log's payload, uint8, or all if it has fewer; None if it has no record.

    Reads little further. Raises OSError where the file cannot be read.
    """
    parts, held, is_log = [], 0, False
    with path.open("rb") as source:
        for block, _ in _blocks(source, 1 << 16):
            is_log |= len(block.directions) > 0
            parts.append(block.payload[: size - held])
            held += len(parts[-1])
            if is_log and held == size:
                break
    return np.concatenate(parts) if is_log else None


def check_capture(path: Path) -> None:
    """Raise UsageError if a file that was named as a recording is none."""
    if not path.is_file():
        known = f"{str(path)!r} is not a regular file; name a recording."
        raise UsageError(known if path.exists() else f"There is no file {str(path)!r}.")
    if not is_capture(path):
        raise UsageError(f"{str(path)!r} is no recording: it has no record of a proxy log.")


def copy_masked(source: BinaryIO, target: BinaryIO, positions: np.ndarray, block_bytes: int = BLOCK_BYTES) -> None:
    """Copy a log with `*` in place of some bytes of its payload, in its own dialect and to the same length.

    Args:
        source, target: binary streams.
        positions: int64 [n], positions in the payload of the session that `read` gives, ascending.
        block_bytes: as for `read`.
    """
    payload_before = 0
    for number, (block, layout) in enumerate(_blocks(source, block_bytes)):
        if block.v3 and number == 0:
            target.write(V3_HEADER)
        first, last = np.searchsorted(positions, (payload_before, payload_before + len(block.payload)))
        places = np.flatnonzero(layout.kept)[positions[first:last] - payload_before]
        raw = layout.plain[places]
        text = np.frombuffer(layout.text, np.uint8).copy()
        text[places[raw]] = ord("*")
        text[places[~raw]], text[places[~raw] + 1] = b"2A"
        target.write(text.tobytes())
        payload_before += len(block.payload)


@dataclass
class _Block:
    """A parsed stretch of a log."""

    payload: np.ndarray
    sizes: np.ndarray
    """Payload bytes before the first header, then of each record."""
    truncated: np.ndarray
    """Like `sizes`."""
    directions: np.ndarray
    delays: np.ndarray
    junk: np.ndarray
    v3: bool
    spells: bool
    """Whether there are hex tokens."""
    cut_tokens: int
    stray_markers: int
    decimal_commas: int
    text_bytes: int
    """Bytes of the log."""
    zeros: int
    """Of these, zeros at the end."""


@dataclass
class _Layout:
    """Where the payload of a block stands in the log.

    Attributes:
        text: the block as it is.
        kept: bool [text], where each payload byte stands, or the first of the two hex digits that spell it.
        plain: bool [text], what belongs to no header or token.
    """

    text: bytes
    kept: np.ndarray
    plain: np.ndarray


def _blocks(source: BinaryIO, block_bytes: int) -> Iterator[tuple[_Block, _Layout]]:
    data = _read_up_to(source, len(V3_HEADER))
    v3 = data == V3_HEADER
    if v3:
        data = b""
    final = False
    while not final:
        data += _read_up_to(source, block_bytes - len(data))
        final = len(data) < block_bytes
        block, layout = _parse(data, v3, final)
        data = data[len(layout.text) :]
        yield block, layout


def _read_up_to(source: BinaryIO, size: int) -> bytes:
    """Read until `size` bytes are there or the stream ends; one read may give fewer."""
    pieces = []
    while size > 0 and (piece := source.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _parse(data: bytes, v3: bool, final: bool) -> tuple[_Block, _Layout]:
    """Parse the head of `data`, all of it if `final`."""
    scan = Scan(data)
    headers = scan.headers()
    openings = scan.openings
    end = len(data)
    if not final:
        # End before a header if there is one, so that only a record longer than a block is spread over
        # several; else before an opening, so that no token is; else in mid-payload.
        end -= LOOKAHEAD
        for starts in (headers.starts[headers.starts > 0], openings[openings > HEADER_BYTES]):
            if len(starts := starts[starts < end]):
                end = int(starts[-1])
                break
        headers = headers[headers.starts < end]
    record_ends = np.append(headers.starts[1:], end)[: len(headers)]
    complete = scan.hex_tokens()
    complete = complete[complete.starts < end]

    truncated = np.zeros(1 + len(headers), bool)
    if v3:
        truncated[1:] = scan.followed_by(headers.ends, TRUNCATED)
        headers.ends[truncated[1:]] += len(TRUNCATED)
        cut = complete[:0]
    else:
        truncated[1:] = record_ends - headers.starts == CUT_RECORD_BYTES
        suspects = record_ends[truncated[1:]]
        if final and not truncated[-1]:
            suspects = np.append(suspects, end)
        cut = scan.cut_tokens(suspects)
        truncated[-1] |= end in cut.ends
    payload, kept, plain = scan.extract(end, headers, complete, cut)
    block = _Block(
        payload=payload,
        sizes=np.add.reduceat(np.append(kept, False).view(np.uint8), np.append(0, headers.starts), dtype=np.int32),
        truncated=truncated,
        directions=headers.directions,
        delays=headers.delays,
        junk=headers.junk,
        v3=v3,
        spells=bool((kept & ~plain).any()),
        cut_tokens=len(cut),
        stray_markers=int(plain[openings[openings < end]].sum()),
        decimal_commas=int(headers.commas.sum()),
        text_bytes=end,
        zeros=end - len(data[:end].rstrip(b"\0")),
    )
    return block, _Layout(data[:end], kept, plain)
