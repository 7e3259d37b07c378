"""Memory: presets, micro-batches, the estimate, and `greylord optimize`."""

import json
import math
import re
import shlex
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import Trainer

from greylord import modeling
from greylord.cli import advice, main
from greylord.errors import OutOfMemoryError, SettingError, UsageError
from greylord.training import memory
from greylord.training import train as training
from greylord.training.config import Job, TrainingConfig, read_config
from greylord.training.hardware import Device, choose_attention
from greylord.training.plan import largest_divisor, make_plan


@pytest.mark.parametrize("name", [None, *modeling.PRESETS])
def test_a_preset_is_the_shape_of_a_new_model(name):
    shape = modeling.preset(name)
    assert modeling.shape_of(modeling.new_model(16, shape).config) == shape
    assert shape.width % shape.heads == 0


def test_the_help_of_preset_names_them_all():
    (setting,) = (field for field in TrainingConfig.__dataclass_fields__.values() if field.name == "preset")
    assert all(name in setting.metadata["help"] for name in modeling.PRESETS)


def test_an_unknown_preset_is_one_sentence():
    with pytest.raises(UsageError, match=r"no preset 'lrage', only default, medium, large. Did you mean 'large'?"):
        modeling.preset("lrage")


@pytest.fixture
def in_trained(trained, monkeypatch) -> Path:
    """The folder of a model.

    The working directory holds it and its corpus.
    """
    monkeypatch.chdir(trained)
    (folder,) = Path("models").glob("tiny_*")
    return folder


def test_a_model_is_not_continued_in_another_shape(in_trained):
    with pytest.raises(
        SettingError, match=r"preset medium is 8 layers, 256 wide, .* has 4 layers, 128 wide"
    ) as refused:
        training.train(Job(Path("data/tiny"), TrainingConfig(preset="medium"), model_path=in_trained, cpu=True))
    assert refused.value.settings == ("preset", "model_path")


@pytest.mark.parametrize(
    ("batch", "micro_batch", "processes", "expected"), [(16, None, 1, 8), (16, 2, 1, 2), (16, 8, 2, 8), (6, 6, 1, 6)]
)
def test_a_micro_batch_is_chosen_or_given(batch, micro_batch, processes, expected):
    config = TrainingConfig(batch_size=batch, micro_batch=micro_batch).resolved(1_024, "sdpa", False)
    plan = make_plan(config, 100, 1_000, "cpu", processes, pretrained=False)
    assert plan.micro_batch == expected
    assert plan.windows_per_step == batch


def test_a_micro_batch_divides_the_share_of_a_process():
    config = TrainingConfig(batch_size=16, micro_batch=3).resolved(64, "sdpa", False)
    with pytest.raises(SettingError, match=r"micro_batch must divide the 8 windows .* 3 does not"):
        make_plan(config, 100, 1_000, "cpu", processes=2, pretrained=False)
    for share in range(1, 40):
        for limit in range(45):
            fitting = [size for size in range(1, share + 1) if share % size == 0 and size <= limit]
            assert largest_divisor(share, limit) == max(fitting, default=1)


@pytest.mark.parametrize(
    ("config", "error", "passes", "smaller"),
    [
        (
            TrainingConfig(batch_size=6),
            torch.OutOfMemoryError("CUDA out of memory."),
            "6 windows",
            {"context_window": 32, "batch_size": 6, "micro_batch": 3},
        ),
        (
            TrainingConfig(batch_size=2, micro_batch=1),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "1 window",
            {"context_window": 16, "batch_size": 4, "micro_batch": 1},
        ),
    ],
)
def test_the_out_of_memory_error_has_smaller_settings(in_trained, monkeypatch, config, error, passes, smaller):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Trainer, "training_step", fail)
    before = set(Path("models").iterdir())
    with pytest.raises(OutOfMemoryError) as failed:
        training.train(Job(Path("data/tiny"), replace(config, context_window=32, max_steps=3), cpu=True))
    assert set(Path("models").iterdir()) == before
    assert str(failed.value) == f"Out of memory with passes of {passes} of 32 tokens."
    assert failed.value.smaller == smaller and failed.value.resumable is None
    # What the command line adds can be typed as it stands.
    flags = shlex.split(advice.sentence(failed.value).split("`")[1])
    assert dict(zip(flags[::2], map(int, flags[1::2]), strict=True)) == {
        "--" + name.replace("_", "-"): value for name, value in smaller.items()
    }


CPU = {bf16: Device("cpu", bf16, "here") for bf16 in (False, True)}
SIZES = [
    # shape, context, windows
    (modeling.PRESETS["default"], 256, 2),
    (modeling.Shape(2, 256, 8), 64, 3),
    (modeling.Shape(2, 32, 2), 16, 5),
    (modeling.Shape(1, 512, 8), 128, 1),
    (modeling.Shape(6, 64, 1), 512, 1),
]


def as_on_cuda(monkeypatch) -> None:
    """Compute powers in float32, as autocast does on CUDA but not on a CPU."""
    power = torch.pow
    monkeypatch.setattr(torch, "pow", lambda base, exponent: power(base.float(), exponent))


def one_pass(model, context: int, windows: int, bf16: bool) -> torch.Tensor:
    ids = torch.randint(0, 256, (windows, context))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return model(input_ids=ids, labels=ids.clone(), use_cache=False).loss


@pytest.mark.parametrize(("shape", "context", "windows"), SIZES)
@pytest.mark.parametrize(
    "device", [*CPU.values(), Device("cuda", True, "elsewhere")], ids=["float32", "bfloat16", "cuda"]
)
def test_the_estimate_counts_what_autograd_saves(monkeypatch, shape, context, windows, device):
    if device.type == "cuda":
        as_on_cuda(monkeypatch)
    model = modeling.new_model(context, shape)
    model.set_attn_implementation(choose_attention(None, device)[0])
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved = {}

    def look(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
        one_pass(model, context, windows, device.bf16)
    # Autocast's copies of the matrices are saved too; the estimate has them among the weights.
    matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and "wpe" not in name]
    copies = 2 * device.bf16 * sum(weight.numel() for weight in matrices)
    token = memory.token_bytes(shape, context, device)
    expected = windows * context * (shape.layers * (token.block + token.attention) + token.ends + token.logits)
    assert expected == pytest.approx(sum(storage.nbytes() for storage in saved.values()) - copies, rel=0.01)


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes, self.size, self.peak = {}, 0, 0

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.sizes:
            self.sizes[storage._cdata] = storage.nbytes()
            weakref.finalize(storage, self.remove, storage._cdata)
            self.size += storage.nbytes()
            self.peak = max(self.peak, self.size)

    def remove(self, storage: int) -> None:
        self.size -= self.sizes.pop(storage)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, torch.Tensor):
                self.add(tensor)
        return result


@pytest.mark.parametrize(("shape", "context", "windows"), SIZES)
@pytest.mark.parametrize(
    "device", [*CPU.values(), Device("cuda", True, "elsewhere")], ids=["float32", "bfloat16", "cuda"]
)
def test_the_estimate_is_the_peak_of_live_tensors(monkeypatch, shape, context, windows, device):
    if device.type == "cuda":
        as_on_cuda(monkeypatch)
    model = modeling.new_model(context, shape)
    model.set_attn_implementation(choose_attention(None, device)[0])
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    live = LiveTensors()
    for weight in model.parameters():
        live.add(weight)
    with live:
        for _ in range(2):
            one_pass(model, context, windows, device.bf16).backward()
            optimizer.step()
    estimate = memory.estimate(shape, context, windows, device, 0)
    assert estimate.tensors == pytest.approx(live.peak, rel=0.06)
    assert estimate.gradients == 4 * (sum(weight.numel() for weight in model.parameters()) + 4 * shape.width**2)


@given(st.sampled_from(SIZES), st.integers(10**6, 10**10), st.integers(16, 10**6), st.booleans())
def test_points_hold_the_largest_passes_that_fit(size, limit, tokens, on_cuda):
    shape, device = size[0], Device("cuda", True, "elsewhere") if on_cuda else CPU[True]
    found = memory.points(shape, tokens, limit, device, 10**6)
    for point in found:
        assert memory.estimate(shape, point.context, point.fitting, device, 10**6).total <= limit
        assert memory.estimate(shape, point.context, point.fitting + 1, device, 10**6).total > limit
        assert point.memory == memory.estimate(shape, point.context, point.micro_batch, device, 10**6)
        assert 1 <= point.micro_batch <= point.fitting
        assert point.accumulation * point.micro_batch == point.batch_size
        assert abs(point.tokens_per_step - tokens) <= point.context / 2 or point.batch_size == 1
    # Whatever fits, fits with a shorter context too.
    assert [point.context for point in found] == list(memory.CONTEXTS[: len(found)])
    assert bool(found) == (limit >= memory.least(shape, device, 10**6))


def test_a_point_is_measured_by_a_real_step():
    (point,) = memory.points(modeling.PRESETS["default"], 64, 10**9, CPU[False], 0)[:1]
    began = time.perf_counter()
    step = memory.measure(modeling.PRESETS["default"], point, CPU[False])
    elapsed = time.perf_counter() - began
    assert (step.windows, step.tokens) == (point.micro_batch, 64)
    assert abs(step.loss - math.log(262)) < 1
    assert step.tokens_per_second == 64 / step.seconds and 0 < step.seconds < elapsed


@pytest.fixture
def optimize(capsys, workplace) -> Callable[..., tuple[int, str, str]]:
    """Calls the command in this process and an empty directory.

    Returns exit code, output and errors.
    """

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["optimize", *map(str, arguments)])
        return exit_.value.code or 0, *capsys.readouterr()

    return run


def test_the_recommended_command_can_be_typed(optimize, monkeypatch):
    monkeypatch.setattr("greylord.training.hardware.choose_device", lambda cpu: CPU[False])
    code, output, errors = optimize("--memory-gb", 8, "--batch-size", 64, "--preset", "medium", "--show-alternatives")
    assert (code, errors) == (0, "")
    assert "estimates" in output and "astest" not in output
    (line,) = (line.strip() for line in output.splitlines() if "greylord train" in line)
    assert line == "greylord train --preset medium --context-window 1024 --batch-size 64 --micro-batch 8"
    header = next(line for line in output.splitlines() if line.startswith("context"))
    assert header.split() == ["context", "1,024", "16", "32", "64", "128", "256", "512", "2,048", "4,096", "8,192"]
    assert not list(Path().iterdir())


def test_the_figures_as_json_add_up(optimize, monkeypatch):
    monkeypatch.setattr("greylord.training.hardware.choose_device", lambda cpu: CPU[False])
    code, output, _ = optimize("--memory-gb", "1.5", "--json")
    found = json.loads(output)
    assert code == 0 and found["memory_bytes"] == 1_500_000_000
    assert found["recommended"] in found["alternatives"]
    for point in found["alternatives"]:
        total = point["memory"].pop("total")
        tensors = point["memory"].pop("tensors")
        assert total == sum(point["memory"].values())
        assert tensors == total - point["memory"]["device"] - point["memory"]["reserve"]
        assert total <= found["memory_bytes"] and point["measured"] is None
        assert point["tokens_per_step"] == max(2_048, point["context"])


def test_the_recommendation_is_written_to_config_json(optimize):
    config = {"epochs": 3, "context_window": 256, "set": {"adam_beta2": 0.95}}
    Path("config.json").write_text(json.dumps(config))
    code, output, _ = optimize("--memory-gb", 8, "--preset", "medium", "--write")
    assert code == 0 and "config.json" in output
    written = {"preset": "medium", "context_window": 256, "batch_size": 8, "micro_batch": 8}
    assert json.loads(Path("config.json").read_text()) == config | written
    assert TrainingConfig().changed(read_config(None)[0]) == TrainingConfig(epochs=3, **written)
    assert [path.name for path in Path().iterdir()] == ["config.json"]


def test_only_measured_settings_are_called_fastest(optimize, monkeypatch):
    monkeypatch.setattr("greylord.training.hardware.choose_device", lambda cpu: Device("cuda", True, "a card"))

    def measure(shape, point, card) -> memory.Step | None:
        seconds = 1.0 if point.context == 128 else 2.0
        if point.context > 512:
            return None
        return memory.Step(
            point.micro_batch, point.micro_batch * point.context, 5.5, 1.0, seconds, 123_000_000, "a card"
        )

    monkeypatch.setattr(memory, "measure", measure)
    code, output, _ = optimize("--memory-gb", 8, "--show-alternatives")
    assert code == 0 and "estimates" not in output
    # The configured 1,024 did not fit after all.
    assert "--context-window 512 --batch-size 64 --micro-batch 64" in output
    assert "Fastest, as measured: a context of 128." in output
    found = json.loads(optimize("--memory-gb", 8, "--json")[1])
    assert found["recommended"]["measured"] == {"tensors": 123_000_000, "tokens_per_second": 16_384.0}
    assert [point["context"] for point in found["alternatives"]] == [16, 32, 64, 128, 256, 512]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        *((f"--memory-gb {text}", f"must be a number above 0, .* not '{text}'") for text in ("0", "-1", "nan", "many")),
        ("--memory-gb 0.01", r"4 layers, 128 wide, 4 heads does not fit into 10\.0 MB; .* --memory-gb \d+\.\d+\."),
        ("--memory-gb 8 --preset lrage", r"Did you mean 'large'\?"),
        ("--memory-gb 8 --batch-size 0", "--batch-size must be a whole number from 1 to 1,000,000,000, not 0"),
    ],
)
def test_wrong_calls(optimize, arguments, sentence):
    code, output, errors = optimize(*arguments.split())
    assert (code, output) == (2, "")
    assert errors.startswith("error: ") and errors.count("\n") == 1 and re.search(sentence, errors)
