"""manifest.json: what a corpus was built from, how, and what was met on the way."""

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
    """What decides a corpus besides the recordings."""

    val_split: float = 0.2
    """The share of the bytes that validates."""
    keep_records: bool = False
    """Each record is a turn of its own."""
    seed: int = 0
    """Draws the groups that validate."""
    keep_credentials: bool = False
    """Passwords stand in the corpus as they were typed, so that it must not be shared, nor a model of it."""


@dataclass
class Sides:
    """A count for each direction."""

    server: int = 0
    client: int = 0

    @classmethod
    def of(cls, directions: np.ndarray, weights: np.ndarray | None = None) -> Sides:
        """The entries of each direction counted, or their weights added up."""
        sums = np.bincount(directions, weights, minlength=len(Direction)).astype(np.int64).tolist()
        return cls(server=sums[Direction.SERVER], client=sums[Direction.CLIENT])

    @property
    def total(self) -> int:
        return self.server + self.client

    def __add__(self, other: Sides) -> Sides:
        return Sides(self.server + other.server, self.client + other.client)


@dataclass
class DialectCounts:
    """What the recordings of one dialect hold, dirt included."""

    recordings: int = 0
    records: Sides = field(default_factory=Sides)
    payload_bytes: Sides = field(default_factory=Sides)
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
    """Payload bytes of credentials, masked unless the settings keep them."""

    @classmethod
    def of(cls, session: Session, turns: int, credentials: Credentials) -> DialectCounts:
        """The counts of one recording."""
        records, payload_bytes, negative_delays, truncated_records = Sides(), Sides(), 0, 0
        for piece in session.pieces():
            begun = slice(int(piece.continues), None)
            records += Sides.of(piece.directions[begun])
            payload_bytes += Sides.of(piece.directions, piece.sizes)
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
    """What one side of the split holds."""

    recordings: int = 0
    groups: int = 0
    turns: int = 0
    payload_bytes: int = 0
    tokens: int = 0
    """Without the start symbols."""


@dataclass
class RecordingEntry:
    """One recording of the corpus."""

    name: str
    """Its path within the dataset, with forward slashes."""
    payload_sha256: str
    """See `payload_hash`."""
    dialect: str
    started_at: str | None
    """As its name tells."""
    grouped_by: str
    """What its time group rests on: "name", "modification time", "near-copy" of another recording, or "nothing"."""
    group: int
    payload_bytes: int
    split: str
    """"train", "validation", or "both" if it was cut in two."""


@dataclass
class Manifest:
    """The whole file. `content_hash` stands for the recordings, the settings and the format together."""

    dataset: str
    content_hash: str
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
    """Other files of the dataset that are not in the corpus, and why: copies, beginnings, what cannot be read."""
    signs: dict[str, list[str]] = field(default_factory=dict)
    """Recordings that were changed on their way, by the `greylord.captures.signs.Sign` that tells."""
    compressed: list[str] = field(default_factory=list)
    """Recordings in which the server turns to MCCP: what follows is zlib, and no model can read it."""
    cut: bool = False
    """Each recording was cut in two, for want of time groups to divide."""
    gap_tokens: int = 0
    """Tokens left out between the two parts."""
    pauses: dict[str, list[float]] = field(default_factory=dict)
    """Quantiles of the seconds before turns, by delay token; see `greylord.stream.delays`."""
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        content = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        write_file(folder / NAME, content + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a corpus; None if there is no corpus or it is of another format."""
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
                            "records": Sides(**counts["records"]),
                            "payload_bytes": Sides(**counts["payload_bytes"]),
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
    """The SHA-256 of a file's contents, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def payload_hash(masked: Session) -> str:
    """The SHA-256 of a session's payload, in hex. With credentials masked it is one for a recording, a copy of it by
    `data redact`, and the same in another dialect."""
    digest = hashlib.sha256()
    for _, block in blocks(masked.payload):
        digest.update(block)
    return digest.hexdigest()


def content_hash(files: Iterable[tuple[str, ...]], settings: CorpusSettings) -> str:
    """One hash for what decides a corpus: name and hash of each file, settings and corpus format."""
    text = json.dumps([FORMAT, asdict(settings), sorted(files)])
    return hashlib.sha256(text.encode()).hexdigest()


def describe_corpus(corpus: Path, manifest: Manifest, built: bool) -> str:
    sides = ", ".join(
        f"{name} {units.size(counts.payload_bytes)} of {units.count(counts.recordings, 'recording')}"
        for name, counts in manifest.splits.items()
    )
    cut = f", each cut in two: only {units.count(manifest.groups, 'time group')}" if manifest.cut else ""
    kept = "; PASSWORDS STAND IN IT: share neither it nor the model" if manifest.settings.keep_credentials else ""
    missing = len(manifest.left_out) + len(manifest.skipped)
    without = f"; {units.count(missing, 'file')} left out" if missing else ""
    changed = len(set().union(*manifest.signs.values()))
    marked = f"; {units.count(changed, 'recording')} changed since they were recorded" if changed else ""
    why = " (`greylord data show` tells why)" if missing or changed else ""
    return f"{corpus} ({'built' if built else 'up to date'}): {sides}{cut}{without}{marked}{why}{kept}"
