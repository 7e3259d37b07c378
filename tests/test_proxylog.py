"""Proxy logs are read as by a slow reader.

The slow reader follows the format's description character by character.
"""

import io
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greylord.captures.formats import proxylog
from greylord.captures.session import Direction, Record, Session

BLOCK = 4_096

records = st.lists(
    st.builds(
        Record,
        st.sampled_from(Direction),
        st.integers(-(10**14), 10**14),
        st.one_of(st.binary(max_size=40), st.sampled_from([b"<|", b"<<||", b"<|server|>", b"<|hex#3C|>", b""])),
        st.booleans(),
    ),
    max_size=20,
)
PIECES = [
    b"<|server|>", b"<|client|>", b"<|delay#0.810|>", b"<|delay#-11.3|>", b"<|delay#7|>", b"<|delay#1.|>",
    b"<|delay#.5|>", b"<|delay#99999999999999.0|>", b"<|delay#1.2345678|>", b"2\xe8\xfa\x7f",
    b"<|ansi#1B5B306D|>", b"<|telnet#FFFB01|>", b"<|hex#3c7C|>", b"<|ansi#1B5|>", b"<|ansi#1G|>",
    b"<|ansi#|>", b"<|ansi#1B5B", b"<|a", b"<|", b"<", b"|", b"|>", b">", b"\x1b[0m", b"hello", b"\x00",
    b"\xff", bytes(9), b"0" * 450, b"<|truncated|>", proxylog.V3_HEADER, b"<|ansi#" + b"1B" * 600 + b"|>",
]  # fmt: skip
logs = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)
dirty = st.one_of(st.binary(max_size=300), logs)


def columns(session: Session) -> tuple:
    return list(session), session.dialect, session.dirt


def slow_read(data: bytes) -> tuple[list[Record], Counter, int, int, int]:
    """Read a v1 or v2 log, character by character.

    Returns records, junk counts, cut tokens, stray markers and headless bytes.
    """
    header = re.compile(
        rb"<\|(server|client)\|>(.{0,8}?)<\|delay#(?=.{1,20}\|>)(-?)(\d{1,12})(?:\.(\d+))?\|>", re.DOTALL
    )
    headers = list(header.finditer(data))
    cut_tokens = stray = 0
    result, junk = [], Counter(len(match[2]) for match in headers)
    spans = [(0, 0, headers[0].start() if headers else len(data), None)]
    ends = [match.start() for match in headers[1:]] + [len(data)]
    spans += [(match.start(), match.end(), end, match) for match, end in zip(headers, ends, strict=False)]
    for start, payload_from, end, match in spans:
        raw, payload = data[payload_from:end], b""
        truncated = match is not None and end - start == 512
        while raw:
            if token := re.match(rb"<\|(?:ansi|telnet|hex)#((?:[0-9A-Fa-f]{2}){1,500})\|>", raw):
                payload += bytes.fromhex(token[1].decode())
                raw = raw[token.end() :]
            elif (truncated or end == len(data)) and is_cut_token(raw):
                digits = raw.partition(b"#")[2].rstrip(b"|").decode()
                payload += bytes.fromhex(digits[: len(digits) // 2 * 2])
                cut_tokens, truncated, raw = cut_tokens + 1, True, b""
            else:
                stray += raw.startswith(b"<|")
                payload, raw = payload + raw[:1], raw[1:]
        if match is None:
            headless = len(payload)
            if payload:
                result.append(Record(Direction.SERVER, 0, payload, truncated))
            continue
        delay = int(match[4]) * 1_000 + int(((match[5] or b"") + b"000")[:3])
        direction = Direction.SERVER if match[1] == b"server" else Direction.CLIENT
        result.append(Record(direction, -delay if match[3] else delay, payload, truncated))
    zeros = len(data) - len(data.rstrip(b"\0"))
    if zeros >= proxylog.MIN_ZEROS:
        result[-1] = result[-1]._replace(payload=result[-1].payload[:-zeros])
        headless -= zeros * (not headers)
        result = result if headers or headless else []
    return result, junk, cut_tokens, stray, headless


def is_cut_token(raw: bytes) -> bool:
    """Tell whether `raw` is the beginning of a hex token."""
    if any(name.startswith(raw) for name in (b"<|ansi#", b"<|telnet#")):
        return len(raw) >= 2
    return re.fullmatch(rb"<\|(ansi|telnet)#(([0-9A-Fa-f]{2})+\||[0-9A-Fa-f]*)", raw) is not None


@given(records)
def test_written_records_are_read_back(expected):
    target = io.BytesIO()
    proxylog.write(expected, target)
    session = proxylog.read(io.BytesIO(target.getvalue()))
    assert list(session) == expected
    assert session.dialect == "v3"
    assert session.dirt.stray_markers == session.dirt.cut_tokens == session.dirt.headless_bytes == 0


@given(dirty)
def test_any_bytes_are_read_as_the_slow_reader_reads_them(data):
    if data.startswith(proxylog.V3_HEADER):
        data = b"x" + data
    session = proxylog.read(io.BytesIO(data))
    dirt = session.dirt
    assert (list(session), dirt.junk, dirt.cut_tokens, dirt.stray_markers, dirt.headless_bytes) == slow_read(data)


class Trickle(io.RawIOBase):
    """A stream whose reads give at most the listed sizes, as those of a socket may."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.source, self.sizes = io.BytesIO(data), sizes

    def read(self, size: int = -1) -> bytes:
        limit = self.sizes.pop(0) if self.sizes else size
        return self.source.read(min(size, limit))


@given(
    st.lists(st.one_of(logs, st.binary(max_size=20).map(lambda few: few * 400)), max_size=12),
    st.lists(st.integers(1, 5_000)),
)
def test_blocks_and_short_reads_change_nothing(parts, sizes):
    data = b"".join(parts)
    whole = proxylog.read(io.BytesIO(data), 1 << 22)
    assert columns(proxylog.read(io.BytesIO(data), BLOCK)) == columns(whole)
    assert columns(proxylog.read(Trickle(data, sizes), BLOCK)) == columns(whole)


@pytest.mark.parametrize("length", [100_000, 100_001])
def test_a_record_longer_than_a_block_stays_one(length):
    data = b"<|server|><|delay#0.001|>" + b"ab<|" * (length // 4) + b"<|client|><|delay#0.002|>x<|ansi#1B5B3"
    session = proxylog.read(io.BytesIO(data), BLOCK)
    assert [len(record.payload) for record in session] == [length // 4 * 4, 3]
    assert session.truncated.tolist() == [False, True]
    assert columns(session) == columns(proxylog.read(io.BytesIO(data)))


def test_the_dialect_is_recognized():
    v1 = b"<|server|><|delay#1.000|>\xff\xfb\x01<|client|>2\xe8\xfa\x7f<|delay#-0.100|>look\r"
    v2 = b"<|server|><|delay#1.000|><|telnet#FFFB01|><|client|><|delay#0.100|>look\n"
    assert proxylog.read(io.BytesIO(v1)).dialect == "v1"
    assert proxylog.read(io.BytesIO(v2)).dialect == "v2"
    assert [list(proxylog.read(io.BytesIO(log)))[0].payload for log in (v1, v2)] == [b"\xff\xfb\x01"] * 2


def test_a_record_cut_at_512_bytes_keeps_what_its_last_token_spells():
    head, tail = b"<|server|><|delay#0.000|>", b"<|ansi#1B5B3"
    text = head + b"." * (512 - len(head) - len(tail)) + tail
    record, following = proxylog.read(io.BytesIO(text + b"<|client|><|delay#0.000|>n\n"))
    assert record.truncated and record.payload.endswith(b".\x1b[") and len(record.payload) == 512 - 25 - 12 + 2
    assert following == Record(Direction.CLIENT, 0, b"n\n", False)
    v3_log = proxylog.V3_HEADER + text[:-12] + b"." * 12 + b"<|client|><|delay#0.000|>n\n"
    assert not proxylog.read(io.BytesIO(v3_log)).truncated.any()


@given(dirty, st.data())
def test_a_masked_copy_keeps_its_dialect_and_differs_at_the_positions_only(data, drawn):
    session = proxylog.read(io.BytesIO(data))
    size = len(session.payload)
    positions = sorted(drawn.draw(st.sets(st.integers(0, size - 1), max_size=20))) if size else []
    copy = io.BytesIO()
    proxylog.copy_masked(io.BytesIO(data), copy, np.array(positions, np.int64), BLOCK)
    copied = copy.getvalue()
    assert len(copied) == len(data)
    changed = [(before, after) for before, after in zip(data, copied, strict=True) if before != after]
    assert len(changed) <= 2 * len(positions)
    assert {after for _, after in changed} <= set(b"*2A")
    payload = bytearray(session.payload.tobytes())
    for position in positions:
        payload[position] = ord("*")
    again = proxylog.read(io.BytesIO(copied))
    assert again.payload.tobytes() == bytes(payload)
    assert columns(replace(again, payload=session.payload))[:1] == columns(session)[:1]
