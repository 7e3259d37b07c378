"""Helpers of several test modules. No test module imports another."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
import typer

from greylord import modeling, runs
from greylord.captures.formats import proxylog
from greylord.captures.session import Direction, Record, Session
from greylord.cli import app
from greylord.stream import turns
from greylord.training.callbacks import Evaluation
from greylord.training.config import TrainingConfig
from greylord.training.plan import Plan
from greylord.training.run_folder import Summary

PROJECT = Path(__file__).parent.parent

LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--standalone")

START = datetime(2025, 6, 18, tzinfo=UTC)

PLAN = Plan(
    context=64, short_length=16, micro_batch=2, accumulation=2, processes=1, steps_per_epoch=9.0, max_steps=30,
    short_steps=20, warmup_steps=2, eval_steps=10,
)  # fmt: skip

LONG = TrainingConfig(context_window=256, batch_size=1, max_steps=30, seed=5)
"""Short windows up to the middle, a checkpoint every six steps."""

CONTEXT = 32

MARKUP = re.compile(
    rb"(?P<wipe>\x1b\[79D\x1b\[K)|(?P<csi>\x1b\[[ -?]*[@-~])"
    rb"|(?P<telnet>\xff\xfa(?:[^\xff]|\xff\xff)*\xff\xf0|\xff[\xfb-\xfe].|\xff[^\xfa-\xfe])",
    re.DOTALL,
)
"""Markup in a payload: a wiped line, a control sequence, a telnet command."""


def greylord(*arguments: object, cwd: Path, **options) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "greylord", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
        **options,
    )


def commands(group: typer.Typer = app, prefix: str = "") -> dict[str, object]:
    found = {prefix + (entry.name or entry.callback.__name__): entry.callback for entry in group.registered_commands}
    for entry in group.registered_groups:
        found |= commands(entry.typer_instance, f"{prefix}{entry.name} ")
    return found


def fails(result: subprocess.CompletedProcess, code: int) -> str:
    """Return the one sentence of a call that fails."""
    assert result.returncode == code, (result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    sentences = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1
    return result.stderr


def write_recording(folder: Path, start: datetime, seed: int = 0, records: int = 40) -> Path:
    rng = random.Random(seed)
    rows = [
        Record(Direction(index % 2), rng.choice([0, 700, 2_000, 9_000]), rng.randbytes(rng.randrange(1, 30)))
        for index in range(records)
    ]
    path = folder / f"{int(start.timestamp())}_{seed:08x}.log"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        proxylog.write(rows, target)
    return path


def numbered_rows(sizes: list[int]) -> list[np.ndarray]:
    """Return rows whose tokens are all different, so that a token shows its origin."""
    ends = np.cumsum(sizes)
    return [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def history(figures: list[float]) -> list[dict]:
    return [
        asdict(Evaluation(10 * n, 0.1 * n, 640 * n, 2.0 * n, figure + 1, figure, 1e-3))
        for n, figure in enumerate(figures, 1)
    ]


def make_run(name: str, figures: list[float], finished: bool = True, rate: float = 1e-3, **summary) -> Path:
    """A run's folder with what `greylord models` reads."""
    folder = Path("models", name)
    folder.mkdir(parents=True)
    evaluations = history(figures)
    values = {
        "dataset": "game", "data_hash": "0" * 64, "best_bits_per_byte": min(figures, default=math.nan), "best_step": 10,
        "protocol": "context 64, stride 32, framing included", "scored_bytes": 5_000, "baselines": {}, "ended": "all",
        "steps": 10 * len(figures), "epochs": 1.0, "tokens": 640, "bytes_seen": 600, "seconds": 75.0,
        "total_seconds": 80.0, "parameters": 826_880, "position_parameters": 8_192, "peak_memory_bytes": 1,
        "device": "CPU", "continued_from": None, "versions": {"torch": "2.13.0"}, **summary,
    }  # fmt: skip
    config = {
        "dataset": values["dataset"],
        "data_hash": values["data_hash"],
        "settings": {"learning_rate": rate, "seed": 0},
        "plan": {"max_steps": 30, "context": 64},
        "versions": values["versions"],
        "trained_on": [name],
    }
    (folder / runs.CONFIG_NAME).write_text(json.dumps(config))
    if finished:
        (folder / runs.SUMMARY).write_text(json.dumps(asdict(Summary(**values))))
        (folder / runs.HISTORY).write_text(json.dumps(evaluations))
    else:
        (folder / runs.JOURNAL).write_text("".join(json.dumps(each) + "\n" for each in evaluations))
    return folder


def make_rows() -> list[np.ndarray]:
    """Return three sessions whose lengths are not multiples of anything."""
    rng = np.random.default_rng(3)
    rows = []
    for records in (31, 8, 1):
        session = Session.from_records(
            Record(
                Direction(index % 2),
                int(rng.integers(0, 9_000)),
                rng.integers(32, 40, rng.integers(1, 14)).astype(np.uint8).tobytes(),
            )
            for index in range(records)
        )
        rows.append(turns.encode(session))
    return rows


def make_model() -> torch.nn.Module:
    torch.manual_seed(5)
    model = modeling.new_model(CONTEXT).eval()
    for parameter in model.parameters():
        # Far enough from uniform that a token scored from the wrong context shows.
        parameter.data *= 2
    return model


def slow_costs(model, row: np.ndarray) -> list[float]:
    """Return the nats of each token but the first, one model call per token.

    Each call has the context of the protocol.
    """
    costs = []
    for position in range(1, len(row)):
        if position < CONTEXT:
            begin = 0
        else:
            half = CONTEXT // 2
            begin = (position - CONTEXT) // half * half + half
        ids = torch.tensor(row[begin:position].astype(np.int64))[None]
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, -1].double()
        costs.append(float(torch.logsumexp(logits, 0) - logits[int(row[position])]))
    return costs
