"""Benchmarks of training: its speed, and the figure that recipes reach.

The speed is compared with a bare PyTorch loop and a naive setup. All three ways train the same model on the same
batches of full windows.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import torch
import transformers
from torch.nn.utils import clip_grad_norm_
from transformers import GPT2Config, GPT2LMHeadModel, get_linear_schedule_with_warmup

from greylord import modeling
from greylord.corpus.batching import collate
from greylord.corpus.windows import Rows, TrainingWindows, sample_spans
from greylord.evaluation import bits_per_byte
from greylord.training.config import TrainingConfig
from greylord.training.hardware import Device, choose_attention, choose_compilation, choose_device, compile_blocks
from greylord.training.hf_trainer import ADAM_BETA2, MAX_GRAD_NORM, make_trainer, training_arguments
from greylord.training.plan import Plan, context_within, make_plan
from greylord.training.probe import Clock
from greylord.training.sampling import Order

__all__ = ["recipes", "training_speeds"]

ROUNDS, STEPS = 5, 16
"""Rounds in which each way takes a turn, and the optimizer steps of a turn. The pace of a turn is its median step, so
that other load on the machine does not count."""
PLAIN_LEARNING_RATE = 1e-3
"""Learning rate of the plain recipe: the lowest that is usual for small models from scratch, and so the safest."""


def _new_model(context: int, device: Device) -> GPT2LMHeadModel:
    """Make the default model as a run begins with it."""
    model = modeling.new_model(context)
    model.set_attn_implementation(choose_attention(None, device)[0])
    return model


def naive_model(context: int) -> GPT2LMHeadModel:
    """Make the default model with the defaults of GPT2Config.

    They are eager attention, dropout, and GELU in eight operations.
    """
    stock = GPT2Config()
    names = ("activation_function", "resid_pdrop", "embd_pdrop", "attn_pdrop")
    config = modeling.new_model(context).config
    config.update({name: getattr(stock, name) for name in names})
    model = GPT2LMHeadModel(config)
    model.set_attn_implementation("eager")
    return model


def bare_loop(
    model: GPT2LMHeadModel,
    order: Order,
    plan: Plan,
    device: Device,
    rate: float,
    compiled: bool,
    stop: Callable[[int], bool] = lambda step: False,
) -> list[float]:
    """Train by a plain PyTorch loop, on the batches that the Trainer gets.

    Args:
        rate: Peak learning rate.
        stop: Tells after each step if training ends.

    Returns:
        The time at the end of each step, by `time.perf_counter()`.
    """
    model.to(device.type).train()  # type: ignore[arg-type]  # transformers hides the signature behind a decorator
    if compiled:
        compile_blocks(model)
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, ADAM_BETA2), fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, plan.warmup_steps, plan.max_steps)
    times = []
    for step in range(plan.max_steps):
        for index in range(plan.accumulation):
            first = (step * plan.accumulation + index) * plan.micro_batch
            windows = [window for slot in range(first, first + plan.micro_batch) for window in order[slot]]
            batch = {name: tensor.to(device.type) for name, tensor in collate(windows).items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=device.bf16):
                loss = model(**batch, use_cache=False).loss / plan.accumulation
            loss.backward()
        clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())
        if stop(step):
            break
    return times


def _pace(times: Sequence[float]) -> float:
    """Return the seconds of the median step, without the first two."""
    return statistics.median(after - before for before, after in pairwise(times[1:]))


def _trainer(
    model: GPT2LMHeadModel, order: Order, plan: Plan, config: TrainingConfig, device: Device, compiled: bool
) -> float:
    """Return the seconds per step of the stock Trainer."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "eval_strategy": "no",
            "save_strategy": "no",
            # A run logs about every hundredth step. One as short as this would log every step.
            "logging_steps": STEPS,
        }
        arguments = training_arguments(config, plan, device, Path(folder), overrides)
        make_trainer(model, arguments, order, [], None, [clock], compiled).train()
    return _pace(clock.steps)


def _speed(way: str, corpus: Path, context: int) -> float:
    """Return the tokens per second of one way to train."""
    rows, device = Rows(corpus, "train"), choose_device(cpu=False)
    compiled, _ = choose_compilation(None, device.type)
    config = TrainingConfig(max_steps=STEPS).resolved(context, choose_attention(None, device)[0], compiled)
    plan = make_plan(config, len(TrainingWindows(rows, context)), 1, device.type, 1, pretrained=True)
    order, rate = Order(rows, plan, seed=0), config.learning_rate
    if way == "greylord":
        pace = _trainer(_new_model(context, device), order, plan, config, device, compiled)
    elif way == "bare loop":
        pace = _pace(bare_loop(_new_model(context, device), order, plan, device, rate, compiled))
    else:
        plain = replace(device, bf16=False)
        pace = _pace(bare_loop(naive_model(context), order, plan, plain, rate, compiled=False))
    return plan.tokens_per_step / pace


def training_speeds(corpus: Path, context: int) -> dict[str, list[float]]:
    """Measure the tokens per second of three ways, in five interleaved rounds.

    The ways are the Trainer, the bare loop and the naive way. The naive way has its own process, because the process of
    the others keeps freed memory.
    """
    speeds: dict[str, list[float]] = {"greylord": [], "bare loop": [], "naive": []}
    quieten = transformers.utils.logging.set_verbosity_error
    with ProcessPoolExecutor(1, get_context("spawn"), quieten) as other_process:
        for _ in range(ROUNDS):
            speeds["greylord"].append(_speed("greylord", corpus, context))
            speeds["bare loop"].append(_speed("bare loop", corpus, context))
            speeds["naive"].append(other_process.submit(_speed, "naive", corpus, context).result())
    return speeds


def recipes(corpus: Path, seconds: float) -> tuple[GPT2LMHeadModel, int, dict[str, float]]:
    """Train by greylord's recipe and by a plain one for the same time.

    Both run in the bare loop. The plain recipe has the same model, kernel, batch and linear schedule. Its windows are
    full (1,024 tokens) from the start and not sampled by rarity, its positions begin at random, and its learning rate
    is 1e-3.

    Args:
        seconds: Time to train in each recipe.

    Returns:
        The model of greylord's recipe, the tokens that it was trained on, and the bits per byte of both.
    """
    rows, validation, device = Rows(corpus, "train"), Rows(corpus, "validation"), choose_device(cpu=False)
    compiled, _ = choose_compilation(None, device.type)
    spans = sample_spans(validation)
    figures = {}
    own = TrainingConfig()
    for name, context, rate, candidates in (
        ("plain", 1_024, PLAIN_LEARNING_RATE, 1),
        ("greylord", context_within(seconds, device.type, device.bf16), own.learning_rate, own.candidates),
    ):
        torch.manual_seed(0)
        model = _new_model(context, device)
        if name == "plain":
            torch.nn.init.normal_(model.transformer.wpe.weight, std=model.config.initializer_range)
        attention, _ = choose_attention(None, device)
        config = TrainingConfig(max_steps=STEPS, candidates=candidates).resolved(context, attention, compiled)
        windows = len(TrainingWindows(rows, context))
        shape = make_plan(config, windows, 1, device.type, 1, pretrained=name == "plain")
        pace = _pace(bare_loop(_new_model(context, device), Order(rows, shape, 0), shape, device, rate, compiled))
        plan = shape.scheduled(max(STEPS, int(seconds / pace)), 1)
        began = time.perf_counter()
        late = lambda step, began=began: time.perf_counter() - began > 1.1 * seconds  # noqa: E731
        steps = len(bare_loop(model, Order(rows, plan, 0), plan, device, rate, compiled, late))
        figures[name] = bits_per_byte.score_spans(model, validation, spans, context).bits_per_byte
    return model, steps * plan.tokens_per_step, figures
