"""Training: the command, the run's folder, resuming, and initial weights."""

import ast
import contextlib
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import LAUNCHER, LONG, PROJECT, greylord
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from greylord import model_folders, modeling, runs
from greylord.corpus.windows import Rows, ScoringWindows, TrainingWindows, sample_spans, whole_rows
from greylord.errors import GreylordError, SettingError
from greylord.evaluation import bits_per_byte
from greylord.evaluation.unseen import read_unseen
from greylord.signals import ending_signals
from greylord.training import callbacks, probe
from greylord.training import train as training
from greylord.training.callbacks import GracefulStop, LogAtEvaluation
from greylord.training.config import Job, TrainingConfig
from greylord.training.hardware import choose_compilation, choose_device
from greylord.training.hf_trainer import make_trainer, training_arguments
from greylord.training.plan import Pace, Plan
from greylord.training.probe import measure_pace
from greylord.training.run_folder import resumed
from greylord.training.sampling import Order

FILES = {
    "README.md", "config.json", "drafts.json", "generation_config.json", "int_to_vocab.json", "model.safetensors",
    "tokenizer.json", "tokenizer_config.json", "training_config.json", "training_curves.png", "training_history.json",
    "training_summary.json", "vocab_to_int.json",
}  # fmt: skip
SMALL = ("--context-window", 64, "--batch-size", 4, "--max-steps", 60, "--seed", 3, "--cpu", "--set", "eval_steps=20")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Compute with one thread, like the processes that the tests start.

    More threads round differently.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def realm(tmp_path_factory) -> Path:
    """A working directory with a small dataset."""
    folder = tmp_path_factory.mktemp("realm")
    result = greylord("data", "sample", "tiny", "--recordings", 5, "--minutes", 0.5, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def run(realm) -> Path:
    """The folder of a finished run."""
    result = greylord("train", *SMALL, cwd=realm)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    folder = realm / result.stdout.splitlines()[-1]
    (realm / "transcript").write_text(result.stdout)
    return folder


def read(path: Path):
    return json.loads(path.read_text())


def test_the_folder_is_complete(run):
    assert {path.name for path in run.iterdir()} == FILES
    assert model_folders.locate(run.parent / "latest") == run
    assert {path.name for path in run.parent.iterdir()} == {run.name, "latest"}
    assert (run / "training_curves.png").read_bytes().startswith(b"\x89PNG")
    config, generation = read(run / "config.json"), read(run / "generation_config.json")
    for ids in (config, generation):
        assert [ids[f"{name}_token_id"] for name in ("bos", "eos", "pad")] == [256] * 3
    assert config["vocab_size"] == 262
    assert config["n_positions"] == read(run / "tokenizer_config.json")["model_max_length"] == 64
    assert "$" not in (run / "README.md").read_text()


def test_the_printed_table_agrees_with_the_summary(realm, run):
    transcript, summary = (realm / "transcript").read_text(), read(run / "training_summary.json")
    for name, figure in {**summary["baselines"], "this model": summary["best_bits_per_byte"]}.items():
        line = next(line for line in transcript.splitlines() if line.strip().startswith(name))
        assert f"{figure:.3f}" in line
    assert f"{summary['scored_bytes']:,} bytes" in transcript
    labels = [line.split()[0] for line in transcript.splitlines() if line.strip()]
    announced = ["corpus", "model", "device", "steps", "sampling", "lr", "evaluate", "time"]
    assert [label for label in labels if label in announced] == announced
    assert not {"malloc", "kernel", "compile"} & set(labels)
    assert re.search(r"^ +steps  60 .* 4 windows of 64 tokens", transcript, re.MULTILINE)
    assert re.search(r"^ +lr  .*0\.006 over 3 steps", transcript, re.MULTILINE)
    assert re.search(r"^ +time  about \d+ s ", transcript, re.MULTILINE)


def test_history_and_summary_agree(run):
    history, summary = read(run / "training_history.json"), read(run / "training_summary.json")
    best = min(history, key=lambda evaluation: evaluation["bits_per_byte"])
    assert (best["step"], best["bits_per_byte"]) == (summary["best_step"], summary["best_bits_per_byte"])
    assert history[-1]["step"] == summary["steps"] == 60
    assert history[-1]["tokens"] == summary["tokens"] == 60 * 4 * 64
    assert history[0]["train_bits_per_token"] > history[-1]["train_bits_per_token"]
    assert summary["best_bits_per_byte"] < 8


def rounding(run: Path) -> float:
    """Return the relative tolerance between a run's figure and one in float32."""
    return 1e-4 if read(run / "training_config.json")["device"]["bf16"] else 1e-5


def test_the_reported_figure_is_a_plain_cross_entropy_of_the_saved_model(realm, run):
    rows = Rows(realm / "corpora" / "tiny", "validation")
    model = modeling.load_model(run).eval()
    nats, payload = 0.0, 0
    for span in sample_spans(rows):
        ids = torch.tensor(rows[span.row].astype("int64"))
        position = span.begin
        while position < span.end:
            begin = max(0, position - 32)
            end = min(begin + 64, span.end)
            with torch.no_grad():
                logits = model(input_ids=ids[None, begin:end]).logits[0]
            targets = ids[position:end]
            nats += float(
                torch.nn.functional.cross_entropy(logits[position - begin - 1 : -1], targets, reduction="sum")
            )
            payload += int((targets < 256).sum())
            position = end
    summary = read(run / "training_summary.json")
    assert payload == summary["scored_bytes"]
    assert summary["best_bits_per_byte"] == pytest.approx(nats / math.log(2) / payload, rel=rounding(run))


FOREIGN = """
import sys
sys.modules["greylord"] = None
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
prompt = tokenizer("<|pad|><|server|><|delay_short|>", return_tensors="pt")
assert prompt["input_ids"].tolist() == [[256, 258, 259]]
output = model.generate(**prompt, max_new_tokens=30, min_new_tokens=30, do_sample=True)
assert output.shape == (1, 33) and int(output.max()) < 262
print(ascii(tokenizer.decode(output[0])))
"""


def test_the_folder_is_enough_where_greylord_is_not_installed(run, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", FOREIGN, run], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert ast.literal_eval(result.stdout).startswith("<|pad|><|server|><|delay_short|>")


def test_the_same_call_trains_the_same_model(called, realm, run, monkeypatch):
    monkeypatch.chdir(realm)
    result = called("train", *SMALL)
    again = realm / result.stdout.splitlines()[-1]
    assert again != run
    assert (again / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    keys = ("step", "bits_per_byte", "train_bits_per_token", "learning_rate")
    assert [[e[key] for key in keys] for e in read(again / "training_history.json")] == [
        [e[key] for key in keys] for e in read(run / "training_history.json")
    ]
    shutil.rmtree(again)


def test_two_processes_train_the_model_of_one(called, realm, monkeypatch):
    monkeypatch.chdir(realm)
    # A smooth activation: at a ReLU's kink the last bit, in which sums in another order differ, decides a gradient.
    torch.manual_seed(3)
    smooth = modeling.new_model(64)
    smooth.config.activation_function = "gelu_pytorch_tanh"
    smooth.save_pretrained(realm / "smooth")
    # bfloat16 would round such sums differently too.
    line = ("--dataset", "tiny", "--model-path", "smooth", *map(str, SMALL), "--set", "bf16=false")
    one = realm / called("train", *line).stdout.splitlines()[-1]
    result = subprocess.run(
        [*LAUNCHER, "--nproc-per-node=2", PROJECT / "scripts" / "train.py", *line],
        cwd=realm,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr[-2_000:]
    both = realm / result.stdout.splitlines()[-1]
    config = read(both / "training_config.json")
    assert config["plan"]["processes"] == 2
    assert not config["device"]["bf16"] and "float32" in config["device"]["reason"]
    curves = [read(folder / "training_history.json") for folder in (one, both)]
    assert [e["step"] for e in curves[0]] == [e["step"] for e in curves[1]]
    for key in ("bits_per_byte", "train_bits_per_token"):
        assert [e[key] for e in curves[1]] == pytest.approx([e[key] for e in curves[0]], rel=1e-5)
    for folder in (one, both):
        shutil.rmtree(folder)


def test_training_continues_from_a_model_with_a_longer_context(called, realm, run, monkeypatch):
    monkeypatch.chdir(realm)
    result = called(
        "train", "--model-path", run, "--context-window", 96, "--batch-size", 4, "--max-steps", 5, "--cpu"
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "position table extended from 64 to 96" in result.stdout
    longer = realm / result.stdout.splitlines()[-1]
    assert read(longer / "config.json")["n_positions"] == 96
    assert read(longer / "training_summary.json")["continued_from"] == str(run)
    before, after = (read(folder / "training_summary.json")["best_bits_per_byte"] for folder in (run, longer))
    assert after < before + 1
    shutil.rmtree(longer)


def test_a_longer_position_table_keeps_the_old_positions():
    short = modeling.new_model(16)
    old = short.transformer.wpe.weight.clone()
    longer = modeling.extend_context(short, 40)
    assert longer.config.n_positions == 40 and torch.equal(longer.transformer.wpe.weight[:16], old)
    assert torch.equal(longer.transformer.wpe.weight[16:], modeling.new_model(40).transformer.wpe.weight[16:])
    assert modeling.extend_context(longer, 20) is longer and longer.config.n_positions == 40
    longer(input_ids=torch.zeros(1, 40, dtype=torch.long))


def test_the_position_table_begins_with_sinusoids():
    width = modeling.PRESETS["default"].width
    table = modeling.new_model(300).transformer.wpe.weight.detach()
    for position, column in ((0, 0), (1, 0), (1, 1), (7, 40), (299, 126), (299, 127)):
        angle = position / 10_000 ** (column // 2 * 2 / width)
        expected = 0.1 * (math.cos(angle) if column % 2 else math.sin(angle))
        assert float(table[position, column]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", modeling.PRESETS)
def test_the_first_block_begins_by_copying_tokens_and_not_positions(name):
    shape = modeling.PRESETS[name]
    torch.manual_seed(0)
    model = modeling.new_model(64, shape).eval()
    embedding, block = model.transformer, model.transformer.h[0]
    # The input of the first block for 40 tokens at 64 positions each, [40, 64, width].
    here = embedding.wte.weight[:40, None] + embedding.wpe.weight[None]
    with torch.no_grad():
        values = (block.ln_1(here) @ block.attn.c_attn.weight[:, 2 * shape.width :]).double()
        size = shape.width // shape.heads
        for head in range(shape.heads):
            heads = slice(head * size, (head + 1) * size)
            copied = values[..., heads] @ block.attn.c_proj.weight[heads].double()
            by_position, by_token = copied.var(dim=1).sum(-1).mean(), copied.var(dim=0).sum(-1).mean()
            assert by_position < by_token / 100


@pytest.mark.parametrize("name", modeling.PRESETS)
def test_the_first_block_begins_by_looking_back(name):
    shape = modeling.PRESETS[name]
    torch.manual_seed(0)
    model = modeling.new_model(64, shape).eval()
    model.set_attn_implementation("eager")
    ids = torch.randint(0, 256, (1, 64))
    with torch.no_grad():
        attention = model(ids, output_attentions=True).attentions[0][0]
    size = shape.width // shape.heads
    table = model.transformer.h[0].ln_1(model.transformer.wte(ids) + model.transformer.wpe.weight)[0].detach().numpy()
    for head in range(shape.heads):
        # The head looks at its token or at a neighbour of it.
        far = [int(attention[head, position].argmax()) - (position - head - 1) for position in range(head + 2, 64)]
        assert np.abs(far).max() <= 1
        scores = []
        for other in range(60):
            dot = 0.0
            for pair in range(size // 2):
                frequency = 10_000 ** (-2 * pair / shape.width)
                sine, cosine = 4 * table[other, 2 * pair : 2 * pair + 2]
                angle = frequency * (head + 1)
                key = (
                    sine * math.cos(angle) + cosine * math.sin(angle),
                    cosine * math.cos(angle) - sine * math.sin(angle),
                )
                dot += table[59, 2 * pair] * key[0] + table[59, 2 * pair + 1] * key[1]
            scores.append(dot / math.sqrt(size))
        expected = np.exp(np.array(scores) - max(scores))
        assert np.allclose(attention[head, 59, :60], expected / expected.sum(), atol=1e-4)


def stopped(realm: Path, number: signal.Signals, seconds: float, *arguments: object) -> Path:
    """Start a run and send it a signal some seconds after it has printed its plan.

    Returns its folder.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "greylord", "train", *map(str, arguments)],
        cwd=realm, env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert any(line.strip().startswith("time") for line in iter(process.stdout.readline, ""))
    time.sleep(seconds)
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    folder = realm / output.splitlines()[-1]
    assert {path.name for path in folder.iterdir()} == FILES
    summary = read(folder / "training_summary.json")
    assert summary["ended"] == f"stopped by hand at step {summary['steps']:,}"
    assert summary["steps"] < read(folder / "training_config.json")["plan"]["max_steps"]
    return folder


def test_ctrl_c_keeps_the_best_and_writes_the_folder(realm):
    folder = stopped(realm, signal.SIGINT, 2, *SMALL, "--max-steps", 100_000)
    assert modeling.load_model(folder).config.n_positions == 64
    shutil.rmtree(folder)


def test_two_processes_started_by_greylord_agree_where_to_stop(realm):
    two = ("--context-window", 64, "--batch-size", 4, "--cpu", "--time-budget", "10m", "--num-processes", 2)
    folder = stopped(realm, signal.SIGTERM, 1, *two)
    assert read(folder / "training_config.json")["plan"]["processes"] == 2
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_training_at_the_next_step(name):
    number = getattr(signal, name, signal.SIGINT)
    interruption, control = GracefulStop(), TrainerControl()
    before = signal.signal(number, signal.default_int_handler)
    try:
        with interruption.handled():
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)
    interruption.on_step_end(TrainingArguments("nowhere"), TrainerState(global_step=7, logging_steps=1), control)
    assert control.should_training_stop and control.should_save and interruption.stopped_at == 7


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal")
def test_an_ignored_signal_of_the_terminal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in ending_signals() and signal.SIGTERM in ending_signals()
    finally:
        signal.signal(signal.SIGHUP, before)


def job(settings: TrainingConfig, **overrides) -> Job:
    return Job(Path("data/tiny"), settings, overrides, None, cpu=True)


@pytest.fixture
def in_realm(realm, monkeypatch):
    """Use the realm as working directory, and remove new runs in the end.

    Yields the runs that are there already.
    """
    monkeypatch.chdir(realm)
    before = set(Path("models").glob("*"))
    yield before
    for folder in set(Path("models").glob("tiny_*")) - before:
        shutil.rmtree(folder)


TINY = TrainingConfig(context_window=32, batch_size=2, max_steps=4)


def test_nan_stops_training_and_is_never_saved(in_realm, monkeypatch):
    new_model = modeling.new_model

    def broken(context: int, shape: modeling.Shape):
        """Make a model whose loss is NaN."""
        model = new_model(context, shape)
        model.transformer.wpe.weight.data.fill_(math.nan)
        return model

    monkeypatch.setattr(modeling, "new_model", broken)
    with pytest.raises(GreylordError, match=r"NaN or infinite at step 1, .* lower learning_rate than 0\.006"):
        training.train(job(TINY))
    assert set(Path("models").glob("*")) == in_realm


def test_a_full_disk_is_one_sentence_and_leaves_no_incomplete_run(in_realm, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trainer, "_save", fail)
    with pytest.raises(GreylordError, match="The disk of 'models' is full"):
        training.train(job(TINY))
    assert {path.name for path in set(Path("models").glob("*")) - in_realm} <= {"latest"}


def test_patience_ends_training(in_realm):
    trained = training.train(
        job(
            TrainingConfig(context_window=32, batch_size=2, max_steps=40, learning_rate=1e-30, patience=1),
            eval_steps=10,
        )
    )
    assert trained.summary.steps == 20 and len(trained.evaluations) == 2
    assert trained.summary.ended == "no improvement in 1 evaluation"


def test_any_training_argument_can_be_set(in_realm):
    trained = training.train(job(TINY, lr_scheduler_type="constant", learning_rate=1e-4))
    assert [evaluation.learning_rate for evaluation in trained.evaluations] == [1e-4]


def test_the_training_loss_is_a_plain_cross_entropy(realm, tmp_path):
    rows = Rows(realm / "corpora" / "tiny", "train")
    windows = TrainingWindows([rows[0][:150], rows[1][:40]], 64)
    torch.manual_seed(0)
    model = modeling.new_model(64)
    nats = tokens = 0.0
    for index in range(len(windows)):
        ids = torch.tensor(windows[index]["input_ids"].astype("int64"))
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0]
        nats += float(torch.nn.functional.cross_entropy(logits[:-1], ids[1:], reduction="sum"))
        tokens += len(ids) - 1
    arguments = TrainingArguments(
        str(tmp_path), use_cpu=True, max_steps=1, per_device_train_batch_size=2, gradient_accumulation_steps=2,
        logging_steps=1, disable_tqdm=True, remove_unused_columns=False, label_names=["labels"], eval_strategy="steps",
        metric_for_best_model="bits_per_byte", batch_eval_metrics=True, load_best_model_at_end=True,
    )  # fmt: skip
    scoring = ScoringWindows(rows, whole_rows([rows[0][:100]]), 64)
    trainer = make_trainer(model, arguments, windows, scoring, 3, [], compiled=False)
    trainer.train()
    assert len(windows) == 4
    assert trainer.state.log_history[0]["loss"] == pytest.approx(nats / tokens, rel=1e-5)


@given(st.integers(1, 700), st.integers(1, 300), st.integers(1, 60))
def test_the_loss_is_logged_at_evaluations_and_never_over_a_few_steps(max_steps, eval_steps, logging_steps):
    arguments, logged = TrainingArguments("nowhere"), [0]
    state = TrainerState(max_steps=max_steps, eval_steps=eval_steps, logging_steps=logging_steps)
    for step in range(1, max_steps + 1):
        state.global_step = step
        evaluated = step % eval_steps == 0 or step == max_steps
        control = TrainerControl(should_log=step % logging_steps == 0, should_evaluate=evaluated)
        LogAtEvaluation().on_step_end(arguments, state, control)
        assert control.should_log or not evaluated
        if control.should_log:
            logged.append(step)
    gaps = np.diff(logged)
    assert gaps.max() <= 2 * logging_steps
    # Gaps are only shorter if evaluations are that close.
    assert gaps[:-1].min(initial=max_steps) >= min(logging_steps / 2, eval_steps) or len(gaps) == 1
    assert gaps[-1] >= min(logging_steps / 2, max_steps % eval_steps or eval_steps)


def test_the_score_command(called, realm, run, monkeypatch):
    monkeypatch.chdir(realm)
    result = called("evaluate", "--model-dir", run, "--cpu", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    summary = read(run / "training_summary.json")
    assert found["bits_per_byte"]["overall"] == pytest.approx(summary["best_bits_per_byte"], rel=rounding(run))
    assert sum(found["payload_bytes"].values()) == summary["scored_bytes"]
    for name, figure in found["compressors"].items():
        assert figure == pytest.approx(summary["baselines"][name])
    table = called("evaluate", "--model-dir", run, "--cpu")
    assert f"{summary['best_bits_per_byte']:.3f}" in table.stdout and "framing" in table.stdout


def test_other_data_is_scored_without_the_recordings_that_the_model_has_read(called, realm, run, tmp_path, monkeypatch):
    read_before = set(read(run / "training_config.json")["trained_on"])
    others = realm / "others"
    shutil.copytree(realm / "data" / "tiny", others)
    monkeypatch.chdir(tmp_path)
    assert called("data", "sample", "new", "--recordings", 1, "--minutes", 1, "--seed", 9).returncode == 0
    for path in (tmp_path / "data" / "new").iterdir():
        shutil.copy(path, others)
    monkeypatch.chdir(realm)
    result = called("evaluate", "--model-dir", run, "--data-dir", others, "--cpu", "--json")
    assert result.returncode == 0, result.stderr
    described = json.loads(result.stdout)["data"]
    assert f"except {len(read_before)} that the model was trained on ({6 - len(read_before)} recording" in described
    shutil.rmtree(others)


def test_a_redacted_copy_of_a_read_recording_is_left_out_too(called, realm, run, workplace):
    assert called("data", "redact", realm / "data" / "tiny", "shared").returncode == 0
    copies, originals = (
        {path.name: path.read_bytes() for path in folder.rglob("*.log")}
        for folder in (Path("data/shared"), realm / "data" / "tiny")
    )
    assert all(copies[name] != log for name, log in originals.items())
    read_before = set(read(run / "training_config.json")["trained_on"])
    unseen = read_unseen(Path("data/shared"), run)
    assert len(unseen.rows) == len(originals) - len(read_before) and read_before


def test_scoring_leaves_the_model_as_it_is(run, realm):
    rows = Rows(realm / "corpora" / "tiny", "validation")
    model = modeling.load_model(run)
    first = bits_per_byte.score_spans(model, rows, whole_rows(rows)[:1], 64)
    assert bits_per_byte.score_spans(model, rows, whole_rows(rows)[:1], 64) == first


KILLED = """
import os, signal, sys
from pathlib import Path
from transformers import TrainerCallback
from helpers import LONG
from greylord.training import train as training
from greylord.training.config import Job
from greylord.training.run_folder import resumed

class Kill(TrainerCallback):
    def __init__(self, step, event):
        self.step = step
        setattr(self, event, self.kill)

    def kill(self, args, state, control, **_):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

def train(job, step, event):
    child = os.fork()
    if not child:
        training.train(job, live=lambda plan, density: Kill(step, event))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

job = Job(Path("data/tiny"), LONG, {"eval_steps": 6}, None, cpu=True)
before = set(Path("models").iterdir())
for moment in sys.argv[1:]:
    event, step = moment.split(":")
    assert train(job, int(step), event) == -signal.SIGKILL, moment
    (run,) = set(Path("models").iterdir()) - before
    job = resumed(run)
print(run)
"""


def killed(realm: Path, *moments: str) -> Path:
    """Start a run, then kill and resume it at each of the moments.

    A moment is such as "on_step_end:7". Returns the folder of the run.
    """
    result = subprocess.run(
        [sys.executable, "-c", KILLED, *moments],
        cwd=realm, env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2_000:]
    return realm / result.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def whole(realm) -> Path:
    """The folder of the same run without an interruption."""
    with contextlib.chdir(realm):
        return realm / training.train(Job(Path("data/tiny"), LONG, {"eval_steps": 6}, cpu=True)).folder


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_several_times_ends_like_one_without_interruption(realm, whole, kills, monkeypatch):
    last_short = read(whole / "training_config.json")["plan"]["short_steps"]
    assert 1 < last_short < 29
    rng = random.Random(kills)
    # Just before and after the window length changes, and anywhere.
    steps = sorted({last_short - 1, last_short, last_short + 1} | {rng.randrange(1, 30) for _ in range(kills - 3)})
    events = ("on_step_begin", "on_step_end", "on_substep_end", "on_log", "on_evaluate", "on_save")
    moments = [f"{'on_step_end' if step % 6 else rng.choice(events[3:])}:{step}" for step in steps]
    run = killed(realm, *moments)
    monkeypatch.chdir(realm)
    training.train(resumed(run))
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    keys = ("step", "epoch", "tokens", "bits_per_byte", "train_bits_per_token", "learning_rate")
    histories = [
        [[evaluation[key] for key in keys] for evaluation in read(folder / "training_history.json")]
        for folder in (run, whole)
    ]
    assert len(histories[0]) == 5 and histories[0] == histories[1]
    assert {path.name for path in run.iterdir()} == FILES
    shutil.rmtree(run)


class Break(TrainerCallback):
    """Fails after step 15."""

    def on_step_end(self, args, state, control, **_) -> None:
        if state.global_step == 15:
            raise RuntimeError("broken")


def test_an_incomplete_checkpoint_is_skipped_with_a_message(called, realm, whole, monkeypatch):
    monkeypatch.chdir(realm)
    before = set(Path("models").iterdir())
    with pytest.raises(RuntimeError, match="broken"):
        training.train(job(LONG, eval_steps=6), live=lambda plan, density: Break())
    (run,) = set(Path("models").iterdir()) - before
    checkpoint, torn = runs.resume_point(run)
    assert (checkpoint.name, torn) == ("checkpoint-12", [])
    newer = run / "checkpoints" / "checkpoint-14"
    shutil.copytree(checkpoint, newer)
    (newer / "complete").unlink()
    (newer / "model.safetensors").write_bytes(b"torn")
    with (run / "training_history.jsonl").open("a") as journal:
        journal.write('{"step": 14, "epo')
    assert runs.resume_point(run) == (checkpoint, [newer])
    result = called("train", "--resume", run)
    assert result.returncode == 0, result.stderr
    assert f" skipped  {newer}" in result.stdout
    assert f"  resume  from {checkpoint}" in result.stdout
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    shutil.rmtree(run)


def test_a_run_is_not_resumed_on_other_recordings_or_twice(in_realm, monkeypatch):
    trained = training.train(job(TINY))
    with pytest.raises(SettingError, match=r"has ended; .* model_path"):
        resumed(trained.folder)
    (trained.folder / "training_summary.json").unlink()
    config = read(trained.folder / "training_config.json")
    (trained.folder / "training_config.json").write_text(json.dumps({**config, "data_hash": "another"}))
    with pytest.raises(
        GreylordError, match=r"The recordings of .tiny. have changed since .* model_path .*checkpoint-N"
    ):
        training.train(resumed(trained.folder))
    (trained.folder / "training_config.json").write_text(
        json.dumps({**config, "plan": {**config["plan"], "processes": 3}})
    )
    with pytest.raises(GreylordError, match="began with 3 processes, not 1"):
        training.train(resumed(trained.folder))
    assert trained.folder.exists()


def test_resume_takes_no_other_flag(called, run):
    result = called("train", "--resume", run, "--batch-size", 3)
    assert result.returncode == 2
    assert "leave out --batch-size" in result.stderr


@pytest.fixture
def set_pace(monkeypatch):
    """Sets the seconds that the probe measures.

    They are of a step, an evaluation and a checkpoint.
    """

    def set_seconds(step: float, evaluation: float = 0.5, checkpoint: float = 0.1) -> Pace:
        pace = Pace(step, step, evaluation, checkpoint)
        monkeypatch.setattr(training, "measure_pace", lambda *_: pace)
        return pace

    return set_seconds


def budgeted(time_budget: str) -> Job:
    return job(TrainingConfig(context_window=64, batch_size=2, time_budget=time_budget))


def test_a_time_budget_decides_the_steps_before_the_first(in_realm, set_pace, monkeypatch):
    # The run ends with its last step, even if the machine is slower or faster than the pace.
    monkeypatch.setattr(training, "LATENESS", 100)
    monkeypatch.setattr(callbacks, "PUNCTUAL_SHARE", 0)
    pace = set_pace(1.0)
    trained = training.train(budgeted("1m"))
    plan = Plan(**read(trained.folder / "training_config.json")["plan"])
    assert trained.summary.steps == plan.max_steps and 20 < plan.max_steps < 60
    assert trained.summary.ended == "all steps done"
    assert plan.seconds(pace) < 60
    assert trained.evaluations[-1].learning_rate < 6e-3 / plan.max_steps * 2


def test_a_time_budget_excludes_eval_steps():
    with pytest.raises(SettingError, match="time_budget excludes eval_steps"):
        job(TrainingConfig(time_budget="20s"), eval_steps=5)


def test_a_run_that_is_done_long_before_its_time_says_so(in_realm, set_pace):
    set_pace(5.0)
    ended = training.train(budgeted("1m")).summary.ended
    assert ended.startswith("all steps done before the time was over")


def test_a_run_past_its_time_budget_stops_and_says_so(in_realm, set_pace):
    set_pace(1e-4)
    trained = training.train(budgeted("6s"))
    planned = read(trained.folder / "training_config.json")["plan"]["max_steps"]
    assert trained.summary.steps < planned
    assert trained.summary.ended.startswith(f"time budget over at step {trained.summary.steps:,} of {planned:,}")


@pytest.mark.parametrize("budget", [None, 20.0])
def test_measuring_the_pace_changes_neither_the_model_nor_the_random_state(realm, tmp_path, monkeypatch, budget):
    monkeypatch.setattr(probe, "MIN_SECONDS", 0.3)
    rows, validation = (Rows(realm / "corpora" / "tiny", split) for split in ("train", "validation"))
    # Unlike the trials, the run evaluates every step: the pace must not depend on it.
    plan = Plan(32, 16, 2, 1, 1, steps_per_epoch=50.0, max_steps=4, short_steps=2, warmup_steps=1, eval_steps=1)
    scoring = ScoringWindows(validation, sample_spans(validation), 32)
    arguments = training_arguments(TrainingConfig(seed=3), plan, choose_device(cpu=True, bf16=False), tmp_path, {})
    model, steps = modeling.new_model(32), []
    before, state = {name: tensor.clone() for name, tensor in model.state_dict().items()}, torch.get_rng_state()
    monkeypatch.setattr(
        probe, "Order", lambda rows, plan, seed: steps.append(plan.max_steps) or Order(rows, plan, seed)
    )
    began = time.perf_counter()
    pace = measure_pace(model, arguments, plan, rows, scoring, tmp_path, False, budget)
    elapsed = time.perf_counter() - began
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []
    # Three steps of each length, and with a budget as many again as fill the time.
    assert steps[0] == 6 and len(steps) == (2 if budget else 1) and (not budget or steps[1] > 6)
    assert all(0 < seconds < elapsed for seconds in (pace.short_step, pace.step, pace.checkpoint))
    assert pace.evaluation < elapsed * len(scoring) / (4 * arguments.per_device_eval_batch_size)


@pytest.mark.slow
def test_compiled_blocks_train_the_same_model(in_realm):
    short = TrainingConfig(context_window=64, batch_size=4, max_steps=6)
    plain, compiled = (
        load_file(training.train(job(short.changed({"compile": compile}))).folder / "model.safetensors")
        for compile in (False, True)
    )
    assert plain.keys() == compiled.keys()
    for name, weight in plain.items():
        torch.testing.assert_close(compiled[name], weight, rtol=0, atol=1e-3)


def test_without_a_compiler_blocks_are_not_compiled(monkeypatch):
    def missing(*_: object) -> None:
        raise RuntimeError("no compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", missing)
    assert choose_compilation(None, "cpu")[0] is False
    compiled, reason = choose_compilation(True, "cpu")
    assert not compiled and "no compiler found" in reason and "and much more" not in reason
    assert choose_compilation(False, "cuda") == (False, "off (as set)")
