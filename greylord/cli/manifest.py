"""What commands tell of recordings: counts by dialect, the split, and which files are left out."""

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

KEPT = (
    "PASSWORDS STAND IN THIS CORPUS AS THEY WERE TYPED. Share neither it nor a model trained on it; "
    "build with --mask-credentials to mask them."
)
SHOWN = 12
"""Files listed before the rest is only counted."""
JUNK = "junk_bytes"
COUNTS = {
    "recordings": "recordings",
    "records, server": "records.server",
    "records, client": "records.client",
    "payload bytes, server": "payload_bytes.server",
    "payload bytes, client": "payload_bytes.client",
    "turns": "turns",
    "junk after the marker": JUNK,
    "negative delays": "negative_delays",
    "truncated records": "truncated_records",
    "cut tokens": "cut_tokens",
    "stray markers": "stray_markers",
    "decimal commas": "decimal_commas",
    "zeros cut off the end": "trailing_zeros",
    "bytes before the first record": "headless_bytes",
    "logins": "logins",
    "bytes of credentials": "credential_bytes",
}
"""Rows of the table of dialects, and the attributes of `DialectCounts` that they show."""


def listed(rows: Sequence[tuple[Path | str, str]]) -> list[str]:
    """A line for each of the first files, with what is to be said of it, and one that counts the others."""
    more = [f"... and {len(rows) - SHOWN:,} more"] if len(rows) > SHOWN else []
    return [f"{path}  ({why})" for path, why in rows[:SHOWN]] + more


def dialect_table(dialects: Mapping[str, DialectCounts]) -> Table:
    """What the recordings of each dialect hold, without the kinds of dirt that none has."""
    table = console.table("", *dialects)
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
    """Counts by dialect and by split."""
    console.out.print()
    console.out.print(dialect_table(manifest.dialects))
    console.out.print()
    for name, counts in manifest.splits.items():
        groups = f" in {units.count(counts.groups, 'time group')}" if not manifest.cut else ""
        console.say(
            "train" if name == "train" else "validate",
            f"{units.count(counts.recordings, 'recording')}{groups}, {counts.payload_bytes:,} payload bytes, "
            f"{counts.turns:,} turns, {counts.tokens:,} tokens",
        )
    if manifest.cut:
        console.warn(
            f"{units.count(manifest.groups, 'time group')} cannot be divided by time: the end of each recording "
            f"validates, and {manifest.gap_tokens:,} tokens before it are left out."
        )
    if manifest.settings.keep_credentials:
        console.warn(KEPT)
    if manifest.compressed:
        console.warn(
            f"MCCP-compressed bytes, which no model can read, in {units.count(len(manifest.compressed), 'recording')}; "
            f"move away and build again: {_some(manifest.compressed)}"
        )
    from greylord.captures.signs import MEANINGS

    for sign, meaning in MEANINGS.items():
        if names := manifest.signs.get(sign.value):
            console.warn(meaning.format(f"{units.count(len(names), 'recording')} ({_some(names)})"))
    by_time = [entry.name for entry in manifest.recordings if entry.grouped_by == "modification time"]
    if by_time:
        console.warn(
            f"The names of {units.count(len(by_time), 'recording')} do not tell when they began; they are grouped by "
            f"the time when the file was last changed: {_some(by_time)}"
        )
    if unknown := [entry.name for entry in manifest.recordings if entry.grouped_by == "nothing"]:
        console.warn(
            f"Nothing tells when {units.count(len(unknown), 'recording')} began, neither name nor modification time; "
            f"they are one time group: {_some(unknown)}"
        )
    if near := [entry.name for entry in manifest.recordings if entry.grouped_by == "near-copy"]:
        console.warn(
            f"In {units.count(len(near), 'recording')} most of the text stands in another recording too, so both are "
            f"in one time group: {_some(near)}"
        )
    name_skipped(manifest.skipped, manifest.left_out)


def _some(names: Sequence[str]) -> str:
    """The first names, and how many there are besides."""
    return ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)


def name_skipped(skipped: Sequence[str], left_out: Mapping[str, str]) -> None:
    """Say which files are not in the corpus, and why."""
    if skipped:
        console.warn(f"{units.count(len(skipped), 'file')} left out, not being recordings: {_some(skipped)}")
    if left_out:
        console.warn(f"{units.count(len(left_out), 'file')} left out:", *listed(list(left_out.items())))
