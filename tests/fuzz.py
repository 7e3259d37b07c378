"""Coverage-guided fuzzing of what reads others' bytes: not part of the tests, for it ends when it is told to.

    pip install atheris
    python tests/fuzz.py CORPUS_FOLDER -max_total_time=600

The arguments are libFuzzer's. A crash, an input that takes longer than 10 seconds or more than 2 GB of memory is
written to the working directory.
"""

import io
import sys

import atheris

with atheris.instrument_imports(include=["greylord"]):
    from greylord import turns
    from greylord.captures import proxylog, redaction
    from greylord.terminal.display import Display

LIMITS = ("-max_len=4096", "-timeout=10", "-rss_limit_mb=2048")
DICTIONARY = [b"<|server|>", b"<|client|>", b"<|delay#0.1|>", b"<|ansi#1B5B306D|>", b"<|telnet#FFFB01|>", b"<|hex#"]


def read(data: bytes) -> None:
    """What a build and a viewer do with a recording."""
    session = proxylog.read(io.BytesIO(data))
    masked = redaction.masked(session, redaction.find(session))
    assert len(masked.payload) == len(session.payload)
    ids = turns.encode(turns.turns_of(masked))
    assert turns.payload_of(ids).tobytes() == masked.payload.tobytes()
    assert (turns.encode(turns.decode(ids)) == ids).all()
    display = Display()
    shown = display.feed(data[: len(data) // 2]) + display.feed(data[len(data) // 2 :])
    assert not set(shown) & {"\x07", "\x05", "\x9b", "\x9d"}


def target(data: bytes) -> None:
    """Half of the inputs are made of a recording's own tokens."""
    provider = atheris.FuzzedDataProvider(data)
    if not provider.ConsumeBool():
        read(provider.ConsumeBytes(len(data)))
        return
    parts = []
    while provider.remaining_bytes():
        parts.append(provider.PickValueInList(DICTIONARY))
        parts.append(provider.ConsumeBytes(provider.ConsumeIntInRange(0, 40)))
    read(b"".join(parts))


if __name__ == "__main__":
    atheris.Setup([*sys.argv, *LIMITS], target)
    atheris.Fuzz()
