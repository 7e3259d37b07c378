"""What a run leaves: the folder models/NAME_TIME, all of it or nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import GPT2LMHeadModel

import greylord
from greylord import plots, runs, units
from greylord.escaping import markdown
from greylord.files import new_folder, write_file
from greylord.generation import drafts
from greylord.runs import CONFIG_NAME, HISTORY, SUMMARY
from greylord.stream.tokenizer import GreylordTokenizer, write_vocabulary
from greylord.training.callbacks import Evaluation

__all__ = ["Summary", "freeze", "publish", "versions"]


def versions() -> dict[str, str]:
    """The versions that a run depends on."""
    packages = ("torch", "transformers", "accelerate", "datasets", "tokenizers")
    return {"greylord": greylord.__version__, **{name: importlib.metadata.version(name) for name in packages}}


def freeze(run: Path, config: Mapping[str, Any]) -> None:
    """Write training_config.json: what decides the run, before its first step."""
    write_file(run / CONFIG_NAME, json.dumps(config, indent=1, ensure_ascii=False) + "\n")


CREDENTIALS = {
    "masked": "Passwords in the recordings were masked before training; user names were not.",
    "kept": "**The model has read passwords in clear, and can repeat what it has read. Do not share it.**",
    "unknown": "**Whether the model has read passwords in clear is not known. Do not share it.**",
}
"""What the model card says of passwords."""


@dataclass(frozen=True)
class Summary:
    """training_summary.json."""

    dataset: str
    data_hash: str
    """The content hash of the corpus."""
    best_bits_per_byte: float
    best_step: int
    protocol: str
    scored_bytes: int
    """Payload bytes of the validation sample."""
    baselines: dict[str, float]
    """Bits per byte of others on the same bytes."""
    ended: str
    """Why training ended."""
    steps: int
    epochs: float
    tokens: int
    """Tokens trained on, padding included."""
    bytes_seen: int
    """Payload bytes among them."""
    seconds: float
    """Training and evaluations."""
    total_seconds: float
    """From the built corpus to the writing of this folder; of a resumed run, since it went on."""
    parameters: int
    """Weights without the position table."""
    position_parameters: int
    peak_memory_bytes: int
    device: str
    continued_from: str | None
    versions: dict[str, str]
    credentials: str = "unknown"
    """The key of `CREDENTIALS` that tells how the recordings' passwords were dealt with."""


def publish(
    run: Path,
    model: GPT2LMHeadModel,
    evaluations: Sequence[Evaluation],
    losses: Sequence[tuple[int, float]],
    summary: Summary,
    said: Sequence[int],
) -> None:
    """Replace the folder of a run that has ended by the finished one, and let models/latest name it.

    Args:
        run: the folder.
        model: with its best weights.
        evaluations: the history.
        losses: optimizer steps, and the mean bits per token of training since the one before.
        summary: of the run.
        said: ids that the model has said, for drafts.
    """
    config = (run / CONFIG_NAME).read_text(encoding="utf-8")
    with new_folder(run) as folder:
        model.config.use_cache = True
        model.save_pretrained(folder)
        # safetensors makes the file for its owner only.
        (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)
        GreylordTokenizer(model.config.n_positions).save_pretrained(folder)
        write_vocabulary(folder)
        drafts.write(folder, said)
        write_file(folder / CONFIG_NAME, config)
        history = json.dumps([asdict(evaluation) for evaluation in evaluations], indent=1)
        (folder / HISTORY).write_text(history + "\n", encoding="utf-8")
        text = json.dumps(asdict(summary), indent=1, ensure_ascii=False)
        write_file(folder / SUMMARY, text + "\n")
        (folder / "training_curves.png").write_bytes(_curves(run.name, evaluations, losses, summary))
        (folder / "README.md").write_text(_card(run.name, model, summary), encoding="utf-8")
    runs.mark_latest(run)


def _curves(
    name: str, evaluations: Sequence[Evaluation], losses: Sequence[tuple[int, float]], summary: Summary
) -> bytes:
    return plots.training_curves(
        steps=[evaluation.step for evaluation in evaluations],
        validation=[evaluation.bits_per_byte for evaluation in evaluations],
        training=losses,
        best_step=summary.best_step,
        baselines=summary.baselines,
        title=f"{name}: {summary.best_bits_per_byte:.3f} bits per byte after {units.duration(summary.seconds)}",
        label_smoothing=max(evaluation.label_smoothing for evaluation in evaluations),
    )


def _card(name: str, model: GPT2LMHeadModel, summary: Summary) -> str:
    template = importlib.resources.files(greylord).joinpath("templates", "model_card.md").read_text(encoding="utf-8")
    config = model.config
    figures = {**summary.baselines, "this model": summary.best_bits_per_byte}
    table = "\n".join(f"| {who} | {figure:.3f} |" for who, figure in sorted(figures.items(), key=lambda item: -item[1]))
    return string.Template(template).substitute(
        name=markdown(name),
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        context=f"{config.n_positions:,}",
        parameters=f"{summary.parameters:,}",
        positions=f"{summary.position_parameters:,}",
        dataset=markdown(summary.dataset),
        data_hash=summary.data_hash[:16],
        steps=f"{summary.steps:,}",
        seen=units.size(summary.bytes_seen),
        duration=units.duration(summary.seconds),
        device=summary.device,
        scored=f"{summary.scored_bytes:,}",
        protocol=summary.protocol,
        table=table,
        credentials=CREDENTIALS[summary.credentials],
        versions=", ".join(f"{package} {version}" for package, version in summary.versions.items()),
    )
