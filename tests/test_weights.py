"""Weights without transformers, from a folder and from memory.

The models and the errors are the same.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import PROJECT
from safetensors.torch import load_file, save_file

from greylord import modeling
from greylord.captures.formats import proxylog
from greylord.captures.session import Direction, Record
from greylord.errors import GreylordError, UsageError
from greylord.generation.forward import Forward
from greylord.stream import vocabulary
from greylord.weights import GPT2Weights
from scripts.benchmarks import startup

IDS = [vocabulary.PAD, vocabulary.SERVER, vocabulary.DELAY_SHORT, *b"look"]
EMBEDDING, MATRIX, BIAS = "transformer.wte.weight", "transformer.h.1.mlp.c_fc.weight", "transformer.ln_f.bias"
SIZES = {"n_positions": "max_position_embeddings", "n_embd": "hidden_size", "n_layer": "num_hidden_layers",
         "n_head": "num_attention_heads"}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    """A small model, with biases."""
    torch.manual_seed(3)
    made = modeling.new_model(16, modeling.Shape(2, 8, 2)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


@pytest.fixture
def folder(model, tmp_path) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    changed = change(tensors)
    tensors = changed if isinstance(changed, dict) else tensors
    # Copies, since a file does not take views.
    copies = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    save_file(copies, folder / "model.safetensors")


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def without(folder: Path, *names: str, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in names} | changes))


def logits(weights: GPT2Weights) -> np.ndarray:
    return Forward(weights)(slice(0, 1), np.array([IDS]), np.array([0]))[0]


def stock_logits(model) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0].numpy()


def bare(tensors: dict) -> dict:
    return {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}


SOUND = {
    "as saved": lambda folder: None,
    "no prefix": lambda folder: change_tensors(folder, bare),
    "causal masks": lambda folder: change_tensors(
        folder, lambda t: t.update({"transformer.h.0.attn.bias": torch.ones(1, 1, 16, 16)})
    ),
    "output stored": lambda folder: change_tensors(folder, lambda t: t.update({"lm_head.weight": t[EMBEDDING]})),
    "another output": lambda folder: change_tensors(folder, lambda t: t.update({"lm_head.weight": t[EMBEDDING] + 1})),
    "output instead of embedding": lambda folder: change_tensors(
        folder, lambda t: t.update({"lm_head.weight": t.pop(EMBEDDING)})
    ),
    "untied": lambda folder: (
        change_config(folder, tie_word_embeddings=False),
        change_tensors(folder, lambda t: t.update({"lm_head.weight": 2 * t[EMBEDDING]})),
    ),
    "bfloat16": lambda folder: change_tensors(folder, lambda t: {name: each.bfloat16() for name, each in t.items()}),
    "float16": lambda folder: change_tensors(folder, lambda t: {name: each.half() for name, each in t.items()}),
    "one in float64": lambda folder: change_tensors(folder, lambda t: t.update({MATRIX: t[MATRIX].double()})),
    "narrow MLP": lambda folder: (
        change_config(folder, n_inner=16),
        change_tensors(
            folder,
            lambda t: {k: v[..., :16] if "c_fc" in k else v[:16] if "mlp.c_proj.w" in k else v for k, v in t.items()},
        ),
    ),
    "more heads": lambda folder: change_config(folder, n_head=4),
    "gelu_new": lambda folder: change_config(folder, activation_function="gelu_new"),
    "defaults": lambda folder: without(folder, "activation_function", "layer_norm_epsilon", "tie_word_embeddings"),
    "another epsilon": lambda folder: change_config(folder, layer_norm_epsilon=0.1),
    "other names of sizes": lambda folder: without(
        folder, *SIZES, **dict(zip(SIZES.values(), (16, 8, 2, 4), strict=True))
    ),
    "two names of one size": lambda folder: change_config(folder, num_attention_heads=4),
    "an index of other files": lambda folder: (folder / "model.safetensors.index.json").write_text(
        '{"metadata": {}, "weight_map": {"transformer.wte.weight": "nowhere.safetensors"}}'
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_folder_gives_what_the_stock_model_gives(folder, name):
    SOUND[name](folder)
    model = modeling.load_model(folder).eval()
    expected = stock_logits(model)
    for weights in (GPT2Weights.read(folder), GPT2Weights.of(model)):
        assert {tensor.dtype for tensor in weights.tensors.values()} == {torch.float32}
        np.testing.assert_allclose(logits(weights), expected, rtol=0, atol=2e-5)


def test_the_weights_of_a_model_in_memory_are_shared_and_those_in_half_precision_converted(model):
    weights = GPT2Weights.of(model)
    assert weights.tensors[EMBEDDING].data_ptr() == model.transformer.wte.weight.data_ptr()
    assert not any(tensor.requires_grad for tensor in weights.tensors.values())
    half = modeling.new_model(16, modeling.Shape(2, 8, 2)).bfloat16()
    np.testing.assert_allclose(logits(GPT2Weights.of(half)), stock_logits(half.float().eval()), rtol=0, atol=2e-5)


def cut(folder: Path, size: int) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:size])


def tensors(change):
    return lambda folder: change_tensors(folder, change)


def config(**changes: object):
    return lambda folder: change_config(folder, **changes)


NO_FILES = "no config.json or no model.safetensors"
DAMAGED = {
    "no config": (lambda folder: (folder / "config.json").unlink(), NO_FILES),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), NO_FILES),
    "no object": (lambda folder: (folder / "config.json").write_text("[]"), NO_FILES),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), NO_FILES),
    "other kind": (config(model_type="llama"), "holds a llama of 262 tokens"),
    "other tokens": (config(vocab_size=50_257), "holds a gpt2 of 50257 tokens"),
    "heads": (config(n_head=3), "n_embd, 8, must be divisible by n_head, 3."),
    "no heads": (config(n_head=0), "n_head must be a whole number above 0, not 0."),
    "true": (config(n_layer=True), "n_layer must be a whole number above 0, not True."),
    "text": (config(n_positions="16"), "n_positions must be a whole number above 0, not '16'."),
    "null": (config(activation_function=None), "activation_function must be a string, not None."),
    "yes": (config(scale_attn_weights="yes"), "scale_attn_weights must be true or false, not 'yes'."),
    "epsilon": (config(layer_norm_epsilon=math.nan), "layer_norm_epsilon must be finite and not negative, not nan."),
    "cross": (config(add_cross_attention=True), "add_cross_attention must be false."),
    "inner": (config(n_inner=16), "h.0.mlp.c_fc.weight has the shape [8, 32], not [8, 16]."),
    "inner 0": (config(n_inner=0), "n_inner must be a whole number above 0, not 0."),
    "context": (config(n_positions=10**15), "transformer.wpe.weight has the shape [16, 8], not [1000000000000000, 8]."),
    "layers": (config(n_layer=10**9), "transformer.h.2.ln_1.weight is missing."),
    "a layer": (config(n_layer=1), "is unexpected."),
    "untied": (config(tie_word_embeddings=False), "lm_head.weight is missing."),
    "missing": (tensors(lambda t: t.pop(MATRIX)), f"{MATRIX} is missing."),
    "unexpected": (tensors(lambda t: t.update({"score.weight": t[BIAS]})), "'score.weight' is unexpected."),
    "unprintable": (tensors(lambda t: t.update({"a\x1b[2J": t[BIAS]})), r"'a\x1b[2J' is unexpected."),
    "twice": (tensors(lambda t: t.update({"ln_f.bias": t[BIAS]})), f"'{BIAS}' is stored twice."),
    "transposed": (tensors(lambda t: t.update({MATRIX: t[MATRIX].T})), f"{MATRIX} has the shape [32, 8], not [8, 32]."),
    "integers": (tensors(lambda t: t.update({BIAS: t[BIAS].to(torch.int8)})), f"{BIAS} is stored as I8, not as F64,"),
    "cut": (lambda folder: cut(folder, -9), "cannot be loaded: Error while deserializing header"),
    "cut early": (lambda folder: cut(folder, 30), "cannot be loaded: Error while deserializing header"),
    "empty": (lambda folder: cut(folder, 0), "cannot be loaded: Error while deserializing header"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_folder_gives_the_same_error_with_and_without_transformers(folder, name):
    damage, sentence = DAMAGED[name]
    damage(folder)
    sentences = []
    for read in (GPT2Weights.read, modeling.load_model):
        with pytest.raises(UsageError) as error:
            read(folder)
        sentences.append(str(error.value))
    assert sentence in sentences[0] and sentences[0] == sentences[1]
    assert sentences[0].startswith(repr(str(folder))) and "\n" not in sentences[0]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("activation_function", "silu", "is 'silu', not one of relu, gelu_new, gelu_pytorch_tanh."),
        ("scale_attn_weights", False, "its scale_attn_weights is false."),
        ("scale_attn_by_inverse_layer_idx", True, "its scale_attn_by_inverse_layer_idx is true."),
    ],
)
def test_other_variants_of_gpt_2_are_loaded_but_not_decoded(folder, field, value, sentence):
    change_config(folder, **{field: value})
    with pytest.raises(UsageError) as error:
        GPT2Weights.read(folder)
    assert str(error.value).startswith(repr(str(folder))) and sentence in str(error.value)
    with pytest.raises(UsageError) as error:
        GPT2Weights.of(modeling.load_model(folder))
    assert str(error.value).startswith("The model is a variant") and sentence in str(error.value)


def test_an_unknown_activation_is_refused(folder):
    change_config(folder, activation_function="nix")
    with pytest.raises(UsageError, match="does not describe a GPT-2: there is no activation_function 'nix'"):
        modeling.load_model(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_not_decoded(folder, value):
    change_tensors(folder, lambda t: t[BIAS][:1].fill_(value))
    with pytest.raises(UsageError, match=f"NaN or infinite, in {BIAS}; train it again"):
        GPT2Weights.read(folder)


GENERATE = """
import json, sys
from greylord.cli import main

def generate(arguments):
    try:
        main(["generate", *arguments])
    except SystemExit as exit:
        return exit.code or 0

HEAVY = ("torch", "transformers", "datasets", "huggingface_hub", "matplotlib", "pyarrow")
seen = []
for arguments in json.loads(sys.argv[1]):
    code = generate(arguments)
    seen.append((arguments, code, [name for name in HEAVY if name in sys.modules]))
print(json.dumps(seen), file=sys.stderr)
"""


def test_generate_imports_torch_only_and_wrong_calls_do_not_import_it(folder, tmp_path):
    with (tmp_path / "a.log").open("wb") as target:
        proxylog.write([Record(Direction.SERVER, 0, b"name:")], target)
    for name in ("cut", "transposed", "other tokens", "heads"):
        shutil.copytree(folder, tmp_path / name)
        DAMAGED[name][0](tmp_path / name)
    shutil.copytree(folder, tmp_path / "silu")
    change_config(tmp_path / "silu", activation_function="silu")
    folders = ("nowhere", "models/nowhere", "a.log", "cut", "transposed", "other tokens", "heads", "silu")
    flags = (
        "--temperature -1", "--temperature nan", "--top-p 0", "--top-p 1.5", "--top-k -1", "--seed -1", "--length 0",
        "--as nobody", "--prompt \u20ac", "--at 1", "--from-capture a.log --prompt x", "--from-capture nowhere.log",
        "--from-capture model", "--from-capture a.log --at 6", "--output a.log", "--output a.log/x.cast", "--nix",
    )  # fmt: skip
    wrong = [["--model-dir", name] for name in folders] + [["--model-dir", "model", *flag.split()] for flag in flags]
    right = [
        ["--model-dir", "model", "--length", "9", *rest.split()]
        for rest in ("", "--prompt look --as client", "--from-capture a.log --raw", "--output x.cast --temperature 0")
    ]
    run = subprocess.run(
        [sys.executable, "-c", GENERATE, json.dumps(wrong + right)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr.decode()
    seen = json.loads(run.stderr.splitlines()[-1])
    assert seen == [[each, 2, []] for each in wrong] + [[each, 0, ["torch"]] for each in right]
    assert (tmp_path / "x.cast").exists()


def test_the_benchmark_times_generate_beside_the_stock_import(model, called, monkeypatch):
    seen = []

    def first_byte(arguments: tuple[str, ...]) -> float:
        seen.append(arguments)
        if arguments[:2] == ("-m", "greylord"):
            result = called(*arguments[2:])
            assert (result.returncode, result.stderr) == (0, "") and result.stdout
        return float(len(seen))

    monkeypatch.setattr(startup, "first_byte", first_byte)
    seconds = startup.first_byte_seconds(model)
    # The first round is not counted.
    assert seconds == {"greylord": [3, 5, 7, 9, 11], "stock import": [4, 6, 8, 10, 12]}
    assert seen[1::2] == [("-c", startup.STOCK)] * 6 and "from transformers import GPT2LMHeadModel" in startup.STOCK


def test_the_first_byte_is_timed_unless_the_process_fails_or_prints_nothing():
    began = time.perf_counter()
    seconds = startup.first_byte(("-c", "import time; time.sleep(0.2); print(1)"))
    assert 0.2 < seconds < time.perf_counter() - began
    for code in ("pass", "print(1); raise SystemExit(3)"):
        with pytest.raises(GreylordError, match="ended with"):
            startup.first_byte(("-c", code))
