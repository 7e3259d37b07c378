"""`greylord data`: bring in recordings, count them, build a corpus, and share."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.manifest import listed, name_skipped, show_manifest
from greylord.cli.options import AsJson
from greylord.cli.sharing import Branch, DryRun, Private, Repository, print_files_to_push, print_pushed
from greylord.errors import GreylordError, UsageError
from greylord.workspace import HERE

if TYPE_CHECKING:
    from greylord.corpus.copying import Copied, CopyPlan
    from greylord.corpus.pruning import PruningPlan

app = typer.Typer(help="Recordings: copy, count and share them, or build a corpus.", no_args_is_help=True)

MIN_VAL_SPLIT, MAX_VAL_SPLIT = 0.01, 0.9
ARCHIVES = (".zip", ".7z", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
"""Extensions of files that may contain recordings."""

Dataset = Annotated[str, typer.Argument(metavar="NAME", help="Dataset under data/, or a path such as ./logs.")]
Sources = Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Folders, files or quoted patterns.")]
Target = Annotated[str, typer.Argument(metavar="NAME", help="Dataset to copy into.")]


@app.command()
def copy(sources: Sources, name: Target) -> None:
    """Copy recordings to data/NAME, each once.

    A recording that is already there under any name is not copied again.
    A recording that has grown replaces its shorter copy.
    Files that are not recordings are not copied.

    [dim]Example: greylord data copy ~/mud/logs 'old/*.log' majormud[/]
    """
    _copy(sources, name, masked=False)


@app.command()
def redact(sources: Sources, name: Target) -> None:
    """Copy recordings to data/NAME with passwords masked by `*`.

    No other byte changes, and no file is overwritten.

    [dim]Example: greylord data redact data/majormud majormud-to-share[/]
    """
    _copy(sources, name, masked=True)


def _copy(sources: Sequence[str], name: str, masked: bool) -> None:
    from greylord.corpus import copying

    plan = copying.plan_copy(sources, name, masked, console.progress)
    _show_not_copied(plan)
    if not plan.files and not plan.present and not plan.duplicates:
        archives = [path for path in plan.others if path.name.endswith(ARCHIVES)]
        unpack = f" Unpack {str(archives[0])!r} first." if archives else ""
        raise GreylordError(f"There is no recording in {', '.join(map(repr, sources))}.{unpack}")
    with console.progress("Copying", plan.bytes) as advance:
        copied = copying.copy(plan, advance)
    _show_copied(plan, copied)
    unread = [(path, why) for path, why in plan.skipped if why.startswith("cannot be read")]
    _fail_on([*unread, *((path, f"cannot be copied: {why}") for path, why in copied.failed)], "copied")


def _show_not_copied(plan: CopyPlan) -> None:
    from greylord.corpus import listing

    if plan.others:
        sizes = [(path, units.size(listing.size_of(path))) for path in plan.others]
        console.note(f"{units.count(len(sizes), 'file')} not copied, not recordings:", *listed(sizes))
    if plan.duplicates:
        count = units.count(len(plan.duplicates), "recording")
        console.note(f"{count} not copied, contained in another recording:", *listed(plan.duplicates))
    if plan.skipped:
        console.note(f"{units.count(len(plan.skipped), 'file')} skipped:", *listed(plan.skipped))


def _show_copied(plan: CopyPlan, copied: Copied) -> None:
    for source, target in plan.renamed:
        console.note(f"{str(source)!r} was copied as {target.name!r}: another recording has its name.")
    for source, target in plan.grown:
        console.say("grown", f"{target} is now all of {source}")
    console.say("copied", f"{units.count(copied.files, 'recording')}, {units.size(copied.bytes)}, to {plan.target}")
    if plan.present:
        console.say("skipped", f"{units.count(plan.present, 'recording')}, already there")
    if copied.credentials:
        logins = sum(each.logins for each in copied.credentials)
        bytes_masked = sum(len(each.positions) for each in copied.credentials)
        console.say("masked", f"{units.count(logins, 'login')}, {units.count(bytes_masked, 'byte')}")


def _fail_on(failures: Sequence[tuple[Path, str]], done: str) -> None:
    """Raise GreylordError if there are failures.

    A failure is a file and the reason. `done` is the participle for the other files, as "copied".
    """
    if failures:
        path, why = failures[0]
        more = f", and {len(failures) - 1:,} more" if len(failures) > 1 else ""
        raise GreylordError(f"{str(path)!r} {why}{more}; the other files have been {done}.")


@app.command()
def sample(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Dataset to make.")],
    recordings: Annotated[int, typer.Option(min=1, help="Number of recordings.")] = 16,
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of each recording.")] = 15,
    seed: Annotated[int, typer.Option(help="Random seed of the game and its players.")] = 0,
) -> None:
    """Make recordings of a built-in game, to try everything.

    [dim]Example: greylord data sample sample --recordings 32[/]
    """
    from greylord.captures.formats import proxylog
    from greylord.corpus import folder, journal
    from greylord.files import new_folder
    from greylord.realm.recorder import record

    target = HERE.data / folder.check_name(name)
    if os.path.lexists(target):
        raise UsageError(f"{str(target)!r} already exists; choose another name, or move it away.")
    size = 0
    with new_folder(target) as made, console.progress("Recording", recordings) as advance:
        for file_name, session in record(seed, recordings, minutes):
            with (made / file_name).open("wb") as file:
                proxylog.write(session, file)
            size += (made / file_name).stat().st_size
            advance(1)
    journal.note(target, "sample", recordings=recordings, bytes=size, seed=seed)
    console.say("sample", f"{units.count(recordings, 'recording')}, {units.size(size)}, in {target}")


@app.command()
def build(
    name: Dataset,
    val_split: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of the bytes for validation.  [dim]\\[default: 0.2][/]"),
    ] = None,
    keep_records: Annotated[
        bool | None,
        typer.Option(
            "--keep-records/--join-records",
            help="Make each record a turn, or join short delays.  [dim]\\[default: join][/]",
            show_default=False,
        ),
    ] = None,
    keep_credentials: Annotated[
        bool | None,
        typer.Option(
            "--keep-credentials/--mask-credentials",
            help="Keep passwords as typed, or mask them by `*`.  [dim]\\[default: mask][/]",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build the corpus of a dataset, unless it is up to date.

    The corpus is an Arrow DatasetDict in corpora/.

    [dim]Example: greylord data build majormud[/]
    """
    from greylord.corpus.build import build_corpus

    if val_split is not None and not MIN_VAL_SPLIT <= val_split <= MAX_VAL_SPLIT:
        raise UsageError(f"--val-split must lie between {MIN_VAL_SPLIT} and {MAX_VAL_SPLIT}, not {val_split:g}.")
    corpus = build_corpus(
        name,
        val_split=val_split,
        keep_records=keep_records,
        keep_credentials=keep_credentials,
        progress=console.progress,
    )
    if as_json:
        from dataclasses import asdict

        console.print_json({"corpus": str(corpus.folder), **asdict(corpus.manifest)})
        return
    console.say("corpus", f"{corpus.folder} {'has been built' if corpus.is_new else 'is up to date'}")
    show_manifest(corpus.manifest)


@app.command()
def push(
    name: Dataset,
    repo_id: Repository,
    private: Private = False,
    revision: Branch = None,
    dry_run: DryRun = False,
) -> None:
    """Publish the corpus of a dataset on the Hugging Face Hub.

    The corpus is built first, if need be, and published as Parquet files.
    A corpus that contains passwords is refused.
    If publishing breaks off, repeat the command.

    [dim]Example: greylord data push majormud user/majormud-corpus --private[/]
    """
    from greylord import hub
    from greylord.corpus import folder

    console.quieten()
    dataset = folder.locate(name)
    if dry_run:
        with tempfile.TemporaryDirectory() as place:
            print_files_to_push(hub.corpus_files(dataset, Path(place), repo_id, console.progress), repo_id)
        return
    print_pushed(hub.push_corpus(dataset, repo_id, private, revision, console.progress), repo_id)


@app.command()
def show(
    name: Dataset,
    as_json: AsJson = False,
) -> None:
    """Show what a dataset and its corpus hold.

    [dim]Example: greylord data show majormud[/]
    """
    from greylord.captures.start_times import parse_start
    from greylord.corpus import folder, listing
    from greylord.corpus.manifest import Manifest
    from greylord.corpus.pruning import attic_of

    dataset = folder.locate(name)
    found = listing.list_files(dataset)
    files = found.files
    sizes = [listing.size_of(path) for path in files]
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
        console.say("sizes", f"{units.size(min(sizes))} to {units.size(largest[0])}")
        console.say("largest", found.name_of(largest[1]))
    if starts:
        console.say("starts", f"{starts[0]:%Y-%m-%d %H:%M} to {starts[-1]:%Y-%m-%d %H:%M} UTC, by file name")
    attic = attic_of(dataset)
    if attic.is_dir():
        pruned = listing.list_files(attic).files
        console.say("pruned", f"{units.count(len(pruned), 'file')} in {attic}")
    if manifest is None:
        name_skipped([], found.skipped)
        console.say("corpus", f"not built yet; type `greylord data build {name}`")
    else:
        console.say("corpus", f"{corpus} (as last built)")
        show_manifest(with_skipped(manifest, found))


@app.command(context_settings={"allow_extra_args": True})
def prune(
    context: typer.Context,
    name: Dataset,
    min_size: Annotated[
        str | None,
        typer.Option("--min-size", "--size", metavar="SIZE", help="Keep files of at least this size: 300, 10KB, 1MB."),
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Keep files with a name like '*.log'; quote the pattern.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete files instead of moving them to data/.pruned/.")
    ] = False,
) -> None:
    """Keep files by size or name, and remove the others.

    Removed files are moved to data/.pruned/, unless you give --delete.
    In a folder outside data/, only recordings are removed.

    [dim]Example: greylord data prune majormud --min-size 10KB --pattern '*.log' --dry-run[/]
    """
    from greylord.corpus import folder
    from greylord.corpus.pruning import plan_pruning
    from greylord.corpus.pruning import prune as prune_files

    if context.args:
        raise UsageError(
            f"Unexpected argument {context.args[0]!r}. If your shell expanded a pattern, quote the pattern: "
            "--pattern '*.log'."
        )
    if min_size is None and pattern is None:
        raise UsageError("Pruning needs a condition. Give --min-size, --pattern or both.")
    if pattern is not None and not set(pattern) & set("*?["):
        console.note(f"{pattern!r} has no wildcard. If your shell expanded one, quote the pattern: --pattern '*.log'.")
    pruning = plan_pruning(folder.locate(name), None if min_size is None else units.parse_size(min_size), pattern)
    _show_pruning(pruning)
    if dry_run or not pruning.removed:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("There is no terminal to ask on; add --yes to prune, or --dry-run to look only.")
        typer.confirm("Delete them for good?" if delete else f"Move them to {pruning.attic}?", abort=True)
    pruned = prune_files(pruning, delete)
    where = "deleted" if delete else f"moved to {pruning.attic}"
    console.say("pruned", f"{units.count(pruned.removed, 'file')} {where}; {pruning.kept:,} kept")
    _fail_on([(path, f"cannot be removed: {why}") for path, why in pruned.failed], "pruned")


def _show_pruning(pruning: PruningPlan) -> None:
    """Show which files would be removed, and why."""
    console.say("folder", str(pruning.folder))
    if pruning.skipped:
        console.note(f"{units.count(len(pruning.skipped), 'path')} skipped:", *listed(list(pruning.skipped.items())))
    if pruning.others:
        console.note(f"{units.count(pruning.others, 'file')} outside data/ left alone: not recordings.")
    if not pruning.removed:
        console.say("pruned", f"nothing; {units.count(pruning.kept, 'file')} kept")
        return
    rows = [(path.relative_to(pruning.folder), why) for path, why in pruning.removed]
    total = len(rows) + pruning.kept
    console.say("remove", f"{len(rows):,} of {units.count(total, 'file')}, {units.size(pruning.bytes)}:")
    for line in listed(rows):
        console.out.print(f"  {line}")
    if 2 * len(rows) > total:
        console.note("That is over half of the files. Recordings of the v1 dialect have no extension.")
