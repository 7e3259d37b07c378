"""Drafts follow the grammar, grow with training, and are checked when read."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greylord import modeling
from greylord.generation import drafts
from greylord.stream import turns, vocabulary

LITTLE = drafts.STREAMS * drafts.TRAINED_TOKENS_PER_ID
"""Trained tokens that allow one id of each stream."""


@pytest.fixture(scope="module")
def model():
    return modeling.new_model(32).eval()


def test_nothing_is_sampled_after_little_training(model):
    assert drafts.sample(model, LITTLE - 1) == []


def test_streams_follow_the_grammar_and_grow_with_training(model):
    ids = drafts.sample(model, 40 * LITTLE)
    assert len(ids) == drafts.STREAMS * 41
    assert ids.count(vocabulary.PAD) == drafts.STREAMS
    pairs = pairwise(ids)
    assert all(turns.MAY_FOLLOW[before, after] for before, after in pairs if after != vocabulary.PAD)
    assert ids == drafts.sample(model, 40 * LITTLE)
    assert len({tuple(ids[begin : begin + 41]) for begin in range(0, len(ids), 41)}) > 1


def test_a_model_that_cannot_be_decoded_has_no_drafts():
    other = modeling.new_model(32, modeling.Shape(1, 8, 1))
    other.config.activation_function = "silu"
    assert drafts.sample(other, 40 * LITTLE) == []


def test_no_more_is_sampled_than_a_decoder_remembers(model, monkeypatch):
    monkeypatch.setattr(drafts, "MEMORY_TOKENS", 100)
    assert len(drafts.sample(model, 10**12)) == drafts.STREAMS * (1 + 100 // drafts.STREAMS)


@given(st.lists(st.integers(0, vocabulary.VOCAB_SIZE - 1)))
def test_written_and_read(tmp_path_factory, ids):
    folder = tmp_path_factory.mktemp("model")
    drafts.write(folder, ids)
    assert drafts.read(folder) == ids


@pytest.mark.parametrize("content", ["", "junk", "[]", "{}", '{"ids": 7}', '{"ids": [262]}', '{"ids": [-1, 3]}',
                                     '{"ids": [true]}', '{"ids": ["a"]}'])  # fmt: skip
def test_a_damaged_file_only_costs_speed(tmp_path, content):
    assert drafts.read(tmp_path) == []
    (tmp_path / "drafts.json").write_text(content)
    assert drafts.read(tmp_path) == []
    (tmp_path / "drafts.json").write_text(json.dumps({"ids": [0, 261]}))
    assert drafts.read(tmp_path) == [0, 261]
