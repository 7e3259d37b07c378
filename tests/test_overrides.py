"""Overrides: fields of TrainingArguments that a run may set.

No override may break a promise of a run.
"""

import importlib.util
import json
import shutil
import signal
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from greylord import modeling, plots, runs
from greylord.analysis import training as analysis
from greylord.cli import advice, launch
from greylord.corpus.windows import Rows, sample_spans
from greylord.errors import GreylordError, OverrideError, TrainingError, UsageError
from greylord.evaluation import bits_per_byte
from greylord.training import probe
from greylord.training import train as training
from greylord.training.callbacks import Evaluation, GracefulStop, StopOnNaN, no_weights_error
from greylord.training.config import Job, TrainingConfig
from greylord.training.hardware import Device, choose_device
from greylord.training.hf_trainer import describe_plan, make_trainer, training_arguments
from greylord.training.overrides import FIELDS, format_assignment, parse_assignments, parse_values
from greylord.training.plan import Pace, Plan
from greylord.training.run_folder import load_best, resumed

NAMES = [field.name for field in fields(TrainingArguments)]
TINY = TrainingConfig(context_window=32, batch_size=2, max_steps=4)
PLAN = Plan(32, 32, 2, 1, 1, 50.0, max_steps=400, short_steps=0, warmup_steps=20, eval_steps=100)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Use one thread.

    For models this small, more threads would wait longer than they compute.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def reserved() -> list[str]:
    return [name for name in NAMES if FIELDS[name].kind == "reserved"]


def test_each_field_of_the_installed_version_has_a_rule():
    assert [name for name in NAMES if name not in FIELDS] == []
    for name, rule in FIELDS.items():
        assert rule.kind in ("free", "reserved", "checked"), name
        assert (rule.why or rule.setting) and not rule.why.endswith("."), name


def test_a_reserved_field_is_refused_wherever_it_is_set_and_whatever_its_value(monkeypatch):
    def construct(*_: object, **__: object) -> None:
        raise AssertionError("it was constructed")

    monkeypatch.setattr(TrainingArguments, "__post_init__", construct)
    assert {"load_best_model_at_end", "eval_delay", "greater_is_better", "push_to_hub", "hub_token"} <= set(reserved())
    for name in reserved():
        for value in ("true", "5", "secret", ""):
            with pytest.raises(UsageError, match=f"^--set {name} is not allowed[:;.]") as refused:
                parse_assignments([f"{name}={value}"], "--set ")
            assert "secret" not in str(refused.value)
        with pytest.raises(UsageError, match=f"^'config.json': {name} is not allowed[:;.]"):
            parse_values({name: ["secret"]}, "'config.json': ")
        with pytest.raises(UsageError, match=f"^{name} is not allowed[:;.]"):
            probe.try_overrides(Job(Path("data"), TINY, {name: 1}, cpu=True))


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("report_to=all", "report_to must be none: figures stay on this machine"),
        ("optim=galore_adamw_layerwise", "optim must be one whose state a checkpoint holds"),
        ("lr_scheduler_type=reduce_lr_on_plateau", "lr_scheduler_type must be one that depends on nothing but the"),
        ("lr_scheduler_type=nonsense", "lr_scheduler_type does not take 'nonsense'. It takes linear, cosine"),
        ("lr_scheduler_type=cosin", "lr_scheduler_type does not take 'cosin'. Did you mean 'cosine'?"),
        ("eval_steps=0", "eval_steps must be a whole number of steps, or their share of all steps below 1; it is 0.0"),
        ("eval_steps=nan", "eval_steps must be"),
        ("eval_steps=1.5", "eval_steps must be"),
        ("logging_steps=-1", "logging_steps must be"),
        ("save_total_limit=1", "save_total_limit must be a whole number of at least 2"),
        ("learning_rate=inf", "learning_rate must be a number above 0 and at most 1"),
        ("label_smoothing_factor=1", "label_smoothing_factor must be a number of at least 0 and below 1"),
        ("neftune_noise_alpha=-5", "neftune_noise_alpha must be a number of at least 0"),
        ("adam_beta1=", "adam_beta1 does not take '': invalid float value"),
        ("bf16=\x1b[31m", r"bf16 does not take '\x1b[31m'"),
        ("adam-beta1=0.9", "'adam-beta1' is not a field of TrainingArguments. Did you mean 'adam_beta1'?"),
    ],
)
def test_a_value_that_a_field_does_not_take_is_one_sentence(assignment, sentence):
    with pytest.raises(UsageError) as refused:
        parse_assignments([assignment], "--set ")
    assert str(refused.value).startswith(f"--set {sentence}")
    assert str(refused.value).isprintable()


def test_the_last_of_two_values_of_a_field_counts():
    assert parse_assignments(["adam_beta1=0.8", "bf16=false", "adam_beta1=0.7"]) == {"adam_beta1": 0.7, "bf16": False}
    with pytest.raises(UsageError, match="invalid float value"):
        parse_assignments(["adam_beta1=abc", "adam_beta1=0.7"])


@pytest.mark.parametrize(
    ("values", "parsed"),
    [
        ({"adam_beta1": "0.9", "bf16": "no", "eval_steps": 20}, {"adam_beta1": 0.9, "bf16": False, "eval_steps": 20.0}),
        ({"lr_scheduler_kwargs": {"min_lr": 1e-5}}, {"lr_scheduler_kwargs": {"min_lr": 1e-5}}),
        ({"optim_target_modules": ["attn"], "report_to": ["none"]}, None),
        ({"adam_beta1": "abc"}, "adam_beta1 does not take 'abc': invalid float value"),
        ({"adam_beta1": [0.9]}, "adam_beta1 takes one value, not [0.9]"),
        ({"adam_beta1": {"a": 1}}, "adam_beta1 takes one value, not {'a': 1}"),
        ({"adam_beta1": None}, "adam_beta1 has no value"),
        ({"adam_beta1": True}, "adam_beta1 does not take True"),
        ({"nonsense": 1}, "'nonsense' is not a field of TrainingArguments"),
        ({"max_steps": 1}, "max_steps is not allowed; use the setting max_steps."),
    ],
)
def test_values_of_a_settings_file_are_parsed_like_assignments(values, parsed):
    if isinstance(parsed, str):
        with pytest.raises(UsageError) as refused:
            parse_values(values, "'c.json': ")
        assert str(refused.value).startswith(f"'c.json': {parsed}")
    else:
        assert parse_values(values, "") == (values if parsed is None else parsed)


def test_the_error_for_a_reserved_field_carries_the_setting_to_use():
    for name, setting in {"num_train_epochs": "epochs", "use_cpu": "cpu", "output_dir": None}.items():
        with pytest.raises(OverrideError) as refused:
            parse_assignments([f"{name}=1"])
        assert refused.value.setting == setting
        sentence = advice.sentence(refused.value)
        assert sentence.endswith(f"; use --{setting}." if setting else f"{FIELDS[name].why}.")


def test_a_reserved_field_that_the_installed_version_lacks_has_its_reason(monkeypatch):
    assert FIELDS["warmup_ratio"].kind == "reserved"
    monkeypatch.setattr("greylord.training.overrides.fields", lambda _: [])
    with pytest.raises(OverrideError, match=r"^warmup_ratio is not allowed: use warmup_steps"):
        parse_assignments(["warmup_ratio=0.1"])
    # A field without a reason is refused for what it is.
    with pytest.raises(OverrideError, match=r"^'adam_beta1' is not a field"):
        parse_assignments(["adam_beta1=0.9"])


def test_a_formatted_value_is_parsed_again():
    values = {"bf16": False, "adam_beta1": 0.1 + 0.2, "optim": "sgd", "lr_scheduler_kwargs": {"min_lr": 1e-5}}
    parsed = parse_assignments([format_assignment(name, value) for name, value in values.items()])
    assert parsed == {**values, "lr_scheduler_kwargs": '{"min_lr": 1e-05}'}


def test_a_field_that_is_newer_than_the_table_is_free_but_tried(monkeypatch, tmp_path):
    monkeypatch.delitem(FIELDS, "deepspeed")
    (tmp_path / "empty.json").write_text("{}")
    overrides = parse_assignments([f"deepspeed={tmp_path / 'empty.json'}"])
    with pytest.raises(UsageError, match="The Trainer does not work with deepspeed="):
        probe.try_overrides(Job(Path("data"), TINY, overrides, cpu=True))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=100)
@example("save_total_limit", "9" * 400)
@example("bf16", "")
@example("optim", "\udcff")
@example("lr_scheduler_kwargs", "{")
@given(st.sampled_from(NAMES) | st.text(max_size=8), st.text(max_size=12) | JSON)
def test_any_text_is_parsed_or_refused_in_one_sentence(name, value):
    for parse in (lambda: parse_assignments([f"{name}={value}"]), lambda: parse_values({name: value}, "'c.json': ")):
        try:
            parse()
        except UsageError as refused:
            assert str(refused).isprintable() and str(refused).endswith((".", "?"))


@pytest.fixture
def game(workplace) -> Path:
    """A working directory with a dataset of one recording."""
    (workplace / "data" / "game").mkdir(parents=True)
    (workplace / "data" / "game" / "a.log").write_bytes(
        b"<|server|>2 \xe8\xfa\x7f<|delay#0.1|>Obvious exits: north\r\n"
    )
    return workplace


REFUSED = {
    "optim=galore_adamw": "",
    "optim=adafactor --set optim_args=abc": "",
    "lr_scheduler_kwargs={nonsense": "Expecting property name",
    'lr_scheduler_kwargs={"nonsense":1}': "unexpected keyword argument 'nonsense'",
    "lr_scheduler_type=warmup_stable_decay": "num_decay_steps",
    "torch_empty_cache_steps=0": "must be an integer bigger than 0",
    "adam_beta1=1": "Invalid beta parameter",
    "fp16=true --set bf16=true": "At most one of fp16 and bf16",
}
if not importlib.util.find_spec("bitsandbytes"):
    REFUSED["optim=adamw_bnb_8bit"] = "install `bitsandbytes`"
if not torch.cuda.is_available():
    REFUSED["tf32=true"] = "requires Ampere"


@pytest.mark.parametrize("assignments", REFUSED)
def test_a_value_that_the_trainer_refuses_is_one_sentence_before_the_run(called, game, assignments):
    result = called("train", "--cpu", *f"--set {assignments}".split())
    assert (result.returncode, result.stdout) == (2, "")
    line, *more = result.stderr.splitlines()
    first, _, value = assignments.partition(" --set ")[0].partition("=")
    assert not more and line.startswith("error: The Trainer does not work with ")
    assert f"{first}=" in line and value.split(".")[0] in line and REFUSED[assignments] in line
    assert {path.name for path in game.iterdir()} == {"data"}


def test_overrides_are_refused_before_processes_are_launched(called, game, monkeypatch):
    monkeypatch.setattr(launch, "launch", lambda *_: pytest.fail("processes were launched"))
    for assignment in ("lr_scheduler_type=warmup_stable_decay", "eval_delay=9"):
        result = called("train", "--cpu", "--num-processes", 2, "--set", assignment)
        assert result.returncode == 2 and assignment.partition("=")[0] in result.stderr


def test_a_config_with_a_wrong_override_is_named(called, game):
    Path("config.json").write_text(json.dumps({"set": {"greater_is_better": True}}))
    result = called("train", "--cpu")
    assert result.returncode == 2
    assert result.stderr.startswith("error: 'config.json': greater_is_better is not allowed: ")


def test_a_run_without_overrides_is_not_tried(monkeypatch):
    monkeypatch.setattr(probe, "make_trainer", lambda *_, **__: pytest.fail("a trial was made"))
    probe.try_overrides(Job(Path("data"), TINY, {}, cpu=True))


def test_a_full_memory_or_disk_is_not_blamed_on_overrides(monkeypatch):
    for error in (torch.OutOfMemoryError("CUDA out of memory."), OSError(28, "No space left on device")):
        with monkeypatch.context() as patched:
            patched.setattr(probe, "make_trainer", Mock(side_effect=error))
            probe.try_overrides(Job(Path("data"), TINY, {"bf16": False}, cpu=True))


def train(overrides: dict, config: TrainingConfig = TINY, live: type = TrainerCallback) -> training.TrainedRun:
    return training.train(Job(Path("data/tiny"), config, overrides, cpu=True), live=lambda plan, density: live())


@pytest.fixture
def in_realm(trained, monkeypatch):
    """Use a working directory with the dataset tiny.

    The pace is not measured, and new runs are removed.
    """
    monkeypatch.chdir(trained)
    monkeypatch.setattr(training, "measure_pace", lambda *_: Pace(0.1, 0.1, 0.1, 0.1))
    before, latest = set(Path("models").iterdir()), Path("models/latest").read_text()
    yield trained
    Path("models/latest").write_text(latest)
    for folder in set(Path("models").iterdir()) - before:
        shutil.rmtree(folder)


def test_trying_overrides_changes_nothing_in_the_run(in_realm):
    plain, tried = (
        load_file(train(overrides).folder / "model.safetensors") for overrides in ({}, {"log_level": "error"})
    )
    assert all(torch.equal(weight, tried[name]) for name, weight in plain.items())


def test_a_run_of_an_older_version_with_a_reserved_field_is_not_resumed(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(next((trained / "models").glob("tiny_*")), run)
    (run / runs.SUMMARY).unlink()
    config = json.loads((run / runs.CONFIG_NAME).read_text())

    def begun_with(**overrides: object) -> Job:
        (run / runs.CONFIG_NAME).write_text(json.dumps({**config, "training_arguments": overrides}))
        return resumed(run)

    assert begun_with(adam_beta1="0.8").overrides == {"adam_beta1": 0.8}
    with pytest.raises(UsageError, match=r"training_config\.json': load_best_model_at_end is not allowed: "):
        begun_with(load_best_model_at_end=False)


def evaluation(step: int, figure: float) -> Evaluation:
    return Evaluation(step, 0.0, 0, 0.0, 1.0, figure, 0.1)


def test_the_weights_of_the_best_complete_checkpoint_are_loaded_with_their_figure(tmp_path):
    model, shape = modeling.new_model(16, modeling.Shape(1, 8, 1)), modeling.Shape(1, 8, 1)
    saved = {step: modeling.new_model(16, shape) for step in (10, 20, 30, 40)}
    for step, other in saved.items():
        other.save_pretrained(tmp_path / f"checkpoint-{step}")
        # The best checkpoint is incomplete.
        if step != 40:
            (tmp_path / f"checkpoint-{step}" / runs.COMPLETE).touch()
    history = [evaluation(10, 0.5), evaluation(20, 0.3), evaluation(30, 0.3), evaluation(40, 0.1)]
    history += [evaluation(50, 0.05), evaluation(60, float("nan"))]
    assert load_best(model, tmp_path, history) == history[1]
    assert torch.equal(model.transformer.wte.weight, saved[20].transformer.wte.weight)
    shutil.rmtree(tmp_path / "checkpoint-20")
    assert load_best(model, tmp_path, history) == history[2]
    assert torch.equal(model.transformer.wte.weight, saved[30].transformer.wte.weight)
    assert load_best(model, tmp_path / "elsewhere", history) is None


def test_a_run_interrupted_before_a_checkpoint_has_the_figure_of_its_weights(in_realm, monkeypatch):
    save = Trainer._save_checkpoint

    def interrupted(self: Trainer, *args: object) -> None:
        if self.state.global_step == 4:
            raise KeyboardInterrupt
        save(self, *args)

    monkeypatch.setattr(Trainer, "_save_checkpoint", interrupted)
    trained_run = train({"eval_steps": 2, "bf16": False}, replace(TINY, max_steps=6))
    first, second = trained_run.evaluations
    assert second.bits_per_byte < first.bits_per_byte
    assert (trained_run.summary.best_step, trained_run.summary.best_bits_per_byte) == (2, first.bits_per_byte)
    rows = Rows(Path("corpora/tiny"), "validation")
    figure = bits_per_byte.score_spans(
        modeling.load_model(trained_run.folder), rows, sample_spans(rows), 32
    ).bits_per_byte
    assert figure == pytest.approx(trained_run.summary.best_bits_per_byte, rel=1e-5)


def test_each_reason_for_a_run_without_weights_has_its_error():
    nan, stop = StopOnNaN(), GracefulStop()
    arguments = SimpleNamespace(learning_rate=0.03, output_dir="models/x/checkpoints")

    def error(evaluations=(), resumed=None) -> TrainingError:
        return no_weights_error(nan, stop, evaluations, arguments, resumed)

    assert "no evaluation" in str(error()) and "eval_steps" in str(error())
    assert "checkpoints of 1 evaluation are missing from 'models/x/checkpoints'" in str(error([evaluation(2, 0.5)]))
    stop.stopped_at = 3
    assert str(error()).startswith("Interrupted before the first evaluation") and error().resumable is None
    assert error(resumed=Path("models/x")).resumable == Path("models/x")
    assert "--resume models/x" in advice.sentence(error(resumed=Path("models/x")))
    nan.diverged_at = 1
    assert "NaN or infinite at step 1, " in str(error()) and "learning_rate than 0.03" in str(error())
    assert "--learning-rate than 0.03" in advice.sentence(error())


def test_a_run_whose_checkpoints_are_missing_says_so(in_realm):
    class Remove(TrainerCallback):
        def on_train_end(self, args: TrainingArguments, *_: object, **__: object) -> None:
            for folder in Path(args.output_dir).iterdir():
                shutil.rmtree(folder)

    with pytest.raises(GreylordError, match="checkpoints of 1 evaluation are missing"):
        train({}, live=Remove)


def test_processes_agree_on_stopping_even_if_the_loss_is_rarely_logged(monkeypatch):
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda vote: None)
    interruption = GracefulStop(deadline=0.0)
    arguments = SimpleNamespace(world_size=2, device="cpu")
    control = TrainerControl()
    for step in range(1, 6):
        state = TrainerState(global_step=step, logging_steps=10**9, eval_steps=100)
        interruption.on_step_end(arguments, state, control)
    assert interruption.stopped_at == 5 and control.should_training_stop


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({}, "warms up to 0.006 over 20 steps, then decays to 0"),
        ({"learning_rate": 1e-3, "warmup_steps": 0.5}, "warms up to 0.001 over 200 steps, then decays to 0"),
        ({"lr_scheduler_type": "constant"}, "constant at 0.006"),
        ({"lr_scheduler_type": "cosine", "warmup_steps": 1}, "warms up to 0.006 over 1 step, then follows cosine"),
    ],
)
def test_the_printed_learning_rate_is_the_one_in_use(tmp_path, overrides, words):
    arguments = training_arguments(TrainingConfig(), PLAN, Device("cpu", False, ""), tmp_path, overrides)
    lines = dict(describe_plan(PLAN, arguments))
    assert lines["lr"] == words
    assert list(lines) == ["steps", "lr", "evaluate"] and lines["evaluate"] == "4 times, every 100 steps"


def test_each_decision_of_a_plan_has_a_line(tmp_path):
    plan = replace(PLAN, short_length=16, short_steps=200, candidates=2, steps_per_epoch=500.0, eval_steps=400)
    overrides = {"label_smoothing_factor": 0.1}
    arguments = training_arguments(TrainingConfig(), plan, Device("cpu", False, ""), tmp_path, overrides)
    lines = dict(describe_plan(plan, arguments))
    assert list(lines) == ["steps", "windows", "sampling", "lr", "loss", "evaluate"]
    assert "400 optimizer steps of 2 windows of 32 tokens (0.8 epochs)" in lines["steps"]
    assert "first 200 steps" in lines["windows"] and "16 tokens" in lines["windows"]
    assert lines["evaluate"].startswith("once")


def test_the_trainer_follows_the_schedule_of_the_plan(tmp_path):
    arguments = training_arguments(TrainingConfig(), PLAN, Device("cpu", False, ""), tmp_path, {})
    model = modeling.new_model(16, modeling.Shape(1, 8, 1))
    trainer = make_trainer(model, arguments, [], [], None, [], compiled=False)
    trainer.create_optimizer_and_scheduler(PLAN.max_steps)
    factor = trainer.lr_scheduler.lr_lambdas[0]
    for step in range(PLAN.max_steps + 1):
        assert factor(step) == pytest.approx(step / 20 if step < 20 else (400 - step) / 380)


def test_float16_is_named_as_the_precision():
    device = choose_device(cpu=True, fp16=True)
    assert not device.bf16 and device.reason.endswith("float16 (as set)")


def test_label_smoothing_is_named_wherever_the_training_loss_is_shown(in_realm, monkeypatch):
    from greylord.cli.live import Live

    lines, drawn, progress = {}, {}, []
    draw, text = plots.training_curves, Live._text
    monkeypatch.setattr(plots, "training_curves", lambda **what: drawn.update(what) or draw(**what))
    monkeypatch.setattr(Live, "_text", lambda self, state: progress.append(text(self, state)) or progress[-1])
    job = Job(Path("data/tiny"), TINY, {"label_smoothing_factor": 0.25}, cpu=True)

    def say(label: str, text: str, detail: bool = False) -> None:
        lines[label] = text

    run = training.train(job, say, live=Live).folder
    assert "label smoothing 0.25" in lines["loss"]
    assert drawn["label_smoothing"] == 0.25 and "(label smoothing)" in progress[-1]
    assert [row["label_smoothing"] for row in json.loads((run / runs.HISTORY).read_text())] == [0.25]
    course = analysis.analyze(run).course
    assert course.training_unit == "bits per token with label smoothing 0.25"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_smoothed_training_loss_is_not_compared_with_validation(tmp_path, smoothing):
    # Training ends far above validation, which has stopped improving.
    rows = [
        {"step": step, "bits_per_byte": 0.5 - step * 1e-6, "train_bits_per_token": 1.5, "label_smoothing": smoothing}
        for step in range(10, 110, 10)
    ]
    (tmp_path / "history.json").write_text(json.dumps(rows))
    (advice,) = analysis.analyze(tmp_path / "history.json").advice
    assert ("training is above validation" in advice) is (not smoothing)
    assert ("with label smoothing, training and validation do not compare" in advice) is bool(smoothing)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_run_that_is_ended_before_its_first_step_leaves_nothing(called, in_realm, monkeypatch, name):
    number = getattr(signal, name)
    before = set(Path("models").iterdir())
    made = []

    def ended(*_: object) -> None:
        made.extend(set(Path("models").iterdir()) - before)
        signal.raise_signal(number)

    monkeypatch.setattr(training, "measure_pace", ended)
    # The tests may run under nohup, which ignores it.
    inherited = signal.signal(number, signal.SIG_DFL)
    try:
        result = called("train", "--dataset", "tiny", "--cpu", "--context-window", 16, "--max-steps", 1)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, inherited)
    assert result.returncode == 128 + number
    assert len(made) == 1 and set(Path("models").iterdir()) == before
