"""Sampling by rarity: rarities, and the windows of runs below an epoch."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from helpers import PLAN
from hypothesis import given, settings
from hypothesis import strategies as st

from greylord.stream.ngrams import MULTIPLIER, ngram_hashes
from greylord.training import sampling
from greylord.training.sampling import BLOCK_WINDOWS, NGRAM, Order, Rarity

pieces = st.lists(st.lists(st.integers(0, 2), max_size=60), min_size=1, max_size=5)


def ngrams(ids) -> list[tuple]:
    return [tuple(ids[begin : begin + NGRAM]) for begin in range(len(ids) - NGRAM + 1)]


@settings(max_examples=25)
@given(pieces, pieces)
def test_rarity_is_the_mean_of_the_inverse_root_of_the_ngrams_occurrences(rows, windows):
    counts = Counter(ngram for row in rows for ngram in ngrams(row))
    expected = [
        np.mean([max(1, counts[ngram]) ** -0.5 for ngram in ngrams(window)]) if ngrams(window) else 1.0
        for window in windows
    ]
    rows, windows = ([np.array(ids, np.uint16) for ids in some] for some in (rows, windows))
    assert Rarity(rows).of(windows) == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.integers(0, 261), max_size=40), st.integers(1, 20))
def test_the_hash_of_an_ngram_is_a_polynomial(ids, length):
    expected = []
    for begin in range(len(ids) - length + 1):
        value = 0
        for digit in ids[begin : begin + length]:
            value = (value * MULTIPLIER + digit + 1) % 2**64
        expected.append(value)
    assert ngram_hashes(np.array(ids, np.uint16), length).tolist() == expected


def test_different_ngrams_have_different_buckets():
    ids = np.random.default_rng(0).integers(0, 262, 20_000, dtype=np.uint16)
    assert len(set(sampling._buckets(ids).tolist())) > 0.99 * len(ids)


def test_long_corpora_are_counted_in_part(monkeypatch):
    rows = [np.full(50, index, np.uint16) for index in range(10)]
    monkeypatch.setattr(sampling, "COUNTED_TOKENS", 250)
    rarities = Rarity(rows).of(rows)
    assert rarities[::2] == pytest.approx(43**-0.5) and rarities[1::2] == pytest.approx(1.0)
    monkeypatch.setattr(sampling, "COUNTED_TOKENS", 1_000)
    monkeypatch.setattr(sampling, "PIECE_TOKENS", 25)
    assert Rarity(rows).of(rows) == pytest.approx(36**-0.5)


@pytest.fixture(scope="module")
def rows() -> list[np.ndarray]:
    """Two recordings: in one all windows are the same, the other is noise."""
    random = np.random.default_rng(0)
    return [np.full(60_000, 7, np.uint16), random.integers(100, 200, 60_000, dtype=np.uint16)]


def read(rows: list[np.ndarray], candidates: int) -> list[np.ndarray]:
    """The windows that a run reads in its short steps, a twelfth of all there are."""
    plan = replace(PLAN, max_steps=45, short_steps=40, candidates=candidates)
    order = Order(rows, plan, seed=3)
    return [window["input_ids"] for slot in range(4 * 40) for window in order[slot]]


def test_rare_windows_are_read_in_proportion_to_their_rarity(rows):
    in_order, sampled = read(rows, 1), read(rows, 2)
    assert np.mean([window[0] >= 100 for window in in_order]) == pytest.approx(0.5, abs=0.06)
    # One of two candidates is noise, and much rarer.
    assert np.mean([window[0] >= 100 for window in sampled]) > 0.95
    begins = [window.__array_interface__["data"][0] for window in sampled]
    assert len(set(begins)) == len(begins) == 640


def test_samples_follow_the_weights():
    order, draws = Order([np.arange(9, dtype=np.uint16)], PLAN, seed=0), Counter()
    order._rarity = type("Weights", (), {"of": lambda self, windows: np.array([3.0] * 300 + [1.0] * 300)})()
    for block in range(40):
        draws.update(
            window["number"]
            for window in order._sample([{"number": n, "input_ids": []} for n in range(600)], (0, block))
        )
    assert sum(draws.values()) == 40 * BLOCK_WINDOWS and max(draws.values()) <= 40
    # The expected share of heavy windows among 256 of 600, sampled one by one without replacement, by integration.
    heavy, light, share = 300.0, 300.0, 0.0
    for _ in range(BLOCK_WINDOWS):
        taken = 3 * heavy / (3 * heavy + light)
        heavy, light, share = heavy - taken, light - (1 - taken), share + taken / BLOCK_WINDOWS
    assert sum(draws[n] for n in range(300)) / (40 * BLOCK_WINDOWS) == pytest.approx(share, abs=0.015)


def test_a_sample_is_a_function_of_the_slot(rows):
    plan = replace(PLAN, max_steps=400, short_steps=300, candidates=4)
    forwards, backwards = Order(rows, plan, seed=1), Order(rows, plan, seed=1)
    slots = range(0, len(forwards), 37)
    first = {slot: [window["input_ids"].tolist() for window in forwards[slot]] for slot in slots}
    for slot in reversed(slots):
        assert [window["input_ids"].tolist() for window in backwards[slot]] == first[slot]


@pytest.mark.parametrize(
    ("max_steps", "short_steps", "candidates", "samples_by_rarity"),
    [(8, 0, 2, True), (8, 0, 1, False), (9, 0, 2, False), (20, 9, 2, False), (20, 12, 2, True), (20, 8, 2, True)],
)
def test_a_plan_samples_by_rarity_if_there_are_more_windows_than_it_reads(
    max_steps, short_steps, candidates, samples_by_rarity
):
    # An epoch has nine steps.
    plan = replace(PLAN, max_steps=max_steps, short_steps=short_steps, candidates=candidates)
    assert plan.samples_by_rarity == samples_by_rarity


def test_a_run_that_reads_everything_does_not_sample():
    rows = [np.arange(700, dtype=np.uint16)]
    sampled, in_order = (Order(rows, replace(PLAN, candidates=candidates), seed=1) for candidates in (16, 1))
    for slot in range(len(sampled)):
        for one, other in zip(sampled[slot], in_order[slot], strict=True):
            assert np.array_equal(one["input_ids"], other["input_ids"])
