"""What a folder of recordings holds: how much, how dirty, how often the same, and what players type.

Recordings are read one at a time. User names and passwords stay out of the report.
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
from greylord.captures import reading
from greylord.captures.session import Direction
from greylord.corpus import split
from greylord.corpus.build import corpus_of
from greylord.corpus.manifest import CorpusSettings, DialectCounts, Manifest
from greylord.corpus.recordings import read_dataset
from greylord.progress import Progress, silent
from greylord.stream import turns, vocabulary
from greylord.stream.lines import side_of, typed

__all__ = ["DataReport", "Division", "Recording", "analyze", "picture"]

SIDES = (("server", Direction.SERVER, vocabulary.SERVER), ("client", Direction.CLIENT, vocabulary.CLIENT))
FEW_DAYS = 3
"""With fewer, the picture shows recordings instead of days."""


@dataclass(frozen=True)
class Recording:
    """One recording."""

    name: str
    started_at: str | None
    """As its name tells, in UTC."""
    time_group: int
    server_bytes: int
    client_bytes: int

    @property
    def payload_bytes(self) -> int:
        return self.server_bytes + self.client_bytes


@dataclass(frozen=True)
class Division:
    """How the corpus divides the recordings, or would."""

    val_split: float
    seed: int
    cut: bool
    """Each recording is cut in two, for want of time groups."""
    validation_recordings: int


@dataclass(frozen=True)
class DataReport:
    """All that `greylord analyze data` tells. What is by side has the keys "server" and "client"."""

    folder: str
    recordings: list[Recording]
    """In the order of their starts."""
    time_groups: int
    skipped: list[str]
    """Files that are not recordings."""
    left_out: dict[str, str]
    """Other files that are not counted, and why."""
    dialects: dict[str, DialectCounts]
    delays: dict[str, Delays]
    """By side, but for the first of each recording, which counts from nothing."""
    turn_bytes: dict[str, dict[int, int]]
    """By side, turns by the power of two that their payload bytes reach."""
    markup: Markup
    commands: Commands
    long_lines: LongLines
    division: Division


def analyze(dataset: Path, progress: Progress = silent) -> DataReport:
    """Read all recordings of a folder and below, once each. Raises GreylordError if there is none."""
    manifest = Manifest.read(corpus_of(dataset))
    settings = manifest.settings if manifest else CorpusSettings()
    with tempfile.TemporaryDirectory() as spool:
        rows, found = read_dataset(dataset, Path(spool), settings, progress)
    groups = split.time_groups([row.file.grouped_at for row in rows])
    tally = _Tally(settings, cut=max(groups) + 1 < split.MIN_GROUPS)
    recordings = []
    with progress("Reading again", sum(row.file.path.stat().st_size for row in rows)) as advance:
        for row, group in zip(rows, groups, strict=True):
            tally.add(reading.read_recording(row.file.path))
            start, payload = row.file.started_at, row.counts.payload_bytes
            started_at = start and start.isoformat(timespec="milliseconds")
            recordings.append(Recording(row.file.name, started_at, group, payload.server, payload.client))
            advance(row.file.path.stat().st_size)
    if tally.cut:
        validating = [True] * len(recordings)
    else:
        validating = _validating(recordings, settings)
        tally.lines.divide(validating)
    return DataReport(
        folder=str(dataset),
        recordings=recordings,
        time_groups=max(groups) + 1,
        skipped=found.skipped,
        left_out=found.left_out,
        dialects=found.dialects,
        delays={side: delays.report() for side, delays in tally.delays.items()},
        turn_bytes={side: sizes.report() for side, sizes in tally.turns.items()},
        markup=tally.markup.report(),
        commands=tally.commands.report(),
        long_lines=tally.lines.report(),
        division=Division(settings.val_split, settings.seed, tally.cut, sum(validating)),
    )


def _validating(recordings: Sequence[Recording], settings: CorpusSettings) -> list[bool]:
    """Which recordings validate, by the corpus's own choice."""
    sizes = Counter()
    for recording in recordings:
        sizes[recording.time_group] += recording.payload_bytes
    group_bytes = [sizes[group] for group in range(len(sizes))]
    chosen = split.choose_validation(group_bytes, settings.val_split, settings.seed)
    return [recording.time_group in chosen for recording in recordings]


class _Tally:
    """Everything that is counted while reading."""

    def __init__(self, settings: CorpusSettings, cut: bool) -> None:
        self.settings, self.cut = settings, cut
        self.delays = {"server": DelayTally(), "client": DelayTally()}
        self.turns = {"server": TurnTally(), "client": TurnTally()}
        self.markup, self.commands, self.lines = MarkupTally(), CommandTally(), LineTally()

    def add(self, recording: reading.Recording) -> None:
        """Count a recording."""
        session, credentials = recording.session, recording.credentials
        stream = turns.turns_of(session, self.settings.keep_records)
        sizes = np.diff(stream.ends, prepend=0)
        for side, direction, token in SIDES:
            self.delays[side].add(session.delays[1:][session.directions[1:] == direction])
            self.turns[side].add(sizes[stream.directions == token])
        server, client = side_of(stream, vocabulary.SERVER), side_of(stream, vocabulary.CLIENT)
        self.markup.add(server, client)
        sent_by_client = np.repeat(session.directions == Direction.CLIENT, session.sizes)
        secret = np.isin(np.flatnonzero(sent_by_client), credentials.positions)
        self.commands.add(typed(client, server, secret), credentials.logins)
        self.lines.add(server.text)
        if self.cut:
            ids = turns.encode(stream)
            end, begin = split.cut_tail(ids, self.settings.val_split)
            for part, its_ids in (("train", ids[:end]), ("validation", np.append(ids[:1], ids[begin:]))):
                self.lines.add_part(part, side_of(turns.decode(its_ids), vocabulary.SERVER).text)


def picture(report: DataReport) -> bytes:
    """The report's histograms, as a PNG."""
    days: Counter[date] = Counter()
    for recording in report.recordings:
        if recording.started_at:
            days[datetime.fromisoformat(recording.started_at).date()] += recording.payload_bytes
    total = sum(recording.payload_bytes for recording in report.recordings)
    return plots.recordings_histograms(
        title=f"{Path(report.folder).name}: {units.count(len(report.recordings), 'recording')}, {units.size(total)}",
        days=days if len(days) >= FEW_DAYS else {},
        recordings=[recording.payload_bytes for recording in report.recordings],
        delays={side: delays.by_power for side, delays in report.delays.items()},
        turn_bytes=report.turn_bytes,
        commands=report.commands.frequent,
    )
