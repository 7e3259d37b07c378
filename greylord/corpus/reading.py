"""A dataset's files read: from raw bytes to token ids on disk, and the counts of what they hold.

No import here is heavy, for each process that reads begins with them.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from greylord import turns
from greylord.captures import proxylog, redaction
from greylord.captures.signs import Sign, signs_of
from greylord.corpus.identity import head_of
from greylord.corpus.likeness import samples_of
from greylord.corpus.manifest import DialectCounts, Settings, payload_hash

__all__ = ["Reading", "read_all"]

PARALLEL_BYTES = 200 * 10**6
"""From so many on several processes read: before, they would take longer to start than they save."""
MAX_PROCESSES = 8
MCCP = bytes([255, 250, 86, 255, 240])
"""IAC SB COMPRESS2 IAC SE: from here on the server's bytes are one zlib stream (Mud Client Compression Protocol 2)."""


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
    """

    dialect: str
    payload_sha256: str
    compressed: bool
    counts: DialectCounts
    delays: Counter[int]
    signs: list[Sign]
    head: bytes
    samples: np.ndarray


def read_all(paths: Sequence[Path], spool: Path, settings: Settings) -> Iterator[Reading | None]:
    """Read files, and write the ids of the i-th, uint16, to file i of `spool`; None for one that is not a recording.

    Large datasets are read by several processes, with the same result. Raises OSError where a file cannot be read.
    """
    jobs = list(zip(paths, (spool / str(index) for index in range(len(paths))), strict=True))
    read, done = partial(_read, settings=settings), 0
    processes = min(os.cpu_count() or 1, MAX_PROCESSES, len(jobs))
    if processes > 1 and sum(path.stat().st_size for path in paths) >= PARALLEL_BYTES:
        try:
            with ProcessPoolExecutor(processes, get_context("spawn"), _leave_interrupts) as pool:
                for reading in pool.map(read, jobs):
                    yield reading
                    done += 1
        except BrokenProcessPool:
            # Killed for its memory, or called from a script that cannot be imported: alone it takes longer, no more.
            pass
    yield from map(read, jobs[done:])


def _leave_interrupts() -> None:
    """Ctrl-C is for the process that waits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read(job: tuple[Path, Path], settings: Settings) -> Reading | None:
    path, ids = job
    session = proxylog.read_file(path)
    if not session.dirt.junk.total():
        return None
    compressed = MCCP in session.payload.tobytes()
    credentials = redaction.find(session)
    masked = redaction.masked(session, credentials)
    if not settings.keep_credentials:
        session = masked
    stream = turns.turns_of(session, settings.keep_records)
    turns.encode(stream).tofile(ids)
    return Reading(
        dialect=session.dialect,
        payload_sha256=payload_hash(masked),
        compressed=compressed,
        counts=DialectCounts.of(session, len(stream), credentials),
        delays=Counter(turns.delays_of(session, settings.keep_records)[1:].tolist()),
        signs=signs_of(session),
        head=head_of(session.payload),
        samples=samples_of(session.payload),
    )
