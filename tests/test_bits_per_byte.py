"""Bits per byte against slow, obvious computations.

They use one model call per token, and one Python loop per stream.
"""

import bz2
import json
import math
import os
import subprocess
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from helpers import CONTEXT, LAUNCHER, PROJECT, make_model, make_rows, slow_costs

from greylord.corpus.windows import Span
from greylord.evaluation import baselines, bits_per_byte
from greylord.stream import vocabulary


def slow_kinds(row: np.ndarray) -> list[str]:
    kinds, side = [], None
    for token in row.tolist()[1:]:
        if token in (vocabulary.CLIENT, vocabulary.SERVER):
            side = "client" if token == vocabulary.CLIENT else "server"
        kinds.append(side if token < 256 else "framing")
    return kinds


@pytest.fixture(scope="module")
def scored():
    rows, model = make_rows(), make_model()
    costs = [cost for row in rows for cost in slow_costs(model, row)]
    kinds = [kind for row in rows for kind in slow_kinds(row)]
    nats, counts = Counter(), Counter(kinds)
    for kind, cost in zip(kinds, costs, strict=True):
        nats[kind] += cost
    return rows, model, nats, counts


def test_the_score_is_that_of_single_predictions(scored):
    rows, model, nats, counts = scored
    score = bits_per_byte.score(model, rows)
    assert score == bits_per_byte.score(model, rows, context=CONTEXT) != bits_per_byte.score(model, rows, context=8)
    for kind in ("server", "client", "framing"):
        assert getattr(score, f"{kind}_nats") == pytest.approx(nats[kind], rel=1e-5)
    assert (score.server_bytes, score.client_bytes, score.framing_tokens) == (
        counts["server"], counts["client"], counts["framing"],
    )  # fmt: skip
    payload = counts["server"] + counts["client"]
    assert score.bits_per_byte == pytest.approx(sum(nats.values()) / math.log(2) / payload, rel=1e-5)
    assert score.server == pytest.approx(nats["server"] / math.log(2) / counts["server"], rel=1e-5)
    assert score.client == pytest.approx(nats["client"] / math.log(2) / counts["client"], rel=1e-5)
    assert score.framing == pytest.approx(nats["framing"] / math.log(2) / payload, rel=1e-5)


def test_a_span_is_scored_from_the_context_before_it(scored):
    rows, model, *_ = scored
    span = Span(0, 100, 150)
    ids = torch.tensor(rows[0].astype(np.int64))
    expected = 0.0
    for first in range(100, 150, CONTEXT // 2):
        end = min(first + CONTEXT // 2, 150)
        with torch.no_grad():
            logits = model(input_ids=ids[None, first - CONTEXT // 2 : end]).logits[0]
        targets = ids[first:end]
        expected += float(torch.nn.functional.cross_entropy(logits[CONTEXT // 2 - 1 : -1], targets, reduction="sum"))
    score = bits_per_byte.score_spans(model, rows, [span], CONTEXT)
    assert score.server_nats + score.client_nats + score.framing_nats == pytest.approx(expected, rel=1e-5)
    assert bits_per_byte.payload_bytes(rows, [span]) == score.payload_bytes
    assert bits_per_byte.stream_of(rows, [span]) == bytes(token & 255 for token in rows[0].tolist()[100:150])


SCRIPT = """
import os, sys, json
from accelerate import PartialState
from transformers import TrainingArguments
import helpers as t
from greylord.corpus.windows import ScoringWindows, TrainingWindows, whole_rows
from greylord.training.hf_trainer import make_trainer

rows, model, world = t.make_rows(), t.make_model(), int(os.environ["WORLD_SIZE"])
arguments = TrainingArguments(
    sys.argv[1], use_cpu=True, per_device_eval_batch_size=3, batch_eval_metrics=True, remove_unused_columns=False,
    label_names=["labels"], disable_tqdm=True, metric_for_best_model="bits_per_byte", eval_strategy="steps",
)
assert arguments.world_size == world, (arguments.world_size, world)
windows = ScoringWindows(rows, whole_rows(rows), t.CONTEXT, 3 * world)
metrics = make_trainer(model, arguments, TrainingWindows(rows, t.CONTEXT), windows, 1, [], False).evaluate()
if arguments.process_index == 0:
    print("FIGURES", json.dumps(metrics))
PartialState().destroy_process_group()
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_the_trainer_reports_the_same_figures_in_one_process_and_in_two(scored, processes, tmp_path):
    _, _, nats, counts = scored
    script = tmp_path / "evaluate.py"
    script.write_text(SCRIPT)
    result = subprocess.run(
        [*LAUNCHER, f"--nproc-per-node={processes}", script, tmp_path],
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2_000:]
    figures = json.loads(result.stdout.partition("FIGURES")[2].splitlines()[0])
    assert figures["eval_nats"] == pytest.approx(sum(nats.values()), rel=1e-5)
    assert figures["eval_tokens"] == sum(counts.values())
    assert figures["eval_payload_bytes"] == counts["server"] + counts["client"]
    expected = sum(nats.values()) / math.log(2) / (counts["server"] + counts["client"])
    assert figures["eval_bits_per_byte"] == pytest.approx(expected, rel=1e-5)


def test_the_order_2_model_against_counting():
    rows = make_rows()
    training, spans = rows[:2], [Span(2, 1, len(rows[2])), Span(0, 40, 60)]
    triples = Counter()
    for row in training:
        ids = [256, *row.tolist()]
        triples.update(zip(ids, ids[1:], ids[2:], strict=False))

    def count(*pattern: int | None) -> int:
        fits = (all(p in (None, t) for p, t in zip(pattern, triple, strict=True)) for triple in triples)
        return sum(n for n, fit in zip(triples.values(), fits, strict=True) if fit)

    nats = 0.0
    for span in spans:
        ids = [256, *rows[span.row].tolist()]
        for position in range(span.begin + 1, span.end + 1):
            a, b, x = ids[position - 2 : position + 1]
            p = (count(None, None, x) + 1 / 262) / (count(None, None, None) + 1)
            p = (count(None, b, x) + p) / (count(None, b, None) + 1)
            p = (count(a, b, x) + p) / (count(a, b, None) + 1)
            nats -= math.log(p)
    payload = bits_per_byte.payload_bytes(rows, spans)
    assert baselines.measure_order_2(training, rows, spans, payload) == pytest.approx(
        nats / math.log(2) / payload, rel=1e-9
    )


def test_compressors_are_measured_on_payload_bytes():
    stream = b"\x02\x03look\r" * 100
    figures = baselines.measure_compressors(stream, 500)
    assert figures["zlib -9"] == 8 * len(zlib.compress(stream, 9)) / 500
    assert figures["bz2 -9"] == 8 * len(bz2.compress(stream, 9)) / 500
    assert set(figures) == set(baselines.COMPRESSORS)
