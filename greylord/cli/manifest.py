"""Print the contents of a corpus: dialects, the split, files left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from greylord import units
from greylord.cli import console

if TYPE_CHECKING:
    from rich.table import Table

    from greylord.corpus.manifest import DialectCounts, Manifest

__all__ = ["dialect_table", "listed", "name_skipped", "show_manifest"]

UNMASKED = (
    "THIS CORPUS CONTAINS PASSWORDS. Share neither it nor a model trained on it; build it with --mask-credentials to "
    "mask them."
)
MAX_LISTED = 12
"""Files that are listed; the rest is counted."""
JUNK = "junk_bytes"
COUNTS = {
    "recordings": "recordings",
    "server records": "records.server",
    "client records": "records.client",
    "server payload bytes": "payload_bytes.server",
    "client payload bytes": "payload_bytes.client",
    "turns": "turns",
    "junk after a direction marker": JUNK,
    "negative delays": "negative_delays",
    "truncated records": "truncated_records",
    "records that end inside a hex token": "cut_tokens",
    "unknown markers, kept as payload": "stray_markers",
    "delays with a decimal comma": "decimal_commas",
    "zero bytes dropped at the end": "trailing_zeros",
    "bytes before the first record": "headless_bytes",
    "logins": "logins",
    "password bytes": "credential_bytes",
}
"""Rows of the table of dialects, with the attributes of `DialectCounts` that they show."""


def listed(rows: Sequence[tuple[Path | str, str]]) -> list[str]:
    """Return a line for each of the first files with the reason.

    One more line counts the rest.

    Args:
        rows: Paths, each with a reason.
    """
    more = [f"... and {len(rows) - MAX_LISTED:,} more"] if len(rows) > MAX_LISTED else []
    return [f"{path}  ({why})" for path, why in rows[:MAX_LISTED]] + more


def dialect_table(dialects: Mapping[str, DialectCounts]) -> Table:
    """Make the table of recordings by dialect.

    Rows that are 0 throughout are left out.
    """
    table = console.table("format", *dialects)
    for label, name in COUNTS.items():
        values = [attrgetter(name)(counts) for counts in dialects.values()]
        if name == JUNK:
            values = [
                ", ".join(f"{length} bytes: {records:,}" for length, records in sorted(junk.items()) if length)
                for junk in values
            ]
        if any(values):
            table.add_row(label, *(value if name == JUNK else f"{value:,}" for value in values))
    return table


def show_manifest(manifest: Manifest) -> None:
    """Print counts by dialect and by split, and notes about the recordings."""
    console.show(dialect_table(manifest.dialects))
    console.out.print(_split_table(manifest))
    _note_corpus(manifest)
    _note_starts(manifest)
    name_skipped(manifest.skipped, manifest.left_out)


def _split_table(manifest: Manifest) -> Table:
    by_time = not manifest.cut
    table = console.table("split", "recordings", *["time groups"] * by_time, "payload bytes", "turns", "tokens")
    for name, counts in manifest.splits.items():
        groups = [counts.groups] * by_time
        values = (counts.recordings, *groups, counts.payload_bytes, counts.turns, counts.tokens)
        table.add_row(name, *(f"{value:,}" for value in values))
    return table


def _note_corpus(manifest: Manifest) -> None:
    from greylord.captures.signs import MEANINGS

    if manifest.cut:
        console.note(
            f"{units.count(manifest.groups, 'time group')} cannot be divided by time: the end of each recording is for "
            f"validation, and {manifest.gap_tokens:,} tokens before it are left out."
        )
    if manifest.settings.keep_credentials:
        console.note(UNMASKED)
    if manifest.compressed:
        console.note(
            f"{units.count(len(manifest.compressed), 'recording')} with MCCP-compressed bytes, which a model cannot "
            f"read; move away and build again: {_some(manifest.compressed)}"
        )
    for sign, meaning in MEANINGS.items():
        if names := manifest.signs.get(sign.value):
            console.note(meaning.format(f"{units.count(len(names), 'recording')} ({_some(names)})"))


def _note_starts(manifest: Manifest) -> None:
    """Print which recordings are not grouped by the start in their name."""
    by_time = [entry.name for entry in manifest.recordings if entry.grouped_by == "modification time"]
    if by_time:
        console.note(
            f"{units.count(len(by_time), 'recording')} without a start time in the name, grouped by modification "
            f"time: {_some(by_time)}"
        )
    if unknown := [entry.name for entry in manifest.recordings if entry.grouped_by == "nothing"]:
        console.note(
            f"{units.count(len(unknown), 'recording')} without a start time in name or modification time, put into one "
            f"time group: {_some(unknown)}"
        )
    if near := [entry.name for entry in manifest.recordings if entry.grouped_by == "near-copy"]:
        console.note(
            f"{units.count(len(near), 'recording')} grouped with another recording, with which most of the text is "
            f"shared: {_some(near)}"
        )


def _some(names: Sequence[str]) -> str:
    """Return the first names, and an ellipsis if there are more."""
    return ", ".join(names[:MAX_LISTED]) + ", ..." * (len(names) > MAX_LISTED)


def name_skipped(skipped: Sequence[str], left_out: Mapping[str, str]) -> None:
    """Print which files are not in the corpus, and why."""
    if skipped:
        console.note(f"{units.count(len(skipped), 'file')} left out, not recordings: {_some(skipped)}")
    if left_out:
        console.note(f"{units.count(len(left_out), 'file')} left out:", *listed(list(left_out.items())))
