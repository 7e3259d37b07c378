"""Windows for training and scoring predict each token once.

They have the context of the protocol.
"""

import pickle
from datetime import timedelta

import numpy as np
import pytest
from helpers import START, numbered_rows, write_recording
from hypothesis import given
from hypothesis import strategies as st

from greylord.corpus import windows
from greylord.corpus.build import build_corpus
from greylord.corpus.windows import Rows, ScoringWindows, Span, TrainingWindows, sample_spans, whole_rows

lengths = st.lists(st.integers(2, 400), min_size=1, max_size=6)
contexts = st.integers(2, 70)


@given(lengths, contexts)
def test_an_epoch_predicts_each_token_but_a_rows_first_once(sizes, context):
    rows = numbered_rows(sizes)
    windows = TrainingWindows(rows, context)
    predicted = np.concatenate([window["input_ids"][window["scored_from"] :] for window in windows])
    assert sorted(predicted.tolist()) == np.concatenate([row[1:] for row in rows]).tolist()
    assert all(2 <= len(window["input_ids"]) <= context for window in windows)
    with pytest.raises(IndexError):
        windows[len(windows)]


@given(lengths, contexts, st.integers(1, 9))
def test_scoring_predicts_each_token_once_from_half_a_context(sizes, context, multiple):
    rows = numbered_rows(sizes)
    scoring = ScoringWindows(rows, whole_rows(rows), context, multiple)
    assert len(scoring) % multiple == 0 and len(scoring) - len(scoring.windows) < multiple
    predicted = []
    for window in (scoring[index] for index in range(len(scoring))):
        ids, scored = window["input_ids"], window["scored_from"]
        assert len(ids) <= context
        row_begin = next(row[0] for row in rows if row[0] <= ids[0] <= row[-1])
        assert scored == context // 2 or ids[0] == row_begin
        predicted += ids[scored:].tolist()
    assert sorted(predicted) == np.concatenate([row[1:] for row in rows]).tolist()


def test_windows_are_views():
    rows = numbered_rows([100])
    assert np.shares_memory(TrainingWindows(rows, 16)[2]["input_ids"], rows[0])
    assert np.shares_memory(ScoringWindows(rows, whole_rows(rows), 16)[2]["input_ids"], rows[0])


def test_a_small_split_is_scored_whole():
    rows = numbered_rows([500, 30])
    assert sample_spans(rows) == whole_rows(rows) == [Span(0, 1, 500), Span(1, 1, 30)]


def test_a_large_split_is_sampled_by_the_seed():
    rows = [np.zeros(size, np.uint16) for size in (900_001, 300_000, 40)]
    spans = sample_spans(rows)
    scored = windows.SAMPLE_SPANS * windows.SAMPLE_SPAN_TOKENS
    assert scored - windows.SAMPLE_SPAN_TOKENS < sum(map(len, spans)) <= scored
    assert spans == sample_spans(rows) != sample_spans(rows, seed=1)
    marked = [np.zeros(len(row), bool) for row in rows]
    for span in spans:
        assert span.begin >= 1 and not marked[span.row][span.begin : span.end].any()
        marked[span.row][span.begin : span.end] = True


def test_rows_pickle_as_their_path(workplace):
    for seed in range(4):
        write_recording(workplace / "data" / "game", START + timedelta(days=seed), seed, 400)
    rows = Rows(build_corpus("game").folder, "train")
    data = pickle.dumps(rows)
    assert len(data) < 300
    assert [row.tolist() for row in pickle.loads(data)] == [row.tolist() for row in rows]
