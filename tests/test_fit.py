"""What fits into memory: presets, micro-batches, the estimate, and the command."""

import shlex
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import Trainer, TrainerCallback

from greylord import fit
from greylord import model as models
from greylord.errors import GreylordError, UsageError
from greylord.progress import silent
from greylord.training import train as training
from greylord.training.device import Device
from greylord.training.recipe import largest_divisor, make_plan
from greylord.training.settings import Settings


def quiet_train(settings: Settings, model_path: Path | None = None) -> training.Outcome:
    job = training.Job(Path("data/tiny"), settings, {"adam_beta2": 0.95}, model_path, cpu=True)
    return training.train(job, lambda subject, sentence: None, silent, lambda plan, density: TrainerCallback())


@pytest.mark.parametrize("name", [None, *models.PRESETS])
def test_a_preset_is_the_shape_of_a_fresh_model(name):
    shape = models.preset(name)
    assert models.shape_of(models.fresh(16, shape).config) == shape
    assert shape.width % shape.heads == 0


def test_the_help_of_preset_names_them_all():
    (setting,) = (field for field in Settings.__dataclass_fields__.values() if field.name == "preset")
    assert all(name in setting.metadata["help"] for name in models.PRESETS)


def test_an_unknown_preset_is_one_sentence():
    with pytest.raises(UsageError, match=r"no preset 'lrage', only default, medium, large. Did you mean 'large'?"):
        models.preset("lrage")
    with pytest.raises(UsageError, match="--preset must be a name, not 3"):
        Settings(preset=3)


@pytest.fixture
def in_trained(trained, monkeypatch) -> Path:
    """The directory with a corpus and a model as working directory; returns the model's folder."""
    monkeypatch.chdir(trained)
    (folder,) = Path("models").glob("tiny_*")
    return folder


def test_a_model_is_not_continued_in_another_shape(in_trained):
    with pytest.raises(UsageError, match=r"--preset medium is 8 layers of 256, 8 heads, but .* has 4 layers of 128"):
        quiet_train(Settings(preset="medium", max_steps=1), in_trained)


@pytest.mark.parametrize(
    ("batch", "micro_batch", "processes", "expected"), [(16, None, 1, 8), (16, 2, 1, 2), (16, 8, 2, 8), (6, 6, 1, 6)]
)
def test_a_micro_batch_is_chosen_or_given(batch, micro_batch, processes, expected):
    plan = make_plan(Settings(batch_size=batch, micro_batch=micro_batch), 100, 1_000, "cpu", processes)
    assert plan.micro_batch == expected
    assert plan.windows_per_step == batch


def test_a_micro_batch_divides_the_share_of_a_process():
    with pytest.raises(UsageError, match="must divide the 8 windows that a process has of --batch-size 16; 3 does not"):
        make_plan(Settings(batch_size=16, micro_batch=3), 100, 1_000, "cpu", 2)
    for share in range(1, 40):
        for limit in range(45):
            fitting = [size for size in range(1, share + 1) if share % size == 0 and size <= limit]
            assert largest_divisor(share, limit) == max(fitting, default=1)


@pytest.mark.parametrize(
    ("settings", "error", "passes", "changes"),
    [
        (Settings(batch_size=6), torch.OutOfMemoryError("CUDA out of memory."), "6 windows", {"micro_batch": 3}),
        (
            Settings(batch_size=2, micro_batch=1),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "1 window",
            {"micro_batch": 1, "context_window": 16, "batch_size": 4},
        ),
    ],
)
def test_out_of_memory_names_the_line_to_try(in_trained, monkeypatch, settings, error, passes, changes):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Trainer, "training_step", fail)
    settings = replace(settings, context_window=32, max_steps=3)
    before = set(Path("models").iterdir())
    with pytest.raises(GreylordError) as found:
        quiet_train(settings)
    assert set(Path("models").iterdir()) == before
    sentence, _, line = str(found.value).partition(" try ")
    assert sentence == f"Out of memory with {passes} of 32 tokens in a pass;"
    program, command, *flags = shlex.split(line.strip("`."))
    assert (program, command, flags[-2:]) == ("greylord", "train", ["--set=adam_beta2=0.95", "--cpu"])
    given = dict(zip(flags[:-2:2], flags[1:-2:2], strict=True))
    expected = {
        "data_dir": "data/tiny",
        "context_window": 32,
        "max_steps": 3,
        "batch_size": settings.batch_size,
        **changes,
    }
    assert given == {"--" + name.replace("_", "-"): str(value) for name, value in expected.items()}


CPU = {bf16: Device("cpu", bf16, "here") for bf16 in (False, True)}
SIZES = [
    # shape, context, windows
    (models.PRESETS["default"], 256, 4),
    (models.PRESETS["default"], 1_024, 1),
    (models.PRESETS["medium"], 64, 2),
    (models.Shape(2, 32, 2), 16, 3),
    (models.Shape(1, 512, 8), 128, 1),
    (models.Shape(6, 64, 1), 512, 2),
]


def as_on_cuda(monkeypatch) -> None:
    """Let powers be raised in float32, as CUDA's autocast has it and a CPU's has not."""
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
def test_what_is_kept_is_what_autograd_saves(monkeypatch, shape, context, windows, device):
    if device.type == "cuda":
        as_on_cuda(monkeypatch)
    model = models.fresh(context, shape)
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
    token = fit.kept(shape, device)
    expected = windows * context * (shape.layers * (token.block + token.attention) + token.ends + token.logits)
    assert expected == pytest.approx(sum(storage.nbytes() for storage in saved.values()) - copies, rel=0.01)


class Live(TorchDispatchMode):
    """Counts the bytes of all tensors alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes, self.peak = {}, 0

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.sizes:
            self.sizes[storage._cdata] = storage.nbytes()
            weakref.finalize(storage, self.sizes.pop, storage._cdata)
            self.peak = max(self.peak, sum(self.sizes.values()))

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
def test_the_estimate_is_the_most_that_tensors_hold(monkeypatch, shape, context, windows, device):
    if device.type == "cuda":
        as_on_cuda(monkeypatch)
    model = models.fresh(context, shape)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    live = Live()
    for weight in model.parameters():
        live.add(weight)
    with live:
        for _ in range(2):
            one_pass(model, context, windows, device.bf16).backward()
            optimizer.step()
    memory = fit.estimate(shape, context, windows, device, 0)
    assert memory.total == memory.tensors
    assert memory.total == pytest.approx(live.peak, rel=0.1)
    assert memory.gradients == 4 * sum(weight.numel() for weight in model.parameters())
