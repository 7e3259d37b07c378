"""`greylord evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from greylord.cli import console
from greylord.cli.hub import locate
from greylord.errors import UsageError


def evaluate(
    model_dir: Annotated[Path, typer.Option(metavar="DIR", help="The model's folder, or USER/NAME on the Hub.")] = Path(
        "models/latest"
    ),
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A dataset under data/; the one that the model was trained on.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of recordings elsewhere.")] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Score half a megabyte only, as training does; all takes minutes on a CPU.")
    ] = False,
    cpu: Annotated[bool, typer.Option("--cpu", help="Use no GPU.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a model in bits per byte, beside compressors on the same bytes.

    Of the dataset that the model was trained on, the validation split is scored; of any other, all recordings
    that the model has not read.

    [dim]Example: greylord evaluate --model-dir models/latest --data-dir ../other-days[/]
    """
    from greylord.corpus import folder

    if dataset is not None and data_dir is not None:
        raise UsageError("--dataset and --data-dir exclude each other.")
    model_dir = locate(model_dir)
    wanted = str(data_dir) if data_dir is not None else dataset

    from greylord import model as models
    from greylord.corpus.windows import sample_spans, whole_rows
    from greylord.evaluation import baselines, bits_per_byte
    from greylord.evaluation.unseen import own_dataset, unseen_part
    from greylord.metrics.bits_per_byte.bits_per_byte import BitsPerByte
    from greylord.training.device import choose_device

    console.quieten()
    model = models.load(model_dir)
    source = own_dataset(model_dir) if wanted is None else folder.locate(wanted)
    unseen = unseen_part(source, model_dir, console.progress)
    spans = sample_spans(unseen.rows) if sample else whole_rows(unseen.rows)
    context = model.config.n_positions
    if not as_json:
        console.say("model", str(model_dir))
        console.say("data", unseen.description + (", a seeded half megabyte of it" if sample else ""))
    model.to(choose_device(cpu).type)
    score = bits_per_byte.score(model, unseen.rows, spans, context, console.progress)
    overall = BitsPerByte(keep_in_memory=True).compute(
        nats=[score.server_nats, score.client_nats, score.framing_nats],
        payload_bytes=[score.server_bytes, score.client_bytes, 0],
    )["bits_per_byte"]
    stream = bits_per_byte.stream_of(unseen.rows, spans)
    figures = baselines.compressed(stream, score.payload_bytes, console.progress)
    protocol = bits_per_byte.protocol(context)
    if as_json:
        console.print_json(
            {
                "model": str(model_dir),
                "data": unseen.description,
                "sample": sample,
                "protocol": protocol,
                "bits_per_byte": {
                    "overall": overall,
                    **{part: getattr(score, part) for part in ("server", "client", "framing")},
                },
                "payload_bytes": {"server": score.server_bytes, "client": score.client_bytes},
                "framing_tokens": score.framing_tokens,
                "compressors": figures,
            }
        )
        return
    console.figures(
        f"Bits per byte on {score.payload_bytes:,} payload bytes",
        {**figures, "this model": overall},
        "this model",
    )
    console.say("server", f"{score.server:.3f} bits per byte of its {score.server_bytes:,}")
    console.say("client", f"{score.client:.3f} bits per byte of its {score.client_bytes:,}")
    console.say(
        "framing", f"{score.framing:.3f} bits per byte of all, for {score.framing_tokens:,} direction and delay tokens"
    )
    console.note(protocol)
