"""The cards of models and corpora, read back by the Hub's own classes."""

from dataclasses import asdict
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config

from greylord import cards
from greylord.corpus import segments
from greylord.corpus.arrow import SPLITS
from greylord.corpus.manifest import CorpusSettings, Manifest, SplitCounts
from greylord.escaping import markdown, visible
from greylord.training.run_folder import Summary

HASH = "0123456789abcdef" * 4
PROTOCOL = "context 64, stride 32, framing included"

HOSTILE_NAMES = (
    "_x[old]y $z$ :smile:\x1b[31m\n\u202e\x9b\udce9",
    "---",
    "\n---\n# no longer metadata",
    "a: b",
    "- item",
    "{a: [b",
    "'quoted\" # comment",
    "!!python/object:os.system",
    "&anchor *alias",
    "null",
    "0x1F",
    "$name ${table}",
    "x | y",
    "x" * 300,
)


def summary(**changes: object) -> dict:
    values = {
        "dataset": "game", "data_hash": HASH, "best_bits_per_byte": 0.4321, "best_step": 20, "protocol": PROTOCOL,
        "scored_bytes": 5_000, "baselines": {"lzma": 0.5, "order-2 model": 2.25}, "ended": "all steps", "steps": 1_234,
        "epochs": 1.0, "tokens": 640, "bytes_seen": 600, "seconds": 75.0, "total_seconds": 80.0,
        "parameters": 826_880, "position_parameters": 8_192, "peak_memory_bytes": 1, "device": "CPU",
        "continued_from": None, "versions": {"greylord": "1.0", "torch": "2.13.0"}, "credentials": "masked", **changes,
    }  # fmt: skip
    return asdict(Summary(**values))


def saved_model_card(folder: Path, name: str = "run", **changes: object) -> ModelCard:
    """Write a model card as a run does, and load it."""
    path = folder / "README.md"
    config = GPT2Config(n_layer=4, n_embd=128, n_head=2, n_positions=1024)
    path.write_text(str(cards.model_card(name, config, summary(**changes))), encoding="utf-8")
    return ModelCard.load(path)


def saved_dataset_card(folder: Path, name: str = "game") -> DatasetCard:
    """Write the card of a corpus, and load it."""
    train = SplitCounts(recordings=3, payload_bytes=4_000, turns=50, tokens=4_100)
    validation = SplitCounts(recordings=1, payload_bytes=1_000, turns=12, tokens=1_024)
    splits = {"train": train, "validation": validation}
    manifest = Manifest(name, HASH, CorpusSettings(), splits=splits)
    path = folder / "README.md"
    path.write_text(str(cards.dataset_card(manifest, "user/corpus")), encoding="utf-8")
    return DatasetCard.load(path)


def test_the_model_index_holds_the_figure_and_its_protocol(tmp_path):
    card = saved_model_card(tmp_path, name="game_2026-01-05")
    (result,) = card.data.eval_results
    assert (result.task_type, result.dataset_name, result.dataset_split) == ("text-generation", "game", "validation")
    assert (result.metric_type, result.metric_value) == ("bits_per_byte", 0.4321)
    assert result.metric_args == {"protocol": PROTOCOL, "payload_bytes": 5_000}
    assert HASH.startswith(result.dataset_revision)
    assert (card.data.model_name, card.data.license) == ("game_2026-01-05", "mit")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "text-generation")
    assert "model-index:" in (tmp_path / "README.md").read_text().split("\n---\n")[0]


def test_the_text_of_a_model_card(tmp_path):
    text = saved_model_card(tmp_path).text
    assert text.startswith("\n# run\n") and "$" not in text
    assert [line for line in text.splitlines() if line.startswith("| ") and line[-3].isdigit()] == [
        "| order-2 model | 2.250 |",
        "| lzma | 0.500 |",
        "| this model | 0.432 |",
    ]
    for part in ("4 layers, 128 wide, 2 heads", "1,024 tokens", "826,880", "8,192", "1,234 steps", "torch 2.13.0"):
        assert part in text.replace("\n", " ")
    assert f"5,000 bytes of validation recordings ({PROTOCOL})" in text


@pytest.mark.parametrize(("credentials", "warns"), [("masked", False), ("kept", True), ("unknown", True)])
def test_a_model_card_warns_of_passwords(tmp_path, credentials, warns):
    text = saved_model_card(tmp_path, credentials=credentials).text
    assert ("Do not share it" in text) == warns
    assert cards.CREDENTIALS[credentials] in text


def test_the_dataset_card_names_the_files_of_each_split(tmp_path):
    card = saved_dataset_card(tmp_path)
    assert card.data.task_categories == ["text-generation"]
    (config,) = card.data.configs
    assert config["config_name"] == "default"
    assert config["data_files"] == [{"split": name, "path": segments.file_name(name)} for name in SPLITS]
    assert "| train | 3 | 4,000 | 50 | 4,100 |" in card.text and 'load_dataset("user/corpus")' in card.text
    assert "$" not in card.text


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_any_name_stays_text(tmp_path, name):
    card = saved_model_card(tmp_path, name=name, dataset=name)
    (result,) = card.data.eval_results
    assert card.data.model_name == result.dataset_name == visible(name)
    assert card.text.startswith(f"\n# {markdown(name)}\n") and f"Dataset {markdown(name)} (content" in card.text
    assert saved_dataset_card(tmp_path, name).text.startswith(f"\n# {markdown(name)}\n")


@given(st.text(min_size=1))
def test_metadata_survives_any_name(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("card")
    plain = saved_model_card(folder)
    card = saved_model_card(folder, name=name, dataset=name)
    assert card.data.model_name == card.data.eval_results[0].dataset_name == visible(name)
    assert card.data.tags == plain.data.tags and card.text.count("\n## ") == plain.text.count("\n## ")
