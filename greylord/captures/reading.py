"""Read a recording of any format, with passwords masked by default.

Everything that needs a recording's payload comes through here. The formats are in `greylord.captures.formats`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from greylord.captures import redaction
from greylord.captures.formats import FORMATS, Format
from greylord.captures.redaction import Credentials
from greylord.captures.session import Session
from greylord.errors import NotARecordingError, UnreadableRecordingError
from greylord.files import user_path

__all__ = [
    "Recording",
    "check_recording",
    "copy_masked",
    "is_recording",
    "read_head",
    "read_recording",
    "read_session",
]

NO_RECORD = "is not a recording: it holds no record of a known format"


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording with all that is known of its passwords."""

    session: Session
    """The session as it was recorded, passwords included."""
    credentials: Credentials
    """The passwords found in it."""
    spool: Path | None
    """Folder for the arrays of a large recording."""

    @cached_property
    def masked(self) -> Session:
        """The session with its passwords masked.

        Without passwords, it is the same object as `session`.
        """
        return redaction.mask(self.session, self.credentials, self.spool)


def read_session(path: str | Path, *, keep_credentials: bool = False, spool: Path | None = None) -> Session:
    """Read a recording.

    Args:
        path: The file.
        keep_credentials: Return the passwords as they were recorded.
        spool: Folder for the arrays of a large recording, the system's temporary folder by default.

    Raises:
        NotARecordingError: The file holds no record, or is a pipe, a device or a folder.
        UnreadableRecordingError: The file cannot be opened.
        OSError: Reading broke off, or the disk of `spool` is full.
    """
    if keep_credentials:
        _, session = _read(user_path(path), spool)
        return session
    return read_recording(path, spool=spool).masked


def read_recording(path: str | Path, *, spool: Path | None = None) -> Recording:
    """Read a recording and find its passwords.

    Takes and raises the same as `read_session`.
    """
    _, session = _read(user_path(path), spool)
    return Recording(session, redaction.find(session, spool), spool)


def copy_masked(source: Path, target: Path) -> Credentials:
    """Copy a recording in its own format with its passwords masked.

    Nothing else changes.

    Returns:
        The passwords that were masked.

    Raises:
        NotARecordingError: The source holds no record, or is a pipe, a device or a folder.
        UnreadableRecordingError: The source cannot be opened.
        OSError: Reading broke off, or the target cannot be written.
    """
    form, session = _read(source, None)
    credentials = redaction.find(session)
    with _opened(source) as file, target.open("wb") as copy:
        form.copy_masked(file, copy, credentials.positions)
    shutil.copystat(source, target)
    return credentials


def read_head(path: Path, size: int) -> np.ndarray | None:
    """Read the first bytes of a recording's payload, passwords included.

    Little more of the file is read.

    Returns:
        uint8 [at most `size`]; None if the file holds no record.

    Raises:
        NotARecordingError: The file is a pipe, a device or a folder.
        UnreadableRecordingError: The file cannot be opened, or reading broke off.
    """
    try:
        for form in FORMATS:
            with _opened(path) as source:
                if (head := form.read_head(source, size)) is not None:
                    return head
    except OSError as error:
        raise UnreadableRecordingError(path, f"cannot be read: {error.strerror}") from error
    return None


def is_recording(path: Path) -> bool:
    """Tell whether a file holds a record, without reading much further.

    Raises the same as `read_head`.
    """
    return read_head(path, 0) is not None


def check_recording(path: Path) -> None:
    """Check that a path names a recording.

    Raises:
        NotARecordingError: There is no such file, or it is not a recording.
        UnreadableRecordingError: The file cannot be opened, or reading broke off.
    """
    if not path.exists():
        raise NotARecordingError(path, "does not exist")
    if not is_recording(path):
        raise NotARecordingError(path, NO_RECORD)


def _read(path: Path, spool: Path | None) -> tuple[Format, Session]:
    """Read a file in the first format that finds a record in it."""
    for form in FORMATS:
        with _opened(path) as source:
            session = form.read(source, spool=spool)
        if session.is_recording:
            return form, session
    raise NotARecordingError(path, NO_RECORD)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file.

    Only opening raises `UnreadableRecordingError`: a later failure may come from the disk of a spool.
    """
    try:
        # Opening a pipe would wait for a writer.
        if not path.is_file() and path.exists():
            raise NotARecordingError(path, "is not a regular file; name a recording")
        source = path.open("rb")
    except OSError as error:
        raise UnreadableRecordingError(path, f"cannot be read: {error.strerror}") from error
    with source:
        yield source
