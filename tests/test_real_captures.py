"""The real recordings agree with every count of their README.

Passwords are masked, and all other bytes come back.
"""

import hashlib
import re
from pathlib import Path

import pytest

from greylord.corpus import arrow, build
from greylord.corpus.windows import Rows
from greylord.stream import turns

HEADER = re.compile(rb"<\|(server|client)\|>.{0,8}?<\|delay#-?\d+\.\d+\|>", re.DOTALL)
HEX = re.compile(rb"<\|(?:ansi|telnet)#([0-9A-F]+)\|>")
CSI = re.compile(rb"\x1b\[[ -?]*[@-~]")
CUT = re.compile(rb"<\|(?:[a-z]{0,6}|(?:ansi|telnet)#([0-9A-F]*)\|?)$")


@pytest.fixture(scope="module")
def built(real_captures, tmp_path_factory):
    """Build the corpus. Returns the dataset, its manifest and its rows by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("place"))
        manifest = build.build_corpus(real_captures).manifest
        corpus = build.corpus_of(real_captures)
        rows = {}
        for name in arrow.SPLITS:
            entries = [entry.name for entry in manifest.recordings if entry.split == name]
            rows |= zip(entries, Rows(corpus, name), strict=True)
    return real_captures, manifest, rows


def test_the_counts_of_the_readme(built):
    _, manifest, _ = built
    read = {
        name: (
            counts.recordings,
            (counts.records.server, counts.records.client),
            (counts.payload_bytes.server, counts.payload_bytes.client),
            tuple(counts.junk_bytes.get(length, 0) for length in (0, 3, 4)),
            counts.negative_delays,
            counts.truncated_records,
            counts.cut_tokens,
            (counts.logins, counts.credential_bytes),
        )
        for name, counts in manifest.dialects.items()
    }
    assert read == {
        "v1": (58, (180_889, 51_584), (23_394_412, 265_836), (58, 21, 232_394), 2, 13_115, 0, (58, 464)),
        "v2": (68, (505_577, 61_726), (39_572_294, 363_661), (567_303, 0, 0), 28_130, 40_497, 22_323, (69, 552)),
    }
    assert manifest.skipped == ["v2/change.log"]
    assert sum(found.stray_markers + found.headless_bytes for found in manifest.dialects.values()) == 0
    payload = {name: part.payload_bytes for name, part in manifest.splits.items()}
    assert 0.18 < payload["validation"] / sum(payload.values()) < 0.22


def plain_records(log: bytes) -> list[tuple[bytes, bytes]]:
    """Read who sent which payload with regular expressions."""
    headers = list(HEADER.finditer(log))
    ends = [header.start() for header in headers[1:]] + [len(log)]
    records = []
    for header, end in zip(headers, ends, strict=True):
        text = log[header.end() : end]
        if end - header.start() == 512 and (cut := CUT.search(text)):
            digits = cut[1] or b""
            text = text[: cut.start()] + bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
        records.append((header[1], HEX.sub(lambda token: bytes.fromhex(token[1].decode()), text)))
    return records


def with_passwords_masked(records: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Mask the client's next line after each prompt, record by record."""
    server_text, masked, asked = b"", [], False
    for speaker, payload in records:
        if speaker == b"server":
            server_text = CSI.sub(b"", server_text + payload)[-100:]
            asked = asked or server_text.lower().endswith(b"password: ")
        elif asked and payload.strip(b"\r\n"):
            payload = re.sub(rb"[^\r\n]", b"*", payload)
            asked, server_text = False, b""
        masked.append((speaker, payload))
    return masked


def test_decoding_the_corpus_gives_back_every_payload_byte_but_passwords(built):
    folder, manifest, rows = built
    assert len(rows) == 126
    logins = 0
    for entry in manifest.recordings:
        records = plain_records(Path(folder, entry.name).read_bytes())
        masked = with_passwords_masked(records)
        logins += sum(one != other for one, other in zip(records, masked, strict=True))
        expected = b"".join(payload for _, payload in masked)
        assert turns.decode(rows[entry.name]).payload.tobytes() == expected, entry.name
        assert len(expected) == entry.payload_bytes
        assert hashlib.sha256(expected).hexdigest() == entry.payload_sha256
    assert logins == 127
