"""Telnet proxy logs: two dialects found in the wild, and our own.

A record is a direction marker, a delay in seconds, and payload up to the next record:

    <|server|> junk <|delay#0.810|> payload

* v1 leaves up to 8 junk bytes after the marker (a stale pointer) and writes payload raw.
* v2 writes control sequences as hex: `<|ansi#1B5B306D|>`, `<|telnet#FFFB01|>`.
* v3, ours, opens with the line `<|greylord#3|>`, writes every `<|` of the payload as `<|hex#3C7C|>`, and puts
  `<|truncated|>` before the payload of a record whose end was lost.

The proxy that wrote v1 and v2 cut its records at 512 bytes. Such a record is flagged as truncated. If it ends
within a hex token, the whole bytes that the token spells are kept. Bytes that fit no rule stay payload
and are counted, so that reading never fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from greylord.captures.formats.proxylog_syntax import (
    HEADER_BYTES,
    LOOKAHEAD,
    MARKERS,
    MAX_HEX_DIGITS,
    MAX_JUNK_BYTES,
    HexTokens,
    Scan,
)
from greylord.captures.session import Direction, Dirt, Record, Session
from greylord.spool import Spool

__all__ = ["copy_masked", "read", "read_head", "write"]

V3_HEADER = b"<|greylord#3|>\n"
TRUNCATED = b"<|truncated|>"
CUT_RECORD_BYTES = 512
MIN_ZEROS = 8
"""Zero bytes at the end of a file that are cut off: space that a file system reserved and nothing filled. Fewer are
payload, since telnet ends lines with CR NUL."""
BLOCK_BYTES = 1 << 19
HEAD_BLOCK_BYTES = 1 << 16
ZEROS_IN_TOKEN = MAX_HEX_DIGITS // 2


def write(records: Iterable[Record], target: BinaryIO) -> None:
    """Write records in our dialect, v3. Reading the log gives back equal records."""
    target.write(V3_HEADER)
    for direction, delay_ms, payload, truncated in records:
        seconds, milliseconds = divmod(abs(delay_ms), 1_000)
        sign = "-" if delay_ms < 0 else ""
        target.write(MARKERS[direction] + f"<|delay#{sign}{seconds}.{milliseconds:03}|>".encode())
        target.write((TRUNCATED if truncated else b"") + _escaped(payload))


def _escaped(payload: bytes) -> bytes:
    """Escape a payload for v3.

    Every `<|` becomes a hex token, and so do zeros at the end that reading would cut off.
    """
    kept = payload.rstrip(b"\0") if payload.endswith(bytes(MIN_ZEROS)) else payload
    zeros = len(payload) - len(kept)
    tokens = (b"<|hex#%b|>" % (b"00" * min(ZEROS_IN_TOKEN, zeros - at)) for at in range(0, zeros, ZEROS_IN_TOKEN))
    return kept.replace(b"<|", b"<|hex#3C7C|>") + b"".join(tokens)


def read(source: BinaryIO, block_bytes: int = BLOCK_BYTES, spool: Path | None = None) -> Session:
    """Read a log of any dialect and size. No content makes it fail.

    Args:
        source: The log, from its beginning.
        block_bytes: Bytes parsed at a time, at least 4 x `LOOKAHEAD`.
        spool: Folder for the arrays of a large log; see `Spool`.

    Returns:
        The session. Bytes before the first record header are a record of the server.
    """
    payload, ends = Spool(np.uint8, spool), Spool(np.int64, spool)
    directions, delays, truncated = Spool(np.uint8, spool), Spool(np.int64, spool), Spool(np.bool_, spool)
    # The record for bytes before the first header; it is removed at the end if there are none.
    directions.append([Direction.SERVER])
    delays.append([0])
    junk = np.zeros(MAX_JUNK_BYTES + 1, np.int64)
    dirt, end, is_cut, is_v3, has_hex, zeros = Dirt(), 0, False, False, False, 0
    for block, _ in _blocks(source, block_bytes):
        # The bytes before a block's first header continue the last record of the block before.
        block_ends = end + np.cumsum(block.sizes, dtype=np.int64)
        block.truncated[0] |= is_cut
        ends.append(block_ends[:-1])
        truncated.append(block.truncated[:-1])
        end, is_cut = int(block_ends[-1]), bool(block.truncated[-1])
        payload.append(block.payload)
        directions.append(block.directions)
        delays.append(block.delays)
        junk += np.bincount(block.junk, minlength=len(junk))
        dirt.cut_tokens += block.cut_tokens
        dirt.stray_markers += block.stray_markers
        dirt.decimal_commas += block.decimal_commas
        zeros = zeros + block.zeros if block.zeros == block.text_bytes else block.zeros
        is_v3, has_hex = block.is_v3, has_hex or block.has_hex
    if zeros >= MIN_ZEROS:
        dirt.trailing_zeros, end = zeros, end - zeros
    ends.append([end])
    truncated.append([is_cut])
    record_ends = ends.array()
    dirt.junk = Counter({length: count for length, count in enumerate(junk.tolist()) if count})
    dirt.headless_bytes = int(record_ends[0])
    records = slice(0 if dirt.headless_bytes else 1, None)
    wild = "v1" if junk[1:].any() or not has_hex else "v2"
    return Session(
        payload=payload.array()[:end],
        ends=record_ends[records],
        directions=directions.array()[records],
        delays=delays.array()[records],
        truncated=truncated.array()[records],
        dialect="v3" if is_v3 else wild,
        dirt=dirt,
    )


def read_head(source: BinaryIO, size: int) -> np.ndarray | None:
    """Read the beginning of a log's payload, and little more of the log.

    Returns:
        uint8 [at most `size`], or None if the log holds no record.
    """
    parts, missing, is_log = [], size, False
    for block, _ in _blocks(source, HEAD_BLOCK_BYTES):
        is_log |= len(block.directions) > 0
        parts.append(block.payload[:missing])
        missing -= len(parts[-1])
        if is_log and not missing:
            break
    return np.concatenate(parts) if is_log else None


def copy_masked(source: BinaryIO, target: BinaryIO, positions: np.ndarray, block_bytes: int = BLOCK_BYTES) -> None:
    """Copy a log with `*` in place of some bytes of its payload.

    The copy has the same dialect and length.

    Args:
        source: The log, from its beginning.
        target: The copy.
        positions: int64 [n], ascending positions in the payload of the session that `read` gives.
        block_bytes: Bytes parsed at a time, at least 4 x `LOOKAHEAD`.
    """
    payload_before = 0
    for number, (block, layout) in enumerate(_blocks(source, block_bytes)):
        if block.is_v3 and number == 0:
            target.write(V3_HEADER)
        first, last = np.searchsorted(positions, (payload_before, payload_before + len(block.payload)))
        places = np.flatnonzero(layout.payload)[positions[first:last] - payload_before]
        is_raw = layout.raw[places]
        text = np.frombuffer(layout.text, np.uint8).copy()
        text[places[is_raw]] = ord("*")
        text[places[~is_raw]], text[places[~is_raw] + 1] = b"2A"
        target.write(text.tobytes())
        payload_before += len(block.payload)


@dataclass
class _Block:
    """A parsed stretch of a log.

    Entry 0 of `sizes` and `truncated` is for the bytes before its first header.
    """

    payload: np.ndarray
    sizes: np.ndarray
    """int32 [1 + headers], payload bytes."""
    truncated: np.ndarray
    """bool [1 + headers]."""
    directions: np.ndarray
    """uint8 [headers]."""
    delays: np.ndarray
    """int64 [headers], milliseconds."""
    junk: np.ndarray
    """int64 [headers], bytes between marker and delay."""
    is_v3: bool
    has_hex: bool
    """The block holds a hex token."""
    cut_tokens: int
    stray_markers: int
    decimal_commas: int
    text_bytes: int
    """Bytes of the log."""
    zeros: int
    """Zero bytes at the end of the block."""


@dataclass
class _Layout:
    """The places of a block's payload in the log."""

    text: bytes
    """The block as it is in the log."""
    payload: np.ndarray
    """bool [text], the place of each payload byte: its own, or the first of the two hex digits that spell it."""
    raw: np.ndarray
    """bool [text], bytes outside every header and token."""


def _blocks(source: BinaryIO, block_bytes: int) -> Iterator[tuple[_Block, _Layout]]:
    data = _read_up_to(source, len(V3_HEADER))
    is_v3 = data == V3_HEADER
    if is_v3:
        data = b""
    final = False
    while not final:
        data += _read_up_to(source, block_bytes - len(data))
        final = len(data) < block_bytes
        block, layout = _parse(data, is_v3, final)
        data = data[len(layout.text) :]
        yield block, layout


def _read_up_to(source: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the stream; one read may give fewer."""
    pieces = []
    while size > 0 and (piece := source.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _parse(data: bytes, is_v3: bool, final: bool) -> tuple[_Block, _Layout]:
    """Parse the beginning of `data` that later bytes cannot change.

    Parses all of it if `final`.
    """
    scan = Scan(data)
    headers = scan.headers()
    openings = scan.openings
    end = len(data)
    if not final:
        # End before a header, so that only a record longer than a block is spread over several. Without
        # one, end before an opening, so that no token is cut; without that, within payload.
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
    if is_v3:
        truncated[1:] = scan.followed_by(headers.ends, TRUNCATED)
        headers.ends[truncated[1:]] += len(TRUNCATED)
        cut = HexTokens.none()
    else:
        truncated[1:] = record_ends - headers.starts == CUT_RECORD_BYTES
        suspects = record_ends[truncated[1:]]
        if final and not truncated[-1]:
            suspects = np.append(suspects, end)
        cut = scan.cut_tokens(suspects)
        truncated[-1] |= end in cut.ends
    payload, is_payload, is_raw = scan.extract(end, headers, complete, cut)
    block = _Block(
        payload=payload,
        sizes=np.add.reduceat(
            np.append(is_payload, False).view(np.uint8), np.append(0, headers.starts), dtype=np.int32
        ),
        truncated=truncated,
        directions=headers.directions,
        delays=headers.delays,
        junk=headers.junk,
        is_v3=is_v3,
        has_hex=bool((is_payload & ~is_raw).any()),
        cut_tokens=len(cut),
        stray_markers=int(is_raw[openings[openings < end]].sum()),
        decimal_commas=int(headers.commas.sum()),
        text_bytes=end,
        zeros=end - len(data[:end].rstrip(b"\0")),
    )
    return block, _Layout(data[:end], is_payload, is_raw)
