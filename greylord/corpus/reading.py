"""A dataset's files read: from raw bytes to token ids on disk, and the counts of what they hold.

No import here is heavy, for each process that reads begins with them.
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
from greylord.corpus.folder import size_of
from greylord.corpus.identity import head_of
from greylord.corpus.likeness import samples_of
from greylord.corpus.manifest import CorpusSettings, DialectCounts, payload_hash
from greylord.errors import NotARecordingError, UnreadableRecordingError
from greylord.spool import blocks
from greylord.stream.turns import encode_pieces

__all__ = ["Reading", "StoredIds", "read_all"]

PARALLEL_BYTES = 200 * 10**6
"""From so many on several processes read: before, they would take longer to start than they save."""
FILE_BYTES = 50_000
"""Opening a file and the steps that do not depend on its size take as long as reading so many bytes."""
MAX_PROCESSES = 4
"""Each takes up to 150 MB for a large recording."""
MAX_FILES = 16
"""Files handed to a process at a time: handing over takes as long as reading a small file."""
MCCP = bytes([255, 250, 86, 255, 240])
"""IAC SB COMPRESS2 IAC SE: from here on the server's bytes are one zlib stream (Mud Client Compression Protocol 2)."""


class StoredIds(NamedTuple):
    """Where the ids of a recording lie."""

    file: Path
    """uint16 ids of several recordings, end to end."""
    offset: int
    """In bytes."""
    length: int
    """In ids."""

    def load(self, files: Mapping[Path, mmap.mmap]) -> np.ndarray:
        """uint16 [length]: the ids, a view of the file's contents."""
        return np.frombuffer(files[self.file], np.uint16, self.length, self.offset)


@dataclass(frozen=True)
class Reading:
    """What a recording holds.

    Attributes:
        dialect: of the file.
        payload_sha256: see `payload_hash`.
        compressed: the server turns to MCCP.
        counts: all that the manifest counts.
        delays: how often a pause of so many milliseconds came before a turn, the first left out.
        signs: what happened to it on the way.
        head: see `greylord.corpus.identity.Candidate`.
        samples: see `greylord.corpus.likeness.samples_of`.
        ids: where its ids lie.
    """

    dialect: str
    payload_sha256: str
    compressed: bool
    counts: DialectCounts
    delays: Counter[int]
    signs: list[Sign]
    head: bytes
    samples: np.ndarray
    ids: StoredIds


def read_all(paths: Sequence[Path], spool: Path, settings: CorpusSettings) -> Iterator[Reading | str | None]:
    """Read files, and store their ids in the folder `spool`.

    Large datasets are read by several processes, with the same result.

    Yields:
        What each file holds; None if it is not a recording, or why it cannot be opened.
    """
    read, done = partial(_read, spool=spool, settings=settings), 0
    processes = min(os.cpu_count() or 1, MAX_PROCESSES, len(paths))
    size = sum(size_of(path) + FILE_BYTES for path in paths)
    if processes > 1 and size >= PARALLEL_BYTES:
        handed_out = max(1, min(MAX_FILES, len(paths) // (8 * processes)))
        try:
            with ProcessPoolExecutor(processes, get_context("spawn"), _leave_interrupts) as pool:
                for reading in pool.map(read, paths, chunksize=handed_out):
                    yield reading
                    done += 1
        except BrokenProcessPool:
            # Killed for its memory, or called from a script that cannot be imported: alone it takes longer, no more.
            pass
    yield from map(read, paths[done:])


def _leave_interrupts() -> None:
    """Ctrl-C is for the process that waits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read(path: Path, spool: Path, settings: CorpusSettings) -> Reading | str | None:
    """Read a file. Its ids are appended to the one file that each process has for them."""
    try:
        recording = read_recording(path, spool=spool)
    except NotARecordingError:
        return None
    except UnreadableRecordingError as error:
        # It may be gone since it was found. A full disk, an OSError, ends the job.
        return error.reason
    session = recording.session if settings.keep_credentials else recording.masked
    compressed = any(MCCP in block.tobytes() for _, block in blocks(session.payload, overlap=len(MCCP) - 1))
    length, turns, delays = 0, 0, Counter()
    file = spool / str(os.getpid())
    with file.open("ab") as target:
        offset = target.tell()
        for ids, delays_ms in encode_pieces(session, settings.keep_records):
            target.write(ids)
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
