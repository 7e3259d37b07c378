"""manifest.json: the recordings of a corpus, its settings, and counts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from greylord import units
from greylord.captures.redaction import Credentials
from greylord.captures.session import Direction, Session
from greylord.errors import GreylordError
from greylord.files import write_file
from greylord.spool import blocks

__all__ = [
    "CorpusSettings",
    "DialectCounts",
    "Manifest",
    "RecordingEntry",
    "SplitCounts",
    "content_hash",
    "describe_corpus",
    "file_hash",
    "payload_hash",
]

FORMAT = 5
"""Raised whenever the same recordings would give another corpus or manifest."""
NAME = "manifest.json"


@dataclass(frozen=True)
class CorpusSettings:
    """Settings of a corpus."""

    val_split: float = 0.2
    """Share of the payload bytes that validates, between 0 and 1."""
    keep_records: bool = False
    """Make each record a turn of its own. Otherwise records that follow each other within a second join into one."""
    seed: int = 0
    """Seed of the random choice of the time groups that validate."""
    keep_credentials: bool = False
    """Keep passwords as they were typed. Such a corpus, and any model trained on it, must not be shared."""


@dataclass
class DirectionCounts:
    """A count for each direction."""

    server: int = 0
    client: int = 0

    @classmethod
    def of(cls, directions: np.ndarray, weights: np.ndarray | None = None) -> DirectionCounts:
        """Count the entries of each direction, or add up their weights.

        Args:
            directions: uint8 [n], values of `Direction`.
            weights: [n].
        """
        sums = np.bincount(directions, weights, minlength=len(Direction)).astype(np.int64).tolist()
        return cls(server=sums[Direction.SERVER], client=sums[Direction.CLIENT])

    @property
    def total(self) -> int:
        """Sum over both directions."""
        return self.server + self.client

    def __add__(self, other: DirectionCounts) -> DirectionCounts:
        return DirectionCounts(self.server + other.server, self.client + other.client)


@dataclass
class DialectCounts:
    """Totals over the recordings of one dialect, defects of the log files included."""

    recordings: int = 0
    records: DirectionCounts = field(default_factory=DirectionCounts)
    payload_bytes: DirectionCounts = field(default_factory=DirectionCounts)
    junk_bytes: dict[int, int] = field(default_factory=dict)
    """Records by the number of junk bytes after the direction marker."""
    negative_delays: int = 0
    truncated_records: int = 0
    """Records that the recorder cut; in v1 and v2 at 512 bytes."""
    cut_tokens: int = 0
    """Records that end within a hex token."""
    stray_markers: int = 0
    headless_bytes: int = 0
    decimal_commas: int = 0
    trailing_zeros: int = 0
    turns: int = 0
    logins: int = 0
    """Passwords given."""
    credential_bytes: int = 0
    """Payload bytes of credentials. They are masked unless `keep_credentials` is set."""

    @classmethod
    def of(cls, session: Session, turns: int, credentials: Credentials) -> DialectCounts:
        """Count one recording.

        Args:
            turns: Turns of the session, as they were encoded.
        """
        records, payload_bytes, negative_delays, truncated_records = DirectionCounts(), DirectionCounts(), 0, 0
        for piece in session.pieces():
            # A record that began in the piece before has been counted.
            begun = slice(int(piece.continues), None)
            records += DirectionCounts.of(piece.directions[begun])
            payload_bytes += DirectionCounts.of(piece.directions, piece.sizes)
            negative_delays += int(np.count_nonzero(piece.delays[begun] < 0))
            truncated_records += int(np.count_nonzero(piece.truncated[begun]))
        return cls(
            recordings=1,
            records=records,
            payload_bytes=payload_bytes,
            junk_bytes=dict(session.dirt.junk),
            negative_delays=negative_delays,
            truncated_records=truncated_records,
            cut_tokens=session.dirt.cut_tokens,
            stray_markers=session.dirt.stray_markers,
            headless_bytes=session.dirt.headless_bytes,
            decimal_commas=session.dirt.decimal_commas,
            trailing_zeros=session.dirt.trailing_zeros,
            turns=turns,
            logins=credentials.logins,
            credential_bytes=len(credentials.positions),
        )

    def __add__(self, other: DialectCounts) -> DialectCounts:
        sums = dict(vars(self))
        for name, value in sums.items():
            more = getattr(other, name)
            sums[name] = dict(Counter(value) + Counter(more)) if isinstance(value, dict) else value + more
        return DialectCounts(**sums)


@dataclass
class SplitCounts:
    """Totals of one split."""

    recordings: int = 0
    groups: int = 0
    turns: int = 0
    payload_bytes: int = 0
    tokens: int = 0
    """Payload bytes and framing, without start symbols."""


@dataclass
class RecordingEntry:
    """One recording of the corpus."""

    name: str
    """Its path within the dataset, with forward slashes."""
    payload_sha256: str
    """See `payload_hash`."""
    dialect: str
    started_at: str | None
    """The start in its name, as ISO 8601 in UTC; None if the name holds none."""
    grouped_by: str
    """Evidence for its time group: "name", "modification time", "near-copy" of another recording, or "nothing"."""
    group: int
    """Its time group; see `greylord.corpus.split`."""
    payload_bytes: int
    split: str
    """"train", "validation", or "both" if it was cut in two."""


@dataclass
class Manifest:
    """The contents of manifest.json."""

    dataset: str
    content_hash: str
    """Hash of the recordings, the settings and the format; see `content_hash`."""
    settings: CorpusSettings
    dialects: dict[str, DialectCounts] = field(default_factory=dict)
    splits: dict[str, SplitCounts] = field(default_factory=dict)
    groups: int = 0
    """Time groups among the recordings."""
    recordings: list[RecordingEntry] = field(default_factory=list)
    """In the order of their starts."""
    skipped: list[str] = field(default_factory=list)
    """Files of the dataset that are not recordings."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Other files of the dataset that are not in the corpus, with the reason: duplicates and unreadable files."""
    signs: dict[str, list[str]] = field(default_factory=dict)
    """Recordings that were altered after they were recorded, by `greylord.captures.signs.Sign`."""
    compressed: list[str] = field(default_factory=list)
    """Recordings in which the server switches to MCCP. The zlib bytes that follow cannot be learned."""
    cut: bool = False
    """Each recording is cut in two, because there are too few time groups to divide."""
    gap_tokens: int = 0
    """Tokens left out between the two parts."""
    pauses: dict[str, list[float]] = field(default_factory=dict)
    """Quantiles of the seconds before turns, by delay token; see `greylord.stream.delays`."""
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write manifest.json into the folder of a corpus."""
        content = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        write_file(folder / NAME, content + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """Read the manifest of a corpus.

        Returns None if there is no corpus, or its format is another one.

        Raises:
            GreylordError: The file is not JSON.
        """
        try:
            content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise GreylordError(f"{str(folder / NAME)!r} is damaged ({error}); delete the folder.") from error
        if content.get("format") != FORMAT:
            return None
        return cls(
            **{
                **content,
                "settings": CorpusSettings(**content["settings"]),
                "dialects": {
                    name: DialectCounts(
                        **{
                            **counts,
                            "records": DirectionCounts(**counts["records"]),
                            "payload_bytes": DirectionCounts(**counts["payload_bytes"]),
                            "junk_bytes": {int(length): n for length, n in counts["junk_bytes"].items()},
                        }
                    )
                    for name, counts in content["dialects"].items()
                },
                "splits": {name: SplitCounts(**counts) for name, counts in content["splits"].items()},
                "recordings": [RecordingEntry(**entry) for entry in content["recordings"]],
            }
        )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's contents, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def payload_hash(masked: Session) -> str:
    """Return the SHA-256 of a session's payload, in hex.

    A recording keeps its hash in another dialect and, since credentials are masked, in a redacted copy.

    Args:
        masked: The session with its credentials masked.
    """
    digest = hashlib.sha256()
    for _, block in blocks(masked.payload):
        digest.update(block.data)
    return digest.hexdigest()


def content_hash(files: Iterable[tuple[str, ...]], settings: CorpusSettings) -> str:
    """Hash the files, the settings and the format of a corpus, in hex.

    Args:
        files: The `key` of each file; see `greylord.corpus.recordings.RecordingFile`.
    """
    text = json.dumps([FORMAT, asdict(settings), sorted(files)])
    return hashlib.sha256(text.encode()).hexdigest()


def describe_corpus(folder: Path, manifest: Manifest, is_new: bool) -> str:
    """Describe a corpus in a line: its folder, its splits, and remarks.

    Args:
        is_new: The corpus has just been built.
    """
    splits = ", ".join(
        f"{name} {units.count(counts.recordings, 'recording')} ({units.size(counts.payload_bytes)})"
        for name, counts in manifest.splits.items()
    )
    remarks = []
    if manifest.cut:
        groups = units.count(manifest.groups, "time group")
        remarks.append(f"the end of each recording validates, since they fall into {groups} only")
    if missing := len(manifest.left_out) + len(manifest.skipped):
        remarks.append(f"{units.count(missing, 'file')} left out")
    if altered := len(set().union(*manifest.signs.values())):
        remarks.append(f"{units.count(altered, 'recording')} altered after recording")
    if missing or altered:
        remarks.append(f"details in {folder / NAME}")
    if manifest.settings.keep_credentials:
        remarks.append("PASSWORDS ARE NOT MASKED: do not share the corpus or the model")
    return "; ".join([f"{folder} ({'built' if is_new else 'up to date'}): {splits}", *remarks])
