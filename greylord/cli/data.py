"""`greylord data`: recordings in, out and counted."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.manifest import listed, name_skipped, show_manifest
from greylord.cli.sharing import Branch, DryRun, Private, Repository, say_pushed, say_what_would_go
from greylord.errors import GreylordError, UsageError
from greylord.workspace import HERE

app = typer.Typer(help="Recordings: copy, sample, prune, show, build into a corpus, and share.", no_args_is_help=True)

ARCHIVES = (".zip", ".7z", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
"""Names of files that recordings may be packed in end so."""

Dataset = Annotated[
    str, typer.Argument(metavar="NAME", help="A dataset under data/, or the path of a folder, as ./logs.")
]


@app.command()
def copy(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Folders, files or quoted patterns.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The dataset to copy into.")],
) -> None:
    """Copy recordings into data/NAME, each once. Nothing is lost, and what is not a recording stays behind.

    A recording that is there already under any name is not copied again; one that has grown takes the place of its
    beginning.

    [dim]Example: greylord data copy ~/mud/logs 'old/*.log' majormud[/]
    """
    _copy(sources, name, masked=False)


@app.command()
def redact(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Folders, files or quoted patterns.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The dataset to copy into.")],
) -> None:
    """Copy recordings into data/NAME with `*` for every password; no other byte changes, nothing is overwritten.

    [dim]Example: greylord data redact data/majormud majormud-to-share[/]
    """
    _copy(sources, name, masked=True)


def _copy(sources: Sequence[str], name: str, masked: bool) -> None:
    from greylord.corpus import copying, folder

    plan = copying.plan_copy(sources, name, masked, console.progress)
    if plan.others:
        sizes = [(path, units.size(folder.size_of(path))) for path in plan.others]
        console.warn(f"{units.count(len(sizes), 'file')} stayed behind, not being recordings:", *listed(sizes))
    if plan.same:
        count = units.count(len(plan.same), "recording")
        console.warn(f"{count} stayed behind, since another one holds it all:", *listed(plan.same))
    if plan.skipped:
        console.warn(f"{units.count(len(plan.skipped), 'file')} skipped:", *listed(plan.skipped))
    if not plan.files and not plan.present and not plan.same:
        packed = [path for path in plan.others if path.name.endswith(ARCHIVES)]
        unpack = f" Unpack {str(packed[0])!r} first." if packed else ""
        raise GreylordError(f"There is no recording in {', '.join(map(repr, sources))}.{unpack}")
    with console.progress("Copying", plan.bytes) as advance:
        copied = copying.copy(plan, advance)
    for source, target in plan.renamed:
        console.warn(f"{str(source)!r} became {target.name!r}: its name was taken by another recording.")
    for source, target in plan.grown:
        console.say("grown", f"{target} is now all of {source}")
    there = f"; {units.count(plan.present, 'recording')} there already" if plan.present else ""
    console.say(
        "copied", f"{units.count(copied.files, 'recording')}, {units.size(copied.bytes)}, to {plan.target}{there}"
    )
    if copied.credentials:
        logins = sum(each.logins for each in copied.credentials)
        bytes_masked = sum(len(each.positions) for each in copied.credentials)
        console.say("masked", f"{units.count(logins, 'login')}, {units.count(bytes_masked, 'byte')}")
    unread = [(path, why) for path, why in plan.skipped if why.startswith("cannot be read")]
    _fail_on([*unread, *((path, f"cannot be copied: {why}") for path, why in copied.failed)], "copied")


def _fail_on(failed: Sequence[tuple[Path, str]], done: str) -> None:
    """Raise GreylordError if something could not be done with files, while the others are done."""
    if failed:
        path, why = failed[0]
        more = f", and {len(failed) - 1:,} more" if len(failed) > 1 else ""
        raise GreylordError(f"{str(path)!r} {why}{more}; the others have been {done}.")


@app.command()
def sample(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The dataset to make.")],
    recordings: Annotated[int, typer.Option(min=1, help="How many.")] = 16,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long each player plays.")] = 15,
    seed: Annotated[int, typer.Option(help="Draws the realm and its players.")] = 0,
) -> None:
    """Write recordings of the built-in realm to data/NAME, to try everything without recordings of one's own.

    [dim]Example: greylord data sample sample --recordings 32[/]
    """
    from greylord.captures.formats import proxylog
    from greylord.corpus import folder
    from greylord.files import new_folder
    from greylord.realm.recorder import record

    target = HERE.data / folder.check_name(name)
    if os.path.lexists(target):
        raise UsageError(f"{str(target)!r} is there already; choose another name or move it away.")
    size = 0
    with new_folder(target) as made, console.progress("Playing", recordings) as advance:
        for file_name, session in record(seed, recordings, minutes):
            with (made / file_name).open("wb") as file:
                proxylog.write(session, file)
            size += (made / file_name).stat().st_size
            advance(1)
    folder.note(target, "sample", recordings=recordings, bytes=size, seed=seed)
    console.say("sample", f"{units.count(recordings, 'recording')}, {units.size(size)}, in {target}")


@app.command()
def build(
    name: Dataset,
    val_split: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=0.9, metavar="SHARE", help="Share of the bytes that validates.  [dim]\\[default: 0.2][/]"
        ),
    ] = None,
    keep_records: Annotated[
        bool | None,
        typer.Option(
            "--keep-records/--join-records",
            help="Each record a turn of its own, or joined.  [dim]\\[default: joined][/]",
            show_default=False,
        ),
    ] = None,
    keep_credentials: Annotated[
        bool | None,
        typer.Option(
            "--keep-credentials/--mask-credentials",
            help="Passwords as they were typed, or as asterisks.  [dim]\\[default: masked][/]",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Build the corpus of a dataset, an Arrow DatasetDict in corpora/, unless it is up to date.

    [dim]Example: greylord data build majormud[/]
    """
    from greylord.corpus import folder
    from greylord.corpus.build import corpus_of, refresh

    dataset = folder.locate(name)
    manifest, built = refresh(
        dataset, val_split, keep_records, keep_credentials=keep_credentials, progress=console.progress
    )
    if as_json:
        from dataclasses import asdict

        console.print_json({"corpus": str(corpus_of(dataset)), **asdict(manifest)})
        return
    console.say("corpus", f"{corpus_of(dataset)} {'has been built' if built else 'is up to date'}")
    show_manifest(manifest)


@app.command()
def push(
    name: Dataset,
    repo_id: Repository,
    private: Private = False,
    revision: Branch = None,
    dry_run: DryRun = False,
) -> None:
    """Publish a dataset's corpus on the Hugging Face Hub, in segments of recordings as Parquet.

    It is built first if need be. A corpus in which passwords stand is refused. Repeat the command if it fails.

    [dim]Example: greylord data push majormud user/majormud-corpus --private[/]
    """
    from greylord import hub
    from greylord.corpus import folder

    console.quieten()
    dataset = folder.locate(name)
    if dry_run:
        with tempfile.TemporaryDirectory() as place:
            say_what_would_go(hub.corpus_files(dataset, Path(place), repo_id, console.progress), repo_id)
        return
    say_pushed(hub.push_corpus(dataset, repo_id, private, revision, console.progress), repo_id)


@app.command()
def show(
    name: Dataset,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a dataset holds, and its corpus if it has been built.

    [dim]Example: greylord data show majormud[/]
    """
    from greylord.captures.start_times import parse_start
    from greylord.corpus import folder
    from greylord.corpus.manifest import Manifest
    from greylord.corpus.pruning import ATTIC

    dataset = folder.locate(name)
    found = folder.find(dataset)
    files = found.files
    sizes = [folder.size_of(path) for path in files]
    starts = sorted(start for path in files if (start := parse_start(path.name)))
    from greylord.corpus.build import corpus_of, with_skipped

    corpus = corpus_of(dataset)
    manifest = Manifest.read(corpus)
    if as_json:
        console.print_json(
            {
                "folder": str(dataset),
                "files": len(files),
                "bytes": sum(sizes),
                "skipped": found.skipped,
                "first_start": starts[0].isoformat() if starts else None,
                "last_start": starts[-1].isoformat() if starts else None,
                "corpus": str(corpus) if manifest else None,
            }
        )
        return
    console.say("dataset", f"{dataset}: {units.count(len(files), 'file')}, {units.size(sum(sizes))}")
    if files:
        largest = max(zip(sizes, files, strict=True))
        console.say("sizes", f"{units.size(min(sizes))} to {units.size(largest[0])} ({found.name(largest[1])})")
    if starts:
        console.say("starts", f"{starts[0]:%Y-%m-%d %H:%M} to {starts[-1]:%Y-%m-%d %H:%M} UTC, by the names")
    attic = ATTIC / folder.label(dataset)
    if attic.is_dir():
        pruned = folder.recordings(attic)
        console.say("pruned", f"{units.count(len(pruned), 'file')} in {attic}")
    if manifest is None:
        name_skipped([], found.skipped)
        console.say("corpus", f"not built yet: greylord data build {name}")
    else:
        console.say("corpus", f"{corpus}, as of its last build:")
        show_manifest(with_skipped(manifest, found))


@app.command(context_settings={"allow_extra_args": True})
def prune(
    context: typer.Context,
    name: Dataset,
    min_size: Annotated[
        str | None,
        typer.Option("--min-size", "--size", metavar="SIZE", help="Keep files of at least 300, 10KB, 1MB ..."),
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Keep files whose names match, as '*.log'; quote it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete for good, instead of moving to data/.pruned/.")
    ] = False,
) -> None:
    """Keep the files of a dataset that are large enough and match; move the others to data/.pruned/.

    In a folder outside data/ only recordings are touched.

    [dim]Example: greylord data prune majormud --min-size 10KB --pattern '*.log' --dry-run[/]
    """
    from greylord.corpus import folder
    from greylord.corpus.pruning import plan_pruning
    from greylord.corpus.pruning import prune as prune_files

    if context.args:
        raise UsageError(
            f"What is {context.args[0]!r}? If your shell expanded the pattern, quote the pattern: --pattern '*.log'."
        )
    if min_size is None and pattern is None:
        raise UsageError("Prune by what? Give --min-size, --pattern or both.")
    if pattern is not None and not set(pattern) & set("*?["):
        console.warn(f"{pattern!r} has no wildcard; if your shell expanded one, quote the pattern: --pattern '*.log'.")
    pruning = plan_pruning(folder.locate(name), None if min_size is None else units.parse_size(min_size), pattern)
    console.say("folder", str(pruning.folder))
    if pruning.skipped:
        console.warn(
            f"{units.count(len(pruning.skipped), 'path')} not looked at:", *listed(list(pruning.skipped.items()))
        )
    if pruning.others:
        console.warn(f"{units.count(pruning.others, 'file')} outside data/ left alone: not recordings.")
    if not pruning.removed:
        console.say("pruned", f"nothing; {units.count(pruning.kept, 'file')} kept")
        return
    rows = [(path.relative_to(pruning.folder), why) for path, why in pruning.removed]
    total = len(rows) + pruning.kept
    console.say("to go", f"{len(rows):,} of {units.count(total, 'file')}, {units.size(pruning.bytes)}:")
    for line in listed(rows):
        console.out.print(f"  {line}")
    if 2 * len(rows) > total:
        console.warn("That is over half of the files. Recordings of the v1 dialect have no extension.")
    if dry_run:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("There is no terminal to ask on; add --yes to prune, or --dry-run to look only.")
        typer.confirm("Delete them for good?" if delete else f"Move them to {pruning.attic}?", abort=True)
    pruned = prune_files(pruning, delete)
    where = "deleted" if delete else f"moved to {pruning.attic}"
    console.say("pruned", f"{units.count(pruned.removed, 'file')} {where}; {pruning.kept:,} kept")
    _fail_on([(path, f"cannot be removed: {why}") for path, why in pruned.failed], "pruned")
