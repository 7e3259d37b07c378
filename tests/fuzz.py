"""Coverage-guided fuzzing of recordings, names and overrides from others.

It is not part of the tests, because it runs until its time is over.

    pip install atheris
    python tests/fuzz.py readers|names|overrides CORPUS_FOLDER -max_total_time=600

The arguments are libFuzzer's. An input that crashes, takes longer than 10 seconds or allocates more than 1 GB at once
is written to the working directory. The process itself grows by some GB an hour, which is libFuzzer's memory.
"""

import io
import os
import sys
from pathlib import Path

import atheris
import transformers  # noqa: F401  (not to be instrumented)

with atheris.instrument_imports(include=["greylord"]):
    from greylord import files
    from greylord.captures import redaction
    from greylord.captures.formats import proxylog
    from greylord.captures.signs import find_signs
    from greylord.captures.start_times import parse_start, plausible_start
    from greylord.corpus import folder, listing
    from greylord.corpus.identity import Candidate, find_duplicates, head_of
    from greylord.corpus.likeness import find_near_copies, samples_of
    from greylord.errors import UsageError
    from greylord.stream import turns
    from greylord.terminal.display import Display
    from greylord.training.overrides import FIELDS, format_assignment, parse_assignments, parse_values

VALUES = ["1", "0", "-1", "0.5", "1e-3", "nan", "inf", "1e400", "true", "None", "", "cosine", "adamw_torch", "linear"]
VALUES += ['{"a": 1}', "{", "[]", "none", "a,b=1", " 2 ", "\n", "\u0661", "0x10", "9" * 400]
LIMITS = ("-max_len=4096", "-timeout=10", "-malloc_limit_mb=1024", "-rss_limit_mb=16384")
DICTIONARY = [
    b"<|server|>",
    b"<|client|>",
    b"<|delay#0.1|>",
    b"<|delay#0,1|>",
    b"<|ansi#1B5B306D|>",
    b"<|telnet#FFFB01|>",
]
DICTIONARY += [b"<|hex#", proxylog.V3_HEADER, bytes(40), b"\r\n", b"\xc3\xa9", b"Password: "]


def read(data: bytes) -> None:
    """Do what a build and a viewer do with a recording."""
    session = proxylog.read(io.BytesIO(data))
    masked = redaction.mask(session, redaction.find(session))
    assert len(masked.payload) == len(session.payload)
    ids = turns.encode(masked)
    assert turns.payload_of(ids).tobytes() == masked.payload.tobytes()
    assert (turns.encode_turns(turns.decode(ids)) == ids).all()
    find_signs(session)
    # A copy, and the file when half of it was written, count once.
    halves = [proxylog.read(io.BytesIO(part)).payload for part in (data, data, data[: len(data) // 2])]
    same = find_duplicates([Candidate(head_of(payload), lambda payload=payload: payload) for payload in halves])
    assert same[1].index in (0, 2)
    find_near_copies([samples_of(payload) for payload in halves])
    display = Display()
    shown = display.feed(data[: len(data) // 2]) + display.feed(data[len(data) // 2 :])
    assert not set(shown) & {"\x07", "\x05", "\x9b", "\x9d"}


def readers(provider: atheris.FuzzedDataProvider) -> None:
    """Read any bytes, half of the time made of a recording's own tokens."""
    if not provider.ConsumeBool():
        read(provider.ConsumeBytes(provider.remaining_bytes()))
        return
    parts = []
    while provider.remaining_bytes():
        parts.append(provider.PickValueInList(DICTIONARY))
        parts.append(provider.ConsumeBytes(provider.ConsumeIntInRange(0, 40)))
    read(b"".join(parts))


def names(provider: atheris.FuzzedDataProvider) -> None:
    """Parse any name of a file or a dataset."""
    name = os.fsdecode(provider.ConsumeBytes(provider.remaining_bytes()).replace(b"\0", b""))
    start = parse_start(name)
    assert start is None or plausible_start(start) == start
    listing.printable_name(name).encode()
    try:
        folder.check_name(name)
    except UsageError:
        pass
    else:
        assert not folder.is_path(name) and Path("data", name).parent == Path("data")
    try:
        folder.locate(name)
    except UsageError as error:
        assert "\n" not in str(error)
    last = os.fsdecode(os.fsencode(Path(name).name)[:255])
    if last:
        assert len(os.fsencode(files.numbered(Path(last), provider.ConsumeIntInRange(2, 99)).name)) <= 255


def overrides(provider: atheris.FuzzedDataProvider) -> None:
    """Parse any text for a field of TrainingArguments, mostly one that exists."""
    kind = provider.ConsumeIntInRange(0, 9)
    taken = [field for field, rule in FIELDS.items() if kind == 1 or rule.kind != "reserved"]
    name = provider.ConsumeUnicode(20) if kind == 0 else provider.PickValueInList(taken)
    text = provider.ConsumeUnicode(60) if provider.ConsumeBool() else provider.PickValueInList(VALUES)
    try:
        values = parse_assignments([f"{name}={text}"])
    except UsageError as error:
        assert str(error).splitlines() == [str(error)] or "\n" in name + text
        return
    for field, value in values.items():
        assert FIELDS[field].kind != "reserved"
        assert parse_values({field: value}, "") == values
        assert repr(parse_assignments([format_assignment(field, value)])) == repr(values)


TARGETS = {target.__name__: target for target in (readers, names, overrides)}


if __name__ == "__main__":
    chosen = TARGETS[sys.argv.pop(1)]
    atheris.Setup([*sys.argv, *LIMITS], lambda data: chosen(atheris.FuzzedDataProvider(data)))
    atheris.Fuzz()
