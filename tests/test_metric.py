"""The metric for the `evaluate` library, with and without greylord installed."""

import json
import math
import os
import shutil
import subprocess
import sys

import pytest
from helpers import PROJECT

from greylord import runs
from greylord.evaluation.bits_per_byte import bits_per_byte

METRIC = PROJECT / "greylord" / "metrics" / "bits_per_byte"

TRY_METRIC = """
import json, sys
if sys.argv[2] == "alone":
    sys.modules["greylord"] = None
import evaluate
metric = evaluate.load(sys.argv[1], keep_in_memory=True)
for nats, sizes in json.loads(sys.argv[3]):
    metric.add_batch(nats=nats, payload_bytes=sizes)
print(json.dumps(metric.compute()))
print("greylord.evaluation.bits_per_byte" in sys.modules)
"""


@pytest.mark.parametrize("where", ["alone", "beside greylord"])
def test_the_metric_uses_greylords_formula_with_and_without_greylord(tmp_path, where):
    shutil.copytree(METRIC, tmp_path / "bits_per_byte")
    batches = [([100.25, 1e-9, 3.5], [200, 0, 7]), ([1e6], [123_456]), ([0.0], [1])]
    result = subprocess.run(
        [sys.executable, "-c", TRY_METRIC, tmp_path / "bits_per_byte", where, json.dumps(batches)],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    line, owner_is_used = result.stdout.splitlines()
    assert owner_is_used == str(where != "alone")
    nats, size = sum(sum(nats) for nats, _ in batches), sum(sum(sizes) for _, sizes in batches)
    computed = json.loads(line)
    assert computed["nats"] == pytest.approx(nats, rel=1e-15) and computed["payload_bytes"] == size
    # Equal to the last bit, which a second formula would hardly be.
    assert computed["bits_per_byte"] == bits_per_byte(computed["nats"], size)
    assert computed["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-12)


def test_evaluate_takes_its_figure_from_the_metric(trained, monkeypatch, called):
    from greylord.metrics.bits_per_byte.bits_per_byte import BitsPerByte

    calls = []

    def compute(self, nats, payload_bytes):
        calls.append((sum(nats), sum(payload_bytes)))
        return {"bits_per_byte": 4.321}

    monkeypatch.chdir(trained)
    monkeypatch.setattr(BitsPerByte, "_compute", compute)
    printed = json.loads(called("evaluate", "--cpu", "--json").stdout)
    assert printed["bits_per_byte"]["overall"] == 4.321
    ((nats, size),) = calls
    summary = runs.all_runs()[0][0].summary
    assert size == sum(printed["payload_bytes"].values()) == summary["scored_bytes"]
    assert bits_per_byte(nats, size) == pytest.approx(summary["best_bits_per_byte"], rel=1e-5)
