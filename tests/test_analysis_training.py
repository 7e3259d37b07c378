"""The analysis of a run: verdict, early stops, advice, output and picture."""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from helpers import fails
from hypothesis import given
from hypothesis import strategies as st

from greylord import plots
from greylord.analysis import training as analysis


def write_original(folder: Path, **lists: object) -> Path:
    """Write a history as the original program does."""
    file = folder / "training_history.json"
    file.write_text(json.dumps({"best_epoch": 1, "best_val_loss": 1.0, "early_stopped": False, **lists}))
    return file


def write_history(folder: Path, validation: list, training: list, name: str = "training_history.json") -> Path:
    """Write a history as greylord does, with an evaluation every hundred steps."""
    rows = [
        {
            "step": 100 * number,
            "epoch": 0.1 * number,
            "tokens": 1000 * number,
            "seconds": 1.0 * number,
            "train_bits_per_token": train,
            "bits_per_byte": figure,
            "learning_rate": 0.004 / number,
        }
        for number, (figure, train) in enumerate(zip(validation, training, strict=True), 1)
    ]
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) if name.endswith("l") else json.dumps(rows))
    return file


FALLING_TRAINING = [3.0, 2.0, 1.5, 1.3, 1.2, 1.1, 1.05, 1.0]


@pytest.mark.parametrize(
    ("validation", "training", "verdict", "advice"),
    [
        ([3, 2, 1.6, 1.5, 1.4, 1.3, 1.25, 1.2], FALLING_TRAINING, "none", "Train longer: validation gained 7.7 %"),
        ([3, 2, 1.6, 1.5, 1.4, 1.3, 1.305, 1.31], [3, 2, 1.6, 1.5, 1.4, 1.2, 1.2, 1.2], "none", "only 8.4 % below"),
        ([3, 2, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6], FALLING_TRAINING, "none", "Train on more recordings"),
        ([3, 2, 1.6, 1.5, 1.5, 1.52, 1.55, 1.56], FALLING_TRAINING, "mild", "max_steps 400"),
        ([3, 2, 1.6, 1.5, 1.5, 1.6, 1.62, 1.65], FALLING_TRAINING, "moderate", "max_steps 400"),
        ([3, 2, 1.6, 1.5, 1.6, 1.8, 1.9, 2.0], FALLING_TRAINING, "severe", "max_steps 400"),
        ([3, 2, 1.6, 1.5, 1.6, 1.8, 1.9, 2.0], [3, 2, 1.5, 1.3, 1.4, 1.6, 1.8, 2], "none", "lower learning rate"),
        ([3, 2, 1.6, 1.5, 1.6, 1.8, 1.9, 2.0], [None] * 8, None, "max_steps 400"),
        ([3, 2, 2.4, 1.5, 1.4, 1.3, 1.2, 1.1], [3, 2, 2.5, 1.5, 1.4, 1.3, 1.2, 1.1], "none", "jumped by 20.0 %"),
    ],
)
def test_verdict_and_advice_follow_from_the_curve(tmp_path, validation, training, verdict, advice):
    report = analysis.analyze(write_history(tmp_path / "run", validation, training))
    assert report.verdict.overfitting == verdict
    assert any(advice in sentence for sentence in report.advice), report.advice
    best = min(validation)
    assert report.best.validation == best and report.best.at == 100 * (validation.index(best) + 1)


def test_the_verdict_states_its_figures(tmp_path):
    verdict = analysis.analyze(
        write_history(tmp_path / "run", [3, 2, 1.5, 1.9, 1.65, 1.8, 1.68], [3, 2, 1.4, 1.3, 1.2, 1.1, 1.05])
    ).verdict
    # The lowest of the last three: 1.65 over 1.5, while training went from 1.4 to 1.05.
    assert verdict.rise == pytest.approx(0.1) and verdict.training_change == pytest.approx(-0.25)
    assert verdict.overfitting == "moderate" and "10.0 %" in verdict.reason and "25.0 %" in verdict.reason


def test_instability_is_not_overfitting(tmp_path):
    report = analysis.analyze(write_history(tmp_path / "run", [3, 2, 1.5, 1.9, 2.5], [3, 2, 1.4, 1.8, 2.6]))
    assert report.verdict.overfitting == "none" and "instability" in report.verdict.reason
    assert report.advice == [
        "Try a lower learning rate than 0.004: at step 500 validation jumped by 31.6 %, and training rose with it."
    ]


@given(st.lists(st.sampled_from([1.0, 1.1, 1.2, 1.3, 1.4]), min_size=1, max_size=25))
def test_early_stops_match_a_search_over_windows_of_patience(tmp_path_factory, validation):
    file = write_history(tmp_path_factory.mktemp("runs") / "run", validation, [1.0] * len(validation))
    for stop in analysis.analyze(file).stops:
        wait = stop.patience
        ends = [
            n
            for n in range(wait + 1, len(validation) + 1)
            if min(validation[: n - wait]) <= min(validation[n - wait : n])
        ]
        end = ends[0] if ends else None
        seen = validation[:end]
        assert stop.at == (end and 100 * end)
        assert (stop.kept, stop.kept_at) == (min(seen), 100 * (seen.index(min(seen)) + 1))
        assert stop.saved == (100 * (len(validation) - end) if end else 0)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_short_runs_of_the_original(tmp_path, epochs):
    losses = [2.0, 1.0, 1.2, 1.3][:epochs]
    file = write_original(
        tmp_path,
        epochs=list(range(1, epochs + 1)),
        train_losses=[2.5, 1.5, 1.4, 1.3][:epochs],
        val_losses=losses,
        learning_rates=[1e-4] * epochs,
    )
    report = analysis.analyze(file)
    assert (report.course.clock, report.course.unit) == ("epoch", "nats per token")
    assert report.course.name == tmp_path.name
    assert (report.best.at, report.best.validation) == (losses.index(min(losses)) + 1, min(losses))
    assert report.verdict.overfitting == [None, "none", "severe", "severe"][epochs - 1]
    assert [stop.at for stop in report.stops] == [None] * 3
    advice = ["one evaluation", "gained 50.0 % since epoch 1", "epochs 2", "epochs 2"][epochs - 1]
    assert advice in report.advice[0]
    assert analysis.draw(report).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("lists", "points", "left_out"),
    [
        ({"val_losses": [2, 1], "epochs": [5], "train_losses": [3, 2, 1]}, [(5, 2, 3), (2, 1, 2)], 0),
        ({"val_losses": [None, 1.5, "unknown", 1], "train_losses": [3, None]}, [(2, 1.5, None), (4, 1, None)], 2),
        ({"val_losses": [2, math.nan, 1], "epochs": "unknown", "train_losses": None}, [(1, 2, None), (3, 1, None)], 1),
        ({"val_losses": [2], "epochs": [None], "train_losses": [math.inf], "learning_rates": []}, [(1, 2, None)], 0),
    ],
)
def test_incomplete_lists_of_the_original(tmp_path, lists, points, left_out):
    report = analysis.analyze(write_original(tmp_path, **lists))
    history = report.course
    assert [(point.at, point.validation, point.training) for point in history.points] == points
    assert history.left_out == left_out
    assert history.diverged == (math.nan in lists["val_losses"])
    assert ("NaN or infinite" in report.advice[0]) == history.diverged
    assert analysis.draw(report).startswith(b"\x89PNG")


def test_a_run_that_has_not_finished(workplace, called):
    run_folder = workplace / "models" / "game_2026"
    run_folder.parent.mkdir()
    journal = write_history(run_folder, [3, 2, 1.5], [3, 2, 1.5], "training_history.jsonl")
    with journal.open("a") as file:
        file.write('{"step": 400, "bits_per_')
    (run_folder / "training_config.json").write_text('{"plan": {"max_steps": 7000}}')
    report = analysis.analyze(run_folder)
    assert (report.course.going, report.course.planned, len(report.course.points)) == (True, 7_000, 3)
    assert report.advice == ["Let it run: validation gained 25.0 % since step 200."]
    Path("models/latest").write_text("game_2026\n")
    result = called("analyze", "training")
    assert result.returncode == 0 and "step 300 of 7,000" in result.stdout
    write_history(run_folder, [3, 2, 1.5, 1.4], [3, 2, 1.5, 1.4])
    assert not analysis.analyze(run_folder).course.going


def test_the_output_and_the_picture_of_a_run(workplace, called, monkeypatch):
    file = write_history(workplace / "run", [3, 2, 1.5, 1.6, 1.7, 1.8, 1.9], [3, 2, 1.5, 1.3, 1.2, 1.1, 1.0])
    drawn = {}
    draw = plots.training_analysis
    monkeypatch.setattr(plots, "training_analysis", lambda **given: drawn.update(given) or draw(**given))
    result = called("analyze", "training", "--model-dir", file.parent)
    assert result.returncode == 0
    for part in ("1.500 bits per byte", "step 300", "1.900", "moderate", "13.3 %", "33.3 %", "--max-steps 300"):
        assert part in result.stdout
    assert re.search(r"patience 3 +600 +300 +1\.500 +100\n", result.stdout)
    assert re.search(r"patience 5 +never +300 +1\.500 +0\n", result.stdout)
    assert {path.name for path in workplace.iterdir()} == {"run", "analysis_run.png"}
    assert plots.is_analysis(workplace / "analysis_run.png")
    assert drawn["best"] == (300, 1.5) and drawn["stops"] == {3: 600, 5: None, 10: None} and drawn["overfitted"]
    printed = json.loads(called("analyze", "training", "--model-dir", file, "--json").stdout)
    assert printed == {**json.loads(json.dumps(asdict(analysis.analyze(file)))), "picture": None}
    short = write_history(workplace / "short", [3, 2, 1], [3, 2, 1])
    assert "patience" not in called("analyze", "training", "--model-dir", short).stdout


def test_only_pictures_of_analyses_are_replaced(workplace, called):
    write_history(workplace / "run", [3, 2, 1], [3, 2, 1])
    call = ("analyze", "training", "--model-dir", "run", "--output")
    curves = workplace / "curves.png"
    curves.write_bytes(plots.training_curves([1, 2], [2.0, 1.0], [(1, 2.0), (2, 1.0)], 2, {}, "a run"))
    before = curves.read_bytes()
    assert "'curves.png'" in fails(called(*call, "curves.png"), 2)
    assert "'curves.jpg'" in fails(called(*call, "curves.jpg"), 2)
    assert curves.read_bytes() == before
    for _ in range(2):
        assert called(*call, "new/of run.png").returncode == 0
    assert sorted(path.name for path in workplace.iterdir()) == ["curves.png", "new", "run"]


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        ("[]", 1, "holds no evaluation"),
        ('{"val_losses": [null, "unknown"]}', 1, "holds no evaluation"),
        ("{", 2, "is not JSON"),
        ("\xff\xfe", 2, "is not JSON"),
        ('{"train_losses": [1.0]}', 2, "has neither evaluations nor val_losses"),
        ("[1, 2]", 2, "has neither evaluations nor val_losses"),
        ("3", 2, "has neither evaluations nor val_losses"),
        (None, 2, "has no training_history.json"),
    ],
)
def test_files_that_are_not_a_history(workplace, called, content, code, reason):
    Path("run").mkdir()
    if content is not None:
        Path("run/training_history.json").write_text(content, encoding="latin-1")
    assert reason in fails(called("analyze", "training", "--model-dir", "run"), code)
    assert {path.name for path in workplace.iterdir()} == {"run"}


def test_a_missing_run_and_one_without_evaluations(workplace, called):
    assert "no model folder 'nix'" in fails(called("analyze", "training", "--model-dir", "nix"), 2)
    write_history(workplace / "run", [], [], "training_history.jsonl")
    assert "no evaluation yet" in fails(called("analyze", "training", "--model-dir", "run"), 1)
