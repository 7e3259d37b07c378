"""Windows that tell what is rare, and that runs of less than an epoch read these rather than others."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from helpers import PLAN
from hypothesis import given
from hypothesis import strategies as st

from greylord.training import sampling
from greylord.training.sampling import BLOCK_WINDOWS, NGRAM, Order, Rarity

pieces = st.lists(st.lists(st.integers(0, 2), max_size=60), min_size=1, max_size=5)


def ngrams(ids) -> list[tuple]:
    return [tuple(ids[begin : begin + NGRAM]) for begin in range(len(ids) - NGRAM + 1)]


@given(pieces, pieces)
def test_rarity_is_the_mean_of_one_by_the_root_of_each_ngrams_occurrences(rows, windows):
    counts = Counter(ngram for row in rows for ngram in ngrams(row))
    expected = [
        np.mean([max(1, counts[ngram]) ** -0.5 for ngram in ngrams(window)]) if ngrams(window) else 1.0
        for window in windows
    ]
    rows, windows = ([np.array(ids, np.uint16) for ids in some] for some in (rows, windows))
    assert Rarity(rows).of(windows) == pytest.approx(expected, rel=1e-6)


def test_different_ngrams_have_different_buckets():
    ids = np.random.default_rng(0).integers(0, 262, 20_000, dtype=np.uint16)
    assert len(set(sampling._buckets(ids).tolist())) > 0.99 * len(ids)


def test_long_corpora_are_counted_in_part(monkeypatch):
    rows = [np.full(50, index, np.uint16) for index in range(10)]
    monkeypatch.setattr(sampling, "COUNTED_TOKENS", 250)
    found = Rarity(rows).of(rows)
    assert found[::2] == pytest.approx(43**-0.5) and found[1::2] == pytest.approx(1.0)
    monkeypatch.setattr(sampling, "COUNTED_TOKENS", 1_000)
    monkeypatch.setattr(sampling, "PIECE_TOKENS", 25)
    assert Rarity(rows).of(rows) == pytest.approx(36**-0.5)


@pytest.fixture(scope="module")
def rows() -> list[np.ndarray]:
    """Half of the windows say the same; the others are noise."""
    draw = np.random.default_rng(0)
    return [np.full(60_000, 7, np.uint16), draw.integers(100, 200, 60_000, dtype=np.uint16)]


def read(rows: list[np.ndarray], candidates: int) -> list[np.ndarray]:
    """The short windows of a run that reads a twelfth of them."""
    plan = replace(PLAN, max_steps=45, short_steps=40, candidates=candidates)
    order = Order(rows, plan, seed=3)
    return [window["input_ids"] for slot in range(4 * 40) for window in order[slot]]


def test_rare_windows_are_read_in_proportion_to_their_rarity(rows):
    alike, offered = read(rows, 1), read(rows, 2)
    assert np.mean([window[0] >= 100 for window in alike]) == pytest.approx(0.5, abs=0.06)
    # One of two is noise, and a window of it is by far the rarer.
    assert np.mean([window[0] >= 100 for window in offered]) > 0.95
    begins = [window.__array_interface__["data"][0] for window in offered]
    assert len(set(begins)) == len(begins) == 640


def test_what_is_drawn_follows_the_weights():
    order, draws = Order([np.arange(9, dtype=np.uint16)], PLAN, seed=0), Counter()
    order._rarity = type("Weights", (), {"of": lambda self, windows: np.array([3.0] * 300 + [1.0] * 300)})()
    for block in range(40):
        draws.update(
            window["number"]
            for window in order._rarest([{"number": n, "input_ids": []} for n in range(600)], (0, block))
        )
    assert sum(draws.values()) == 40 * BLOCK_WINDOWS and max(draws.values()) <= 40
    # Drawn one by one without replacement, 256 of these 600: the expected share of the heavy ones by integration.
    heavy, light, share = 300.0, 300.0, 0.0
    for _ in range(BLOCK_WINDOWS):
        taken = 3 * heavy / (3 * heavy + light)
        heavy, light, share = heavy - taken, light - (1 - taken), share + taken / BLOCK_WINDOWS
    assert sum(draws[n] for n in range(300)) / (40 * BLOCK_WINDOWS) == pytest.approx(share, abs=0.015)


def test_a_choice_is_a_function_of_the_slot(rows):
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
def test_a_plan_tells_whether_there_is_a_choice(max_steps, short_steps, candidates, samples_by_rarity):
    # An epoch has nine steps.
    plan = replace(PLAN, max_steps=max_steps, short_steps=short_steps, candidates=candidates)
    assert plan.samples_by_rarity == samples_by_rarity


def test_a_run_that_reads_everything_has_no_choice():
    rows = [np.arange(700, dtype=np.uint16)]
    chosen, all_alike = (Order(rows, replace(PLAN, candidates=candidates), seed=1) for candidates in (16, 1))
    for slot in range(len(chosen)):
        for one, other in zip(chosen[slot], all_alike[slot], strict=True):
            assert np.array_equal(one["input_ids"], other["input_ids"])
