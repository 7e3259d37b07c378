"""Count what a folder of recordings holds.

The figures are bytes, turns, delays, markup, commands, and lines that recur. One recording is in memory at a time. The
report contains neither user names nor passwords.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np

from greylord import plots, units
from greylord.analysis.tallies import (
    Commands,
    CommandTally,
    Delays,
    DelayTally,
    LineTally,
    LongLines,
    Markup,
    MarkupTally,
    TurnTally,
)
from greylord.captures.reading import Recording, read_recording
from greylord.captures.session import Direction
from greylord.corpus import split
from greylord.corpus.build import corpus_of
from greylord.corpus.manifest import CorpusSettings, DialectCounts, Manifest
from greylord.corpus.recordings import read_dataset
from greylord.progress import Progress, silent
from greylord.stream import turns, vocabulary
from greylord.stream.lines import transcript_of, typed_lines
from greylord.workspace import HERE, Workspace

__all__ = ["DataReport", "Division", "RecordingSize", "analyze", "draw"]

SIDES = (("server", Direction.SERVER, vocabulary.SERVER), ("client", Direction.CLIENT, vocabulary.CLIENT))
MIN_DAYS = 3
"""With recordings of fewer days, the picture shows recordings instead of days."""


@dataclass(frozen=True)
class RecordingSize:
    """The start and the size of a recording."""

    name: str
    """Path below the folder."""
    started_at: str | None
    """ISO time in UTC, from the file's name."""
    time_group: int
    """Recordings of one time group are in the same split."""
    server_bytes: int
    client_bytes: int

    @property
    def payload_bytes(self) -> int:
        """Payload bytes of both sides."""
        return self.server_bytes + self.client_bytes


@dataclass(frozen=True)
class Division:
    """The split of the corpus; the default one if no corpus was built."""

    val_split: float
    """Share of the payload for validation."""
    seed: int
    cut: bool
    """Each recording is cut in two, because there are too few time groups."""
    validation_recordings: int


@dataclass(frozen=True)
class DataReport:
    """The analysis of a folder of recordings.

    Mappings by side have the keys "server" and "client".
    """

    folder: str
    recordings: list[RecordingSize]
    """In the order of their starts; copies are left out."""
    time_groups: int
    skipped: list[str]
    """Files that are not recordings."""
    left_out: dict[str, str]
    """Reasons by the name of each other file that is not counted."""
    dialects: dict[str, DialectCounts]
    delays: dict[str, Delays]
    """Delays by side, without the first delay of each recording, which has no event before it."""
    turn_bytes: dict[str, dict[int, int]]
    """Number of turns by side and by the power of two at or below their payload bytes; 0 for empty turns."""
    markup: Markup
    commands: Commands
    long_lines: LongLines
    division: Division


def analyze(dataset: Path, progress: Progress = silent, *, workspace: Workspace = HERE) -> DataReport:
    """Count what the recordings in a folder and its subfolders hold, copies once.

    Args:
        dataset: The folder. If its corpus was built, the settings of the corpus are used.
        progress: Counts bytes.

    Raises:
        GreylordError: There is no recording.
    """
    manifest = Manifest.read(corpus_of(dataset, workspace=workspace))
    settings = manifest.settings if manifest else CorpusSettings()
    with tempfile.TemporaryDirectory() as spool:
        rows, counts = read_dataset(dataset, Path(spool), settings, progress, workspace=workspace)
    groups = split.time_groups([row.file.grouped_at for row in rows])
    tally = _Tally(settings, cut=max(groups) + 1 < split.MIN_GROUPS)
    recordings = []
    with progress("Counting", sum(row.file.path.stat().st_size for row in rows)) as advance:
        for row, group in zip(rows, groups, strict=True):
            tally.add(read_recording(row.file.path))
            start, payload = row.file.started_at, row.counts.payload_bytes
            started_at = None if start is None else start.isoformat(timespec="milliseconds")
            recordings.append(RecordingSize(row.file.name, started_at, group, payload.server, payload.client))
            advance(row.file.path.stat().st_size)
    if tally.cut:
        is_validation = [True] * len(recordings)
    else:
        is_validation = _choose_validation(recordings, settings)
        tally.lines.assign_splits(is_validation)
    return DataReport(
        folder=str(dataset),
        recordings=recordings,
        time_groups=max(groups) + 1,
        skipped=counts.skipped,
        left_out=counts.left_out,
        dialects=counts.dialects,
        delays={side: delays.report() for side, delays in tally.delays.items()},
        turn_bytes={side: sizes.report() for side, sizes in tally.turns.items()},
        markup=tally.markup.report(),
        commands=tally.commands.report(),
        long_lines=tally.lines.report(),
        division=Division(settings.val_split, settings.seed, tally.cut, sum(is_validation)),
    )


def _choose_validation(recordings: Sequence[RecordingSize], settings: CorpusSettings) -> list[bool]:
    """Return for each recording whether it is in the validation split.

    Without a corpus, it is the split that a build would choose.
    """
    sizes: Counter[int] = Counter()
    for recording in recordings:
        sizes[recording.time_group] += recording.payload_bytes
    group_bytes = [sizes[group] for group in range(len(sizes))]
    chosen = split.choose_validation(group_bytes, settings.val_split, settings.seed)
    return [recording.time_group in chosen for recording in recordings]


class _Tally:
    """All counts of an analysis."""

    def __init__(self, settings: CorpusSettings, cut: bool) -> None:
        self.settings, self.cut = settings, cut
        self.delays = {"server": DelayTally(), "client": DelayTally()}
        self.turns = {"server": TurnTally(), "client": TurnTally()}
        self.markup, self.commands, self.lines = MarkupTally(), CommandTally(), LineTally()

    def add(self, recording: Recording) -> None:
        """Add a recording."""
        session, credentials = recording.session, recording.credentials
        stream = turns.turns_of(session, self.settings.keep_records)
        sizes = np.diff(stream.ends, prepend=0)
        for side, direction, token in SIDES:
            self.delays[side].add(session.delays[1:][session.directions[1:] == direction])
            self.turns[side].add(sizes[stream.directions == token])
        server, client = transcript_of(stream, vocabulary.SERVER), transcript_of(stream, vocabulary.CLIENT)
        self.markup.add(server, client)
        sent_by_client = np.repeat(session.directions == Direction.CLIENT, session.sizes)
        secret = np.isin(np.flatnonzero(sent_by_client), credentials.positions)
        self.commands.add(typed_lines(client, server, secret), credentials.logins)
        self.lines.add(server.text)
        if self.cut:
            ids = turns.encode_turns(stream)
            end, begin = split.cut_tail(ids, self.settings.val_split)
            for name, part in (("train", ids[:end]), ("validation", np.append(ids[:1], ids[begin:]))):
                self.lines.add_to_split(name, transcript_of(turns.decode(part), vocabulary.SERVER).text)


def draw(report: DataReport) -> bytes:
    """Draw the histograms of a report.

    Returns:
        A PNG.
    """
    days: Counter[date] = Counter()
    for recording in report.recordings:
        if recording.started_at:
            days[datetime.fromisoformat(recording.started_at).date()] += recording.payload_bytes
    total = sum(recording.payload_bytes for recording in report.recordings)
    return plots.recordings_histograms(
        title=f"{Path(report.folder).name}: {units.count(len(report.recordings), 'recording')}, {units.size(total)}",
        days=days if len(days) >= MIN_DAYS else {},
        recordings=[recording.payload_bytes for recording in report.recordings],
        delays={side: delays.by_power for side, delays in report.delays.items()},
        turn_bytes=report.turn_bytes,
        commands=report.commands.frequent,
    )
