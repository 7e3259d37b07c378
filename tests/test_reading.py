"""Recordings are read in one way: masked by default.

Files that are not recordings raise a typed error.
"""

import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest

from greylord.captures import reading, redaction, session
from greylord.captures.formats import FORMATS, proxylog
from greylord.captures.session import Direction, Record
from greylord.errors import GreylordError, NotARecordingError, RecordingError, UnreadableRecordingError, UsageError

needs_posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no named pipes")

RECORDS = [
    Record(Direction.SERVER, 0, b"Enter your password: "),
    Record(Direction.CLIENT, 800, b"x7-moth\r"),
    Record(Direction.SERVER, 100, b"*******\r\nWelcome! <|Your password|> is safe.\r\n"),
]
PAYLOAD = b"".join(record.payload for record in RECORDS)
MASKED = PAYLOAD.replace(b"x7-moth", b"*" * 7)


@pytest.fixture
def log(tmp_path) -> Path:
    path = tmp_path / "game.log"
    with path.open("wb") as target:
        proxylog.write(RECORDS, target)
    return path


def test_a_session_is_masked_unless_the_passwords_are_asked_for(log):
    assert reading.read_session(log).payload.tobytes() == MASKED
    assert reading.read_session(log, keep_credentials=True).payload.tobytes() == PAYLOAD
    for keep in (True, False):
        read = reading.read_session(log, keep_credentials=keep)
        assert [record._replace(payload=b"") for record in read] == [row._replace(payload=b"") for row in RECORDS]


def test_a_recording_has_both_payloads_and_the_passwords(log):
    recording = reading.read_recording(log)
    begin = PAYLOAD.index(b"x7-moth")
    assert recording.session.payload.tobytes() == PAYLOAD and recording.masked.payload.tobytes() == MASKED
    assert recording.credentials.positions.tolist() == list(range(begin, begin + 7))
    assert recording.credentials.logins == 1
    assert recording.masked is recording.masked


def test_a_recording_without_passwords_is_not_copied(log):
    with log.open("wb") as target:
        proxylog.write(RECORDS[2:], target)
    recording = reading.read_recording(log)
    assert recording.masked is recording.session


def test_a_large_recording_lies_in_the_folder_that_is_given(log, tmp_path, monkeypatch):
    made = []
    temporary_file = tempfile.TemporaryFile

    def note(*, dir: Path | None) -> object:
        made.append(dir)
        return temporary_file(dir=dir)

    monkeypatch.setattr("greylord.spool.MEMORY_BYTES", 8)
    monkeypatch.setattr("greylord.spool.tempfile.TemporaryFile", note)
    (tmp_path / "spool").mkdir()
    assert reading.read_session(log, spool=tmp_path / "spool").payload.tobytes() == MASKED
    assert set(made) == {tmp_path / "spool"}


def test_a_masked_copy_differs_in_the_passwords_only(log, tmp_path):
    os.utime(log, (1_750_000_000, 1_750_000_000))
    credentials = reading.copy_masked(log, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == log.read_bytes().replace(b"x7-moth", b"*" * 7)
    assert (tmp_path / "copy").stat().st_mtime == 1_750_000_000
    assert credentials.logins == 1 and len(credentials.positions) == 7


def test_the_head_of_a_payload_is_read_alone(log, tmp_path):
    for size in (0, 5, 10_000):
        assert reading.read_head(log, size).tobytes() == PAYLOAD[:size]
    (tmp_path / "notes.txt").write_text("<|server|> stands far from <|delay#0.1|>")
    assert reading.read_head(tmp_path / "notes.txt", 5) is None


@pytest.mark.parametrize("content", [b"", b"plain text", b"<|server|>" + bytes(40)])
def test_a_file_without_a_record_is_not_a_recording(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    assert not reading.is_recording(path)
    for read in (reading.read_session, reading.read_recording, reading.check_recording):
        with pytest.raises(NotARecordingError, match=r"notes\.txt' is not a recording") as caught:
            read(path)
        assert isinstance(caught.value, UsageError) and caught.value.path == path
    with pytest.raises(NotARecordingError):
        reading.copy_masked(path, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_record_after_noise_makes_a_recording_and_its_parts_in_a_text_do_not(tmp_path):
    for name, content, expected in [
        ("log", b"noise" * 20_000 + b"<|client|><|delay#0.1|>x", True),
        ("journal", b"[2025-07-07 15:42:12] COPY: <|server|> stands far from <|delay#0.1|>", False),
    ]:
        (tmp_path / name).write_bytes(content)
        assert reading.is_recording(tmp_path / name) is expected


@needs_posix
def test_pipes_and_folders_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        for read in (reading.read_session, reading.read_recording, reading.check_recording, reading.is_recording):
            with pytest.raises(NotARecordingError, match="is not a regular file"):
                read(path)


def test_a_missing_file_is_unreadable_and_fails_the_check_of_a_path(tmp_path):
    for read in (reading.read_session, reading.read_recording, reading.is_recording):
        with pytest.raises(UnreadableRecordingError, match="No such file") as caught:
            read(tmp_path / "gone.log")
        assert not isinstance(caught.value, UsageError)
    with pytest.raises(NotARecordingError, match="does not exist"):
        reading.check_recording(tmp_path / "gone.log")


def test_a_file_that_may_not_be_opened_is_unreadable(log, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    for read in (reading.read_session, reading.is_recording, reading.check_recording):
        with pytest.raises(UnreadableRecordingError) as caught:
            read(log)
        assert caught.value.reason == "cannot be read: Permission denied"
        assert str(caught.value) == f"{str(log)!r} cannot be read: Permission denied."


def test_a_full_disk_is_not_blamed_on_the_recording(log, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(proxylog, "read", fail)
    with pytest.raises(OSError, match="No space") as caught:
        reading.read_session(log)
    assert not isinstance(caught.value, GreylordError)


def test_errors_cross_processes():
    error = pickle.loads(pickle.dumps(NotARecordingError(Path("x.log"), "is not a recording")))
    assert isinstance(error, RecordingError) and (error.path, error.reason) == (Path("x.log"), "is not a recording")
    assert str(error) == "'x.log' is not a recording."


class Letters:
    """A format for the test: a letter for the side, and the payload, line by line."""

    @staticmethod
    def read(source, *, spool=None):
        if source.read(8) != b"letters\n":
            return session.Session.from_records([])
        sides = {b"S": Direction.SERVER, b"C": Direction.CLIENT}
        return session.Session.from_records(Record(sides[line[:1]], 0, line[1:]) for line in source)

    @classmethod
    def read_head(cls, source, size):
        read = cls.read(source)
        return read.payload[:size] if read.is_recording else None

    @classmethod
    def copy_masked(cls, source, target, positions):
        read = cls.read(source)
        masked = redaction.mask(read, redaction.Credentials(positions, 0))
        target.write(b"letters\n")
        for record in masked:
            target.write(b"CS"[record.direction : record.direction + 1] + record.payload)


def test_a_new_format_needs_only_an_entry_in_the_registry(log, tmp_path, monkeypatch):
    path = tmp_path / "letters.txt"
    path.write_bytes(b"letters\nSPassword: \nChush\nSWelcome!\n")
    with pytest.raises(NotARecordingError):
        reading.read_session(path)
    monkeypatch.setattr(reading, "FORMATS", (Letters, *FORMATS))
    reading.check_recording(path)
    assert reading.read_session(path).payload.tobytes() == b"Password: \n****\nWelcome!\n"
    assert np.array_equal(reading.read_head(path, 4), np.frombuffer(b"Pass", np.uint8))
    assert reading.copy_masked(path, tmp_path / "copy").logins == 1
    assert (tmp_path / "copy").read_bytes() == b"letters\nSPassword: \nC****\nSWelcome!\n"
    assert reading.read_session(log).payload.tobytes() == MASKED
