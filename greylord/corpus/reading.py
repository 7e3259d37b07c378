"""Read the files of a dataset: token ids on disk, and counts of the contents.

Every process that reads starts with these imports, so none of them is heavy.
"""

from __future__ import annotations

import mmap
import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from greylord.captures.reading import read_recording
from greylord.captures.signs import Sign, find_signs
from greylord.corpus.identity import head_of
from greylord.corpus.likeness import samples_of
from greylord.corpus.listing import size_of
from greylord.corpus.manifest import CorpusSettings, DialectCounts, payload_hash
from greylord.errors import NotARecordingError, UnreadableRecordingError
from greylord.spool import blocks
from greylord.stream.turns import encode_pieces

__all__ = ["Reading", "StoredIds", "read_all"]

PARALLEL_BYTES = 200 * 10**6
"""Smaller datasets are read by one process: starting more would take longer than they save."""
FILE_BYTES = 50_000
"""Overhead of a file, as the number of bytes that take as long to read."""
MAX_PROCESSES = 4
"""Most processes that read. Each takes up to 150 MB for a large recording."""
MAX_FILES = 16
"""Files per task of a process. Handing over a task costs as much as reading one small file."""
MCCP = bytes([255, 250, 86, 255, 240])
"""IAC SB COMPRESS2 IAC SE: the server's bytes that follow are a zlib stream (Mud Client Compression Protocol 2)."""


class StoredIds(NamedTuple):
    """The place of a recording's ids on disk."""

    file: Path
    """uint16 ids of several recordings, end to end."""
    offset: int
    """Position of the first id, in bytes."""
    length: int
    """Number of ids."""

    def load(self, files: Mapping[Path, mmap.mmap]) -> np.ndarray:
        """Return the ids, uint16 [length], as a view of the mapped file."""
        return np.frombuffer(files[self.file], np.uint16, self.length, self.offset)


@dataclass(frozen=True)
class Reading:
    """The contents of a recording."""

    dialect: str
    payload_sha256: str
    """See `payload_hash`."""
    compressed: bool
    """The server switches to MCCP."""
    counts: DialectCounts
    delays: Counter[int]
    """Number of turns by the milliseconds before them. The first turn is left out: its delay has no reference point."""
    signs: list[Sign]
    head: bytes
    """See `greylord.corpus.identity.Candidate`."""
    samples: np.ndarray
    """See `greylord.corpus.likeness.samples_of`."""
    ids: StoredIds


def read_all(paths: Sequence[Path], spool: Path, settings: CorpusSettings) -> Iterator[Reading | str | None]:
    """Read files, and store their ids in the folder `spool`.

    Large datasets are read by several processes, with the same result.

    Yields:
        The contents of each file; None if it is not a recording, or the reason if it cannot be read.
    """
    read, done = partial(_read, spool=spool, settings=settings), 0
    processes = min(os.cpu_count() or 1, MAX_PROCESSES, len(paths))
    size = sum(size_of(path) + FILE_BYTES for path in paths)
    if processes > 1 and size >= PARALLEL_BYTES:
        chunk = max(1, min(MAX_FILES, len(paths) // (8 * processes)))
        try:
            with ProcessPoolExecutor(processes, get_context("spawn"), _ignore_interrupts) as pool:
                for reading in pool.map(read, paths, chunksize=chunk):
                    yield reading
                    done += 1
        except BrokenProcessPool:
            # A process was killed for its memory, or the script cannot be imported: this process reads the rest.
            pass
    yield from map(read, paths[done:])


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that waits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read(path: Path, spool: Path, settings: CorpusSettings) -> Reading | str | None:
    """Read a file, and append its ids to the spool file of this process."""
    try:
        recording = read_recording(path, spool=spool)
    except NotARecordingError:
        return None
    except UnreadableRecordingError as error:
        # The file may be gone since it was listed. A full disk is an OSError and ends the job.
        return error.reason
    session = recording.session if settings.keep_credentials else recording.masked
    compressed = any(MCCP in block.tobytes() for _, block in blocks(session.payload, overlap=len(MCCP) - 1))
    length, turns = 0, 0
    delays: Counter[int] = Counter()
    file = spool / str(os.getpid())
    with file.open("ab") as target:
        offset = target.tell()
        for ids, delays_ms in encode_pieces(session, settings.keep_records):
            target.write(ids.data)
            length += len(ids)
            turns += len(delays_ms)
            delays.update(delays_ms.tolist())
    delays -= Counter(session.delays[:1].tolist())
    return Reading(
        dialect=session.dialect,
        payload_sha256=payload_hash(recording.masked),
        compressed=compressed,
        counts=DialectCounts.of(session, turns, recording.credentials),
        delays=delays,
        signs=find_signs(session),
        head=head_of(session.payload),
        samples=samples_of(session.payload),
        ids=StoredIds(file, offset, length),
    )
