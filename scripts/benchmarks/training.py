"""The stock Trainer as `greylord train` sets it up, beside a bare PyTorch loop and the naive way; and what each
recipe reaches in a time."""

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

PAIRS, STEPS = 5, 16
"""Rounds in which each way takes its turn, and the optimizer steps of a turn. Its pace is that of the median step, for
whatever else the machine does falls on some of them only."""
PLAIN_RATE = 1e-3
"""Of the plain recipe: the lowest of the rates usual for small models from scratch, and so the safest."""


def _fresh(context: int, device: Device) -> GPT2LMHeadModel:
    """The default model as `greylord train` begins with it."""
    model = modeling.new_model(context)
    model.set_attn_implementation(choose_attention(None, device)[0])
    return model


def naive_model(context: int) -> GPT2LMHeadModel:
    """The default model as GPT2Config has it: eager attention, dropout, GELU in eight operations."""
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
    """Train by a loop of PyTorch alone, on the batches that the Trainer gets. Returns when each step was done."""
    model.to(device.type).train()
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
    """Of the median step, the first two left out."""
    return statistics.median(after - before for before, after in pairwise(times[1:]))


def _trainer(
    model: GPT2LMHeadModel, order: Order, plan: Plan, settings: TrainingConfig, device: Device, compiled: bool
) -> float:
    """Seconds a step of the stock Trainer."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "eval_strategy": "no",
            "save_strategy": "no",
            # A run logs at one step in a hundred or so; one as short as this would at each.
            "logging_steps": STEPS,
        }
        arguments = training_arguments(settings, plan, device, Path(folder), overrides)
        make_trainer(model, arguments, order, [], None, [clock], compiled).train()
    return _pace(clock.steps)


def _speed(way: str, corpus: Path, context: int) -> float:
    """Tokens a second of a way. All get the same batches of full windows."""
    rows, device = Rows(corpus, "train"), choose_device(cpu=False)
    settings = TrainingConfig(context_window=context, max_steps=STEPS)
    plan = make_plan(settings, len(TrainingWindows(rows, context)), 1, device.type, 1, pretrained=True)
    order, rate = Order(rows, plan, seed=0), settings.learning_rate
    compiled, _ = choose_compilation(None, device.type)
    if way == "greylord":
        pace = _trainer(_fresh(context, device), order, plan, settings, device, compiled)
    elif way == "bare loop":
        pace = _pace(bare_loop(_fresh(context, device), order, plan, device, rate, compiled))
    else:
        plain = replace(device, bf16=False)
        pace = _pace(bare_loop(naive_model(context), order, plan, plain, rate, compiled=False))
    return plan.tokens_per_step / pace


def training_speeds(corpus: Path, context: int) -> dict[str, list[float]]:
    """Tokens a second of the Trainer, the bare loop and the naive way, of five interleaved rounds.

    The naive way has a process of its own, for in that of the others freed memory is kept.
    """
    speeds = {"greylord": [], "bare loop": [], "naive": []}
    quieten = transformers.utils.logging.set_verbosity_error
    with ProcessPoolExecutor(1, get_context("spawn"), quieten) as apart:
        for _ in range(PAIRS):
            speeds["greylord"].append(_speed("greylord", corpus, context))
            speeds["bare loop"].append(_speed("bare loop", corpus, context))
            speeds["naive"].append(apart.submit(_speed, "naive", corpus, context).result())
    return speeds


def recipes(corpus: Path, seconds: float) -> tuple[GPT2LMHeadModel, int, dict[str, float]]:
    """The model that the recipe makes in as many seconds of training, the tokens that it reads, and the bits per byte
    that it and a plain recipe reach, both in the bare loop.

    The plain one has the same model, kernel, batch and linear schedule, but full windows of 1,024 from the start, all
    alike, random positions and a rate of 1e-3.
    """
    rows, validation, device = Rows(corpus, "train"), Rows(corpus, "validation"), choose_device(cpu=False)
    compiled, _ = choose_compilation(None, device.type)
    spans = sample_spans(validation)
    figures = {}
    own = TrainingConfig()
    for name, context, rate, candidates in (
        ("plain", 1_024, PLAIN_RATE, 1),
        ("greylord", context_within(seconds, device.type, device.bf16), own.learning_rate, own.candidates),
    ):
        torch.manual_seed(0)
        model = _fresh(context, device)
        if name == "plain":
            torch.nn.init.normal_(model.transformer.wpe.weight, std=model.config.initializer_range)
        settings = TrainingConfig(context_window=context, max_steps=STEPS, candidates=candidates)
        windows = len(TrainingWindows(rows, context))
        shape = make_plan(settings, windows, 1, device.type, 1, pretrained=name == "plain")
        pace = _pace(bare_loop(_fresh(context, device), Order(rows, shape, 0), shape, device, rate, compiled))
        plan = shape.scheduled(max(STEPS, int(seconds / pace)), 1)
        began = time.perf_counter()
        late = lambda step, began=began: time.perf_counter() - began > 1.1 * seconds  # noqa: E731
        steps = len(bare_loop(model, Order(rows, plan, 0), plan, device, rate, compiled, late))
        figures[name] = bits_per_byte.score_spans(model, validation, spans, context).bits_per_byte
    return model, steps * plan.tokens_per_step, figures
