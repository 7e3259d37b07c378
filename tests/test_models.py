"""`greylord models`: list and compare runs, with damaged files among them."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import greylord, history, make_run

from greylord import json_fields, model_folders, plots, runs
from greylord.analysis import comparison
from greylord.errors import GreylordError, UsageError
from greylord.training import run_folder
from greylord.training.config import TrainingConfig
from greylord.workspace import Workspace


@pytest.fixture
def call(called) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process; returns exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        result = called(*arguments)
        return result.returncode, result.stdout, result.stderr

    return run


@pytest.fixture
def several(workplace) -> None:
    """Runs that compare, some that do not, and two unfinished ones.

    One of the latter has no evaluation.
    """
    make_run("game_2026-01-05T10-00-00", [2.0, 1.5, 1.25])
    make_run("game_2026-01-06T10-00-00", [1.9, 1.125], rate=2e-3)
    make_run("game_2026-01-07T10-00-00", [0.5], protocol="context 128, stride 64, framing included")
    make_run("other_2026-01-08T10-00-00-2", [1.75], dataset="other", data_hash="1" * 64, scored_bytes=777)
    make_run("renamed", [1.375], seconds=3_600.0)
    unfinished = make_run("game_2026-01-09T10-00-00", [3.0, 3.5], finished=False)
    with (unfinished / runs.JOURNAL).open("a") as file:
        file.write('{"step": 30, "bits_')
    make_run("game_2026-01-10T10-00-00", [], finished=False)
    Path("models/foreign").mkdir()
    Path("models/foreign/training_config.json").write_text('{"epochs": 50}')
    Path("models/latest").write_text("game_2026-01-06T10-00-00\n")


def test_runs_are_listed_in_comparable_groups_best_first(call, several):
    code, output, errors = call("models")
    assert (code, errors) == (0, "")
    lines = [line.split() for line in output.splitlines() if line]
    assert [line[:2] for line in lines if line[0][:4] in ("game", "othe", "rena")] == [
        ["game_2026-01-07T10-00-00", "0.500"],
        ["game_2026-01-06T10-00-00", "1.125"],
        ["game_2026-01-05T10-00-00", "1.250"],
        ["renamed", "1.375"],
        ["other_2026-01-08T10-00-00-2", "1.750"],
        ["game_2026-01-09T10-00-00", "3.500"],
        ["game_2026-01-10T10-00-00", "none"],
    ]
    titles = [line for line in output.splitlines() if line.startswith(("Bits", "Still"))]
    assert titles == [
        "Bits per byte on 5,000 bytes of game (context 128, stride 64, framing included)",
        "Bits per byte on 5,000 bytes of game (context 64, stride 32, framing included)",
        "Bits per byte on 777 bytes of other (context 64, stride 32, framing included)",
        "Still running, or interrupted",
    ]
    assert "0.84 M" in output and "1 min 15 s 2026-01-05" in output and "1 h 00 min" in output
    assert lines[-2][2:4] == ["20", "30"] and lines[-2][-1] == "ago"


def test_the_list_as_json(call, several):
    _, output, _ = call("models", "--json")
    listed = {Path(run["run"]).name: run for run in json.loads(output)["runs"]}
    assert len(listed) == 7
    best = listed["game_2026-01-05T10-00-00"]
    assert (best["finished"], best["bits_per_byte"], best["steps"]) == (True, 1.25, 30)
    assert (best["dataset"], best["scored_bytes"], best["started"]) == ("game", 5_000, "2026-01-05T10:00:00")
    assert listed["renamed"]["started"] is None
    unfinished = listed["game_2026-01-09T10-00-00"]
    assert (unfinished["finished"], unfinished["protocol"]) == (False, None)
    assert (unfinished["bits_per_byte"], unfinished["steps"]) == (3.5, 20)
    assert listed["game_2026-01-10T10-00-00"]["bits_per_byte"] is None


def test_without_runs(call, workplace):
    code, output, _ = call("models")
    assert code == 0 and "`greylord train`" in output
    assert json.loads(call("models", "--json")[1]) == {"runs": []}


def test_what_differs_between_two_runs(several):
    one, other = (
        runs.read_run(Path("models", name)) for name in ("game_2026-01-05T10-00-00", "other_2026-01-08T10-00-00-2")
    )
    assert comparison.differences(one, one) == {}
    other.config["settings"]["learning_rate"] = 0.5
    other.config["plan"]["warmup"] = 3
    assert comparison.differences(one, other) == {
        "dataset": ("game", "other"),
        "data_hash": ("0" * 64, "1" * 64),
        "settings.learning_rate": (1e-3, 0.5),
        "plan.warmup": (None, 3),
    }


def test_two_runs_are_compared_in_a_table_and_a_picture(call, several, monkeypatch):
    drawn = []
    draw = plots.compared_curves
    monkeypatch.setattr(plots, "compared_curves", lambda *arguments: drawn.append(arguments) or draw(*arguments))
    code, output, errors = call(
        "models", "compare", "game_2026-01-05T10-00-00", "models/latest", "--output", "both.png"
    )
    assert (code, errors) == (0, "")
    rows = [line.split() for line in output.splitlines()]
    assert ["settings.learning_rate", "0.001", "0.002"] in rows
    assert not any(row[0].startswith(("data", "plan", "versions", "trained_on")) for row in rows if row)
    assert "1.250 bits per byte on 5,000 bytes of game" in output and "30 steps, 1 min 15 s" in output
    assert Path("both.png").read_bytes().startswith(b"\x89PNG")
    assert drawn == [
        (
            {
                "game_2026-01-05T10-00-00": ([640, 1280, 1920], [2.0, 1.5, 1.25]),
                "game_2026-01-06T10-00-00": ([640, 1280], [1.9, 1.125]),
            },
            "Bits per byte of two runs",
        )
    ]


@pytest.mark.parametrize(
    "other", ["game_2026-01-07T10-00-00", "other_2026-01-08T10-00-00-2", "game_2026-01-09T10-00-00"]
)
def test_a_warning_for_figures_that_do_not_compare(call, several, other):
    code, output, errors = call("models", "compare", "game_2026-01-05T10-00-00", other)
    assert code == 0 and "do not compare" in errors
    assert Path("analysis_comparison.png").exists()
    assert ("not finished" in output and "3.500" in output) == other.startswith("game_2026-01-09")


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ("models/latest game_2026-01-06T10-00-00", 2, "are the same run"),
        ("models/latest game_2026-01-10T10-00-00", 1, "has no evaluation yet"),
        ("models/latest foreign", 2, "is not a run of greylord"),
        ("models/latest nowhere", 2, "There is no model folder 'nowhere'"),
        ("models/latest renamed --output text", 2, "text"),
        ("models/latest damaged", 1, "training_history.json' is damaged"),
    ],
)
def test_runs_that_cannot_be_compared(call, several, arguments, code, reason):
    (make_run("damaged", [1.0]) / runs.HISTORY).write_text("[{")
    exit_code, output, errors = call("models", "compare", *arguments.split())
    assert (exit_code, output) == (code, "") and reason in errors
    assert errors.startswith("error: ") and errors.count("\n") == 1


def test_a_trained_run_is_read(trained, monkeypatch):
    monkeypatch.chdir(trained)
    ((run,), damaged) = runs.all_runs()
    assert not damaged
    assert run.bits_per_byte == min(each["bits_per_byte"] for each in run.evaluations) and run.steps == 40
    assert run.scored[0] == "tiny" and run.started.year >= 2025
    with pytest.raises(UsageError):
        runs.read_run(Path("data/tiny"))


def test_runs_of_any_workspace(several, tmp_path):
    (elsewhere := tmp_path / "elsewhere").mkdir()
    workspace = Workspace(elsewhere)
    assert runs.all_runs(workspace=workspace) == ([], [])
    run = runs.new_run("game", workspace=workspace)
    runs.mark_latest(run)
    assert run.parent == workspace.models
    assert model_folders.locate(Path(run.name), workspace=workspace) == run
    for latest in (workspace.models / "latest", Path("latest")):
        assert model_folders.locate(latest, workspace=workspace) == run
    assert model_folders.nearest_folder(Path(f"{run.name}x"), workspace=workspace) == run
    with pytest.raises(UsageError, match="renamed"):
        model_folders.locate(Path("renamed"), workspace=workspace)
    make_run("game_2026-01-11T10-00-00", [1.0]).rename(workspace.models / "moved")
    assert [found.folder.name for found in runs.all_runs(workspace=workspace)[0]] == ["moved"]


def test_help(tmp_path):
    result = greylord("models", "--help", cwd=tmp_path)
    assert result.returncode == 0 and "Example: greylord models" in result.stdout


WRONG = (None, True, "abc", "x[red]y[/]\x1b[31m\n", -1, 10**400, [], [1], {}, [[]], {"a": [1]})


def changed(folder: Path, file: str, field: str, *value: object) -> None:
    """Change a field of a JSON file, or delete it."""
    content = json.loads((folder / file).read_text())
    row = content[-1] if isinstance(content, list) else content
    row.pop(field)
    row.update(dict.fromkeys([field], *value) if value else {})
    (folder / file).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        (runs.SUMMARY, json_fields.SUMMARY_FIELDS),
        (runs.CONFIG_NAME, json_fields.CONFIG_FIELDS),
        (runs.HISTORY, json_fields.EVALUATION_FIELDS),
    ],
)
def test_a_run_with_any_fields_is_read_or_refused_in_one_sentence(call, workplace, file, fields, monkeypatch):
    monkeypatch.setattr(plots, "compared_curves", lambda curves, title: b"")
    monkeypatch.setattr(plots, "is_analysis", lambda path: True)
    make_run("good", [2.0])
    folder = make_run("bad", [3.0])
    whole = (folder / file).read_text()
    for field in fields:
        for value in ((WRONG[3],), ([1],), ()):
            (folder / file).write_text(whole)
            changed(folder, file, field, *value)
            for arguments in (["models"], ["models", "--json"], ["models", "compare", "bad", "good"]):
                code, out, err = call(*arguments)
                assert (out + err).replace("\n", "").isprintable() and len(err.splitlines()) <= 1
                assert "2.0" in out if "compare" not in arguments else not code or err.startswith("error: ")


def test_a_damaged_run_is_named_and_the_others_are_listed(call, workplace):
    make_run("good", [2.0])
    for content in ('{"steps": 1}', "{", "[]"):
        (make_run(f"bad{len(content)}", [3.0]) / runs.SUMMARY).write_text(content)
    code, out, err = call("models")
    assert code == 0 and " 2.000 " in out and "bad" not in out
    assert err.count("'models/bad") == 3
    code, _, err = call("models", "compare", "bad1", "good")
    assert code == 1 and err.startswith("error: 'models/bad1/training_summary.json' is damaged: ")


def test_invalid_entries_of_a_models_provenance_are_unknown(workplace):
    folder = make_run("x", [2.0])
    for value in (*WRONG, "x"):
        names = ("dataset_folder", "data_hash", "trained_on", "credentials")
        (folder / runs.CONFIG_NAME).write_text(json.dumps(dict.fromkeys(names, value)))
        provenance = runs.read_provenance(folder)
        assert provenance.credentials == "unknown" and all(isinstance(each, str) for each in provenance.trained_on)
        assert isinstance(provenance.dataset, Path | None) and isinstance(provenance.data_hash, str | None)


def test_a_run_with_a_damaged_config_is_not_resumed(trained, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    config = json.loads((next((trained / "models").glob("tiny_*")) / runs.CONFIG_NAME).read_text())
    wrong = [(field, value) for field in run_folder._FROZEN_FIELDS for value in (None, [1], -1)]
    wrong += [("continued_from", 5), ("settings", {"nonsense": 1}), ("settings", {"epochs": "x"})]
    wrong += [
        ("plan", {**config["plan"], name: value}) for name in config["plan"] for value in (None, "x", -1, 10**400)
    ]
    wrong += [("plan", {**config["plan"], "max_steps": 0}), ("plan", {**config["plan"], "more": 1})]
    for field, value in wrong:
        (run / runs.CONFIG_NAME).write_text(json.dumps({**config, field: value}))
        with pytest.raises(GreylordError, match=r"training_config\.json' is damaged: "):
            run_folder.resumed(run)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_budget", 5), ("time_budget", "9" * 30 + "h"), ("seed", -1), ("seed", 2**32), ("seed", True),
        ("epochs", True), ("epochs", 10**30), ("max_steps", 10**30), ("val_split", True), ("learning_rate", True),
        ("context_window", True), ("patience", 10**30),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused(name, value):
    with pytest.raises(UsageError):
        TrainingConfig(**{name: value})


def test_fields_of_another_type_are_refused(tmp_path):
    for kind, sound in ((int, (0, 5)), (float, (0, 2.5, math.nan)), (str, ("",)), (bool, (False,)), (dict, ({},))):
        for value in (*WRONG, *sound):
            if value in sound or (type(value) is kind and value != -1 and value != 10**400):
                json_fields.check_fields(tmp_path, {"x": value}, {"x": kind})
            else:
                with pytest.raises(GreylordError, match="is damaged: x must be") as refused:
                    json_fields.check_fields(tmp_path, {"x": value}, {"x": kind})
                assert len(str(refused.value)) < 300


def test_a_diverged_run_is_compared_by_its_finite_figures(call, workplace):
    make_run("good", [2.0])
    for name, figures, code in (("diverged", [3.0, math.nan], 0), ("never", [math.inf], 1)):
        make_run(name, [3.0])
        (Path("models", name) / runs.HISTORY).write_text(json.dumps(history(figures)))
        assert call("models", "compare", "good", name)[0] == code
