"""The plan of a run, and the order of its windows.

Both are a pure function of the step, for any number of processes.
"""

import math
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from helpers import PLAN, numbered_rows
from hypothesis import given
from hypothesis import strategies as st

from greylord.errors import SettingError, TrainingError
from greylord.training.config import TrainingConfig
from greylord.training.plan import MAX_EVALUATIONS, Pace, Plan, context_within, make_plan, plan_within, short_length
from greylord.training.sampling import Order

PACE = Pace(short_step=0.1, step=0.25, evaluation=3.0, checkpoint=0.5)


def length_at(step: int, plan: Plan = PLAN) -> int:
    """Tokens of the windows of the step after `step` others."""
    return plan.short_length if step < plan.short_steps else plan.context


def windows_of(order: Order) -> list[tuple]:
    """Return the ids and positions of all windows, slot by slot."""
    return [
        tuple((tuple(window["input_ids"]), window.get("first_position")) for window in order[slot])
        for slot in range(len(order))
    ]


@pytest.fixture(scope="module")
def order() -> Order:
    return Order(numbered_rows([700, 90, 400]), PLAN, seed=1)


def test_a_slot_holds_one_context_of_tokens_in_windows_of_the_length_of_its_step(order):
    assert len(order) == 30 * 4
    for slot in range(len(order)):
        length = length_at(slot // PLAN.windows_per_step)
        assert [window["length"] for window in order[slot]] == [length] * (64 // length)
    assert len(order[4 * 20 - 1]) == 4 and len(order[4 * 20]) == 1
    with pytest.raises(IndexError):
        order[len(order)]


def test_the_order_depends_on_the_slot_alone(order):
    backwards = Order(order._full.rows, PLAN, seed=1)
    for slot in reversed(range(len(order))):
        assert [window["input_ids"].tolist() for window in backwards[slot]] == [
            window["input_ids"].tolist() for window in order[slot]
        ]
    assert windows_of(Order(order._full.rows, PLAN, seed=2)) != windows_of(order)
    # Two processes with half the micro-batch draw the same slots for a step.
    assert windows_of(Order(order._full.rows, replace(PLAN, micro_batch=1, processes=2), seed=1)) == windows_of(order)


def test_each_length_goes_through_all_its_windows_before_it_repeats_one(order):
    for slots, windows in ((range(80), order._short), (range(80, 120), order._full)):
        tokens = [tuple(window["input_ids"]) for slot in slots for window in order[slot]]
        everything = sorted(tuple(windows[index]["input_ids"]) for index in range(len(windows)))
        whole = len(tokens) // len(windows) * len(windows)
        assert whole and sorted(tokens[:whole]) == sorted(everything * (whole // len(windows)))
        assert len(set(tokens[whole:])) == len(tokens) - whole


def test_short_windows_lie_anywhere_in_the_context_and_full_ones_at_its_beginning(order):
    firsts = {window["first_position"] for slot in range(80) for window in order[slot]}
    assert min(firsts) == 0 and max(firsts) == 64 - 16 and len(firsts) > 40
    assert all("first_position" not in window for slot in range(80, 120) for window in order[slot])


@given(
    st.integers(1, 5_000), st.integers(1, 4_000), st.sampled_from([64, 100, 128, 1_024]), st.booleans(),
    st.integers(1, 3),
)  # fmt: skip
def test_any_plan_is_consistent(max_steps, windows, context, pretrained, processes):
    config = TrainingConfig(max_steps=max_steps).resolved(context, "sdpa", False)
    plan = make_plan(config, windows, 50_000, "cpu", processes, pretrained)
    assert plan.max_steps == max_steps and plan.context % plan.short_length == 0
    assert 0 <= plan.warmup_steps < max_steps and 0 <= plan.short_steps < max_steps
    assert 1 <= plan.eval_steps <= max_steps and plan.evaluations <= MAX_EVALUATIONS
    assert bool(plan.short_steps) == (context == 1_024 and not pretrained and max_steps > 1)
    assert plan.steps_per_epoch == windows / plan.windows_per_step
    assert Plan(**asdict(plan)) == plan


def seconds_step_by_step(plan: Plan, pace: Pace) -> float:
    seconds = 0.0
    for step in range(plan.max_steps):
        seconds += pace.short_step if length_at(step, plan) < plan.context else pace.step
        if (step + 1) % plan.eval_steps == 0 or step + 1 == plan.max_steps:
            seconds += pace.evaluation + pace.checkpoint
    return seconds


@given(st.floats(5, 5_000), st.booleans())
def test_a_budget_is_filled_and_not_exceeded(seconds, short):
    shape = PLAN if short else replace(PLAN, short_length=64)
    plan = plan_within(seconds, shape, PACE)
    taken = seconds_step_by_step(plan, PACE)
    assert taken == pytest.approx(plan.seconds(PACE))
    assert seconds - PACE.step - 1e-6 - (PACE.evaluation + PACE.checkpoint) < taken <= seconds + PACE.step
    assert plan.evaluations * (PACE.evaluation + PACE.checkpoint) <= max(3.5, 0.06 * seconds)


def test_the_error_for_a_short_budget_has_the_durations():
    with pytest.raises(TrainingError, match=r"too short: 3 s .* a step takes 0\.25 s .* at the end 4 s"):
        plan_within(3.0, PLAN, PACE)


def test_short_windows_are_half_the_context_within_bounds():
    lengths = {256: 128, 384: 192, 512: 256, 1_024: 256, 8_192: 256, 128: 128, 200: 200, 1_000: 1_000}
    assert {context: short_length(context) for context in lengths} == lengths


def test_a_longer_budget_never_gets_a_shorter_context():
    times = (10, 600, 3_600, 86_400, math.inf)
    contexts, faster = ([context_within(seconds, "cpu", bf16) for seconds in times] for bf16 in (False, True))
    assert contexts == sorted(contexts) and contexts[-1] == 1_024
    assert faster == [context_within(2 * seconds, "cpu", False) for seconds in times]
    assert context_within(10, "mps", True) == context_within(10, "cpu", False)


WRONG = {
    "time_budget": ["", "10", "m", "-5m", "0s", "10 apples", "1h30", "9000h", 10],
    "preset": [3],
    "epochs": [0, 1.0, True, None, 10**9 + 1],
    "max_steps": [0, "5"],
    "batch_size": [0],
    "micro_batch": [-1],
    "candidates": [0],
    "patience": [0],
    "context_window": [15, 8_193, 64.0],
    "learning_rate": [0, 1.1, math.nan, math.inf, "0.1", True],
    "weight_decay": [-0.1, 11],
    "val_split": [0, 0.95],
    "attention": ["flash", ["sdpa"]],
    "compile": [1, "yes"],
    "seed": [-1, 2**32, 0.5],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_outside_its_rule_is_refused_by_the_name_of_the_setting(name):
    assert set(WRONG) == {setting.name for setting in fields(TrainingConfig)}
    for value in WRONG[name]:
        with pytest.raises(SettingError) as refused:
            TrainingConfig(**{name: value})
        assert refused.value.settings == (name,)
        assert str(refused.value).startswith(f"{name} must be ") and str(refused.value).endswith(f"not {value!r}.")


def test_values_at_the_ends_of_their_range_are_accepted():
    least = TrainingConfig(epochs=1, context_window=16, learning_rate=1e-30, weight_decay=0, val_split=1e-9, seed=0)
    most = TrainingConfig(
        epochs=10**9, context_window=8_192, learning_rate=1, weight_decay=10, val_split=0.9, seed=2**32 - 1
    )
    assert (least.context_window, most.context_window) == (16, 8_192)
    assert TrainingConfig(time_budget="1h30m").budget_seconds == 5_400 and most.budget_seconds is None


def test_time_and_steps_exclude_each_other():
    with pytest.raises(SettingError, match="time_budget and max_steps exclude each other") as refused:
        TrainingConfig(time_budget="10m", max_steps=5)
    assert refused.value.settings == ("time_budget", "max_steps")


def test_a_resolved_config_has_the_same_settings_in_the_same_order():
    config = TrainingConfig(seed=3, attention="sdpa", compile=True)
    resolved = config.resolved(64, "blockwise", False)
    chosen = {"context_window": 64, "attention": "blockwise", "compile": False}
    assert list(asdict(resolved).items()) == list((asdict(config) | chosen).items())


def test_positions_of_short_windows_are_spread_evenly(order):
    firsts = np.array([window["first_position"] for slot in range(80) for window in order[slot]])
    counts = np.bincount(firsts, minlength=49)
    assert counts.max() < 4 * counts.mean() + 3
