"""The cards that the Hub shows: README.md of a model and of a corpus.

A card has metadata, and a model card has a model-index. The text comes from `templates/`. Names that users chose are
escaped, for Markdown in the text and as one printable line in the YAML.
"""

from __future__ import annotations

import importlib.resources
import string
from collections.abc import Mapping
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData
from transformers import GPT2Config

from greylord import units
from greylord.corpus import segments
from greylord.corpus.arrow import SPLITS
from greylord.corpus.manifest import Manifest
from greylord.escaping import markdown, visible
from greylord.version import __version__

__all__ = ["dataset_card", "model_card"]

TASK = "text-generation"
TAGS = ["byte-level", "terminal", "majormud"]
METRIC = "bits_per_byte"
"""The metric in `greylord/metrics`."""
SHOWN_HASH = 16
"""Digits of a content hash in a card."""
CREDENTIALS = {
    "masked": "Passwords in the recordings were masked before training; user names were not.",
    "kept": "**The model was trained on passwords in clear and can repeat them. Do not share it.**",
    "unknown": "**It is not known whether the model was trained on passwords in clear. Do not share it.**",
}
"""The model card's sentence about passwords, by the treatment of credentials."""


def model_card(name: str, config: GPT2Config, summary: Mapping[str, Any]) -> ModelCard:
    """Write the card of a model.

    Args:
        name: The name of the run's folder.
        config: The shape of the model.
        summary: The content of training_summary.json, all of its fields.

    Returns:
        A card with a model-index. It holds the bits per byte on the validation recordings, with the protocol as an
        argument of the metric.
    """
    content_hash = summary["data_hash"][:SHOWN_HASH]
    result = EvalResult(
        task_type=TASK,
        # The recordings are not a dataset of the Hub.
        dataset_type="custom",
        dataset_name=visible(summary["dataset"]),
        dataset_split="validation",
        dataset_revision=content_hash,
        metric_type=METRIC,
        metric_name="Bits per byte",
        metric_value=summary["best_bits_per_byte"],
        metric_args={"protocol": summary["protocol"], "payload_bytes": summary["scored_bytes"]},
    )
    data = ModelCardData(
        library_name="transformers",
        license="mit",
        pipeline_tag=TASK,
        tags=["gpt2", *TAGS],
        metrics=[METRIC],
        model_name=visible(name),
        eval_results=[result],
    )
    figures = {**summary["baselines"], "this model": summary["best_bits_per_byte"]}
    worst_first = sorted(figures.items(), key=lambda item: item[1], reverse=True)
    text = _filled(
        "model_card.md",
        name=markdown(name),
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        context=f"{config.n_positions:,}",
        parameters=f"{summary['parameters']:,}",
        positions=f"{summary['position_parameters']:,}",
        credentials=CREDENTIALS[summary["credentials"]],
        dataset=markdown(summary["dataset"]),
        data_hash=content_hash,
        steps=f"{summary['steps']:,}",
        seen=units.size(summary["bytes_seen"]),
        duration=units.duration(summary["seconds"]),
        device=markdown(summary["device"]),
        scored=f"{summary['scored_bytes']:,}",
        protocol=summary["protocol"],
        table="\n".join(f"| {who} | {figure:.3f} |" for who, figure in worst_first),
        versions=", ".join(f"{package} {version}" for package, version in summary["versions"].items()),
    )
    return ModelCard(_with_metadata(data.to_yaml(), text))


def dataset_card(manifest: Manifest, repo_id: str) -> DatasetCard:
    """Write the card of a corpus that is published as Parquet.

    Args:
        manifest: The corpus.
        repo_id: The repository from which the example in the card loads it.
    """
    data_files = [{"split": split, "path": segments.file_name(split)} for split in SPLITS]
    data = DatasetCardData(
        license="unknown",
        task_categories=[TASK],
        tags=TAGS,
        configs=[{"config_name": "default", "data_files": data_files}],
    )
    rows = [
        f"| {split} | {counts.recordings:,} | {counts.payload_bytes:,} | {counts.turns:,} | {counts.tokens:,} |"
        for split, counts in manifest.splits.items()
    ]
    text = _filled(
        "dataset_card.md",
        name=markdown(manifest.dataset),
        data_hash=manifest.content_hash[:SHOWN_HASH],
        table="\n".join(rows),
        repo_id=repo_id,
        segment=f"{segments.SEGMENT_TOKENS:,}",
        version=__version__,
    )
    return DatasetCard(_with_metadata(data.to_yaml(), text))


def _filled(template: str, **values: object) -> str:
    """Fill the placeholders of a template."""
    text = importlib.resources.files("greylord").joinpath("templates", template).read_text(encoding="utf-8")
    return string.Template(text).substitute(values)


def _with_metadata(yaml: str, text: str) -> str:
    return f"---\n{yaml}\n---\n\n{text}"
