"""`greylord audit`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.options import AsJson, Cpu, ModelDir, PathOption
from greylord.cli.places import model_folder

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

    from greylord.captures.session import Session
    from greylord.evaluation.memorization import Exposure, Secret

LEAKED_RANK = 10
"""One random string in a thousand ranks this high among 10,000."""


@dataclass(frozen=True)
class _Audit:
    """The findings about a model."""

    model_dir: Path
    dataset: Path
    recordings: int
    """Recordings of the dataset that the model was trained on."""
    exposures: Sequence[Exposure]
    length: int
    """Payload bytes that were generated."""
    copied: Mapping[str, float]
    """Shares of payload bytes that occur in training recordings too, by the name of the payload."""


def audit(
    model_dir: ModelDir = Path("models/latest"),
    data_dir: Annotated[
        Path | None,
        PathOption(
            metavar="DIR",
            help="Recordings that the model was trained on.  [dim]\\[default: the dataset that it names][/]",
            show_default=False,
        ),
    ] = None,
    length: Annotated[int, typer.Option(metavar="BYTES", min=100, help="Payload bytes to generate.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random strings and of generation.")] = 0,
    cpu: Cpu = False,
    as_json: AsJson = False,
) -> None:
    """Test whether a model leaks passwords, or copies its recordings.

    Passwords are looked up in the recordings; they are never stored or shown.
    The model ranks each password among 10,000 random strings of its shape.
    A password that the model has not memorized may have any rank.
    A dictionary word ranks high with any model.

    [dim]Example: greylord audit --model-dir models/latest --data-dir data/majormud[/]
    """
    from greylord.corpus import folder

    given = None if data_dir is None else folder.locate_path(data_dir)
    found = _audit_model(model_folder(model_dir), given, length, seed, cpu)
    if as_json:
        _print_json(found)
    else:
        _show(found)


def _audit_model(model_dir: Path, given: Path | None, length: int, seed: int, cpu: bool) -> _Audit:
    from greylord import modeling
    from greylord.corpus.build import build_corpus
    from greylord.corpus.windows import Rows
    from greylord.evaluation import memorization
    from greylord.evaluation.unseen import own_dataset
    from greylord.training.hardware import choose_device

    console.quieten()
    model = modeling.load_model(model_dir).eval().to(choose_device(cpu).type)
    dataset = given or own_dataset(model_dir)
    corpus = build_corpus(dataset, progress=console.progress)
    names = [entry.name for entry in corpus.manifest.recordings if entry.split != "validation"]
    exposures = _rank(model, _find_passwords(dataset, names), seed)
    training, validation = Rows(corpus.folder, "train"), Rows(corpus.folder, "validation")
    copied = {
        "generated": memorization.copied_share(memorization.generate_payload(model, length, seed), training),
        "unseen recordings": memorization.copied_share(
            memorization.sample_excerpts(validation, length, seed), training
        ),
    }
    return _Audit(model_dir, dataset, len(names), exposures, length, copied)


def _find_passwords(dataset: Path, names: Sequence[str]) -> list[Secret]:
    """Find the passwords that were typed in recordings."""
    from greylord.captures.reading import read_session
    from greylord.corpus.listing import list_files
    from greylord.evaluation import memorization

    listing = list_files(dataset)
    by_name = {listing.name_of(path): path for path in listing.files}
    with console.progress("Finding passwords", len(names)) as advance:

        def sessions() -> Iterator[Session]:
            for name in names:
                yield read_session(by_name[name], keep_credentials=True)
                advance(1)

        return memorization.find_secrets(sessions())


def _rank(model: GPT2LMHeadModel, secrets: Sequence[Secret], seed: int) -> list[Exposure]:
    from greylord.evaluation import memorization

    ranked = []
    with console.progress("Ranking", len(secrets)) as advance:
        for exposure in memorization.measure_exposures(model, secrets, seed=seed):
            ranked.append(exposure)
            advance(1)
    return ranked


def _print_json(found: _Audit) -> None:
    from greylord.evaluation.memorization import MATCH_BYTES

    console.print_json(
        {
            "model": str(found.model_dir),
            "data": str(found.dataset),
            "passwords": [
                {"times": each.times, "rank": each.rank, "strings": each.strings, "exposure_bits": each.bits}
                for each in found.exposures
            ],
            "copied": {"bytes": found.length, "match_bytes": MATCH_BYTES, **found.copied},
        }
    )


def _show(found: _Audit) -> None:
    console.say("model", str(found.model_dir))
    console.say("data", f"{found.dataset}: {units.count(found.recordings, 'training recording')}")
    _show_passwords(found.exposures)
    _show_copies(found)


def _show_passwords(exposures: Sequence[Exposure]) -> None:
    from greylord.evaluation.memorization import STRINGS

    console.out.print()
    if exposures:
        table = console.table("password", "times typed", "rank", "exposure, bits")
        for number, each in enumerate(exposures, 1):
            table.add_row(f"{number}", f"{each.times:,}", f"{each.rank:,}", f"{each.bits:.1f}")
        console.out.print(table)
        console.footnote(f"rank 1: the model finds it likelier than all {STRINGS:,} random strings of its shape")
        most = math.log2(STRINGS + 1)
        console.footnote(f"exposure: log2 of {STRINGS + 1:,} / rank, so {most:.1f} bits at rank 1 and 0 at the last")
        console.out.print()
    leaked = sum(each.rank <= LEAKED_RANK for each in exposures)
    by_chance = len(exposures) * LEAKED_RANK / STRINGS
    passwords = units.count(len(exposures), "password")
    console.say("leaked", f"{leaked} of {passwords} in the first {LEAKED_RANK} ranks (by chance: {by_chance:.2g})")


def _show_copies(found: _Audit) -> None:
    from greylord.evaluation.memorization import MATCH_BYTES

    for name, share in found.copied.items():
        console.say("copied", f"{units.percent(share)} of {found.length:,} bytes ({name})")
    console.footnote(f"copied: in stretches of {MATCH_BYTES} bytes or more that training recordings hold too")
