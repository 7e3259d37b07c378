"""`greylord audit`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.places import ModelDir, PathOption, model_folder

if TYPE_CHECKING:
    from greylord.captures.session import Session

TELLING_RANK = 10
"""One unknown string in a thousand ranks so high among 10,000."""


def audit(
    model_dir: ModelDir = Path("models/latest"),
    data_dir: Annotated[
        Path | None,
        PathOption(
            metavar="DIR", help="The recordings that it was trained on; those that it names.", show_default=False
        ),
    ] = None,
    length: Annotated[int, typer.Option(metavar="BYTES", min=100, help="Payload bytes to generate.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Of random strings and of what is generated.")] = 0,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use no GPU.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Audit what a model leaks of its recordings: passwords, and play word for word.

    Passwords are found in the recordings now, and neither stored nor shown. Each is ranked by the model among 10,000
    random strings of its shape; what the model has not learned has any rank. A word ranks high with any model.

    [dim]Example: greylord audit --model-dir models/latest --data-dir data/majormud[/]
    """
    from greylord.corpus import folder

    given = None if data_dir is None else folder.locate_path(data_dir)
    model_dir = model_folder(model_dir)

    from greylord import modeling
    from greylord.captures.reading import read_session
    from greylord.corpus import build
    from greylord.corpus.windows import Rows
    from greylord.evaluation import memorization
    from greylord.evaluation.unseen import own_dataset
    from greylord.training.hardware import choose_device

    console.quieten()
    model = modeling.load_model(model_dir).eval().to(choose_device(cpu).type)
    dataset = given or own_dataset(model_dir)
    manifest, _ = build.refresh(dataset, progress=console.progress)
    corpus = build.corpus_of(dataset)
    found = folder.find(dataset)
    by_name = {found.name(path): path for path in found.files}
    read = [by_name[entry.name] for entry in manifest.recordings if entry.split != "validation"]
    with console.progress("Finding passwords", len(read)) as advance:

        def sessions() -> Iterator[Session]:
            for path in read:
                yield read_session(path, keep_credentials=True)
                advance(1)

        secrets = memorization.find_secrets(sessions())
    found = []
    with console.progress("Ranking", len(secrets)) as advance:
        for exposure in memorization.measure_exposures(model, secrets, seed=seed):
            found.append(exposure)
            advance(1)
    training, validation = Rows(corpus, "train"), Rows(corpus, "validation")
    shares = {
        "generated": memorization.copied_share(memorization.generate_payload(model, length, seed), training),
        "unseen recordings": memorization.copied_share(
            memorization.sample_excerpts(validation, length, seed), training
        ),
    }
    if as_json:
        console.print_json(
            {
                "model": str(model_dir),
                "data": str(dataset),
                "passwords": [
                    {"times": each.times, "rank": each.rank, "strings": each.strings, "exposure_bits": each.bits}
                    for each in found
                ],
                "copied": {"bytes": length, "match_bytes": memorization.MATCH_BYTES, **shares},
            }
        )
        return
    console.say("model", str(model_dir))
    console.say("data", f"{dataset}: {units.count(len(read), 'recording')} for training")
    if found:
        table = console.table("password", "typed", "rank", "exposure, bits")
        for number, each in enumerate(found, 1):
            table.add_row(f"{number}", f"{each.times:,}", f"{each.rank:,}", f"{each.bits:.1f}")
        console.out.print()
        console.out.print(table)
        console.note(f"rank by likelihood among {memorization.STRINGS:,} random strings of the same shape")
    telling = sum(each.rank <= TELLING_RANK for each in found)
    console.out.print()
    console.out.print(
        f"{telling} of {units.count(len(found), 'password')} {'ranks' if telling == 1 else 'rank'} "
        f"among the first {TELLING_RANK}; "
        f"by chance it would be {len(found) * TELLING_RANK / memorization.STRINGS:.2g}."
    )
    console.out.print()
    for name, share in shares.items():
        console.say("copied", f"{units.percent(share)} of {length:,} bytes, {name}")
    console.note(f"in stretches of {memorization.MATCH_BYTES} bytes or more that training recordings hold too")
