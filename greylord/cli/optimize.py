"""`greylord optimize`: what fits into memory."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greylord import units
from greylord.cli import console
from greylord.cli.advice import command_line
from greylord.errors import GreylordError, UsageError
from greylord.files import json_text, write_file
from greylord.training.config import CONFIG, TrainingConfig, read_config
from greylord.training.plan import MAX_MICRO_TOKENS, context_within, tokens_per_step

if TYPE_CHECKING:
    from greylord.training.memory import MemoryPoint, Step

GB = 10**9


def optimize(
    memory_gb: Annotated[str, typer.Option(metavar="GB", help="Memory of the device, in units of 10^9 bytes.")],
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Windows an optimizer step, of the context that is configured.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Size of the model: default, medium or large.")
    ] = None,
    show_alternatives: Annotated[bool, typer.Option("--show-alternatives", help="Show all contexts that fit.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Put what is recommended into config.json.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the largest micro-batch that fits into memory, for each context, at as many tokens an optimizer step.

    On an NVIDIA GPU each is checked by a real step; elsewhere the figures are estimates.

    [dim]Example: greylord optimize --memory-gb 8 --show-alternatives[/]
    """
    limit = _bytes(memory_gb)
    configured, _ = read_config(None)
    settings = TrainingConfig().changed(configured).changed({"batch_size": batch_size, "preset": preset})

    from greylord import modeling
    from greylord.training import memory
    from greylord.training.hardware import choose_device

    console.quieten()
    shape = modeling.preset(settings.preset)
    device = choose_device(cpu=False)
    held = memory.device_bytes(device)
    context = settings.context_window or context_within(math.inf, device.type, device.bf16)
    tokens = settings.batch_size * context if settings.batch_size else tokens_per_step(device.type)
    points = memory.points(shape, tokens, limit, device, held)
    if not points:
        enough = math.ceil(100 * memory.least(shape, device, held) / GB) / 100
        raise UsageError(
            f"{units.size(limit)} is too little for {shape}: one window of {memory.CONTEXTS[0]} tokens needs "
            f"--memory-gb {enough}, {units.size(held)} of it for what is no tensor."
        )
    steps = {}
    if device.type == "cuda":
        with console.progress("Steps", len(points)) as advance:
            for point in points:
                steps[point.context] = memory.measure(shape, point, device)
                advance(1)
        points = [point for point in points if steps[point.context]]
        if not points:
            raise GreylordError(f"{device.reason} has run out of memory at every context; is it in use?")
    # Points are in the order of their contexts.
    chosen = [point for point in points if point.context <= context][-1]
    values = {
        "preset": settings.preset,
        "context_window": chosen.context,
        "batch_size": chosen.batch_size,
        "micro_batch": chosen.micro_batch,
    }
    if as_json:
        console.print_json(
            {
                "model": shape._asdict(),
                "device": device.reason,
                "memory_bytes": limit,
                "recommended": _as_json(chosen, steps),
                "line": command_line(values),
                "alternatives": [_as_json(point, steps) for point in points],
            }
        )
    else:
        console.say("model", f"GPT-2, {shape}")
        console.say("device", device.reason)
        how = "each point has been measured by a step" if steps else "these are estimates: no NVIDIA GPU to measure on"
        console.say("memory", f"{units.size(limit)}; {how}")
        console.say("step", f"{chosen.tokens_per_step:,} tokens, or as near as windows come to it")
        others = [point for point in points if point is not chosen and show_alternatives]
        _show([chosen, *others], steps)
        if limit := MAX_MICRO_TOKENS.get(device.type):
            console.note(f"a pass has at most {limit:,} tokens here: more would not stay in the cache")
        console.out.print(f"Recommended, as the longest context that fits, up to the configured {context:,}:")
        console.out.print()
        console.out.print(f"    {command_line(values)}")
        console.out.print()
    if write:
        _write(values)
        if not as_json:
            console.say("written", str(CONFIG))


def _bytes(memory_gb: str) -> int:
    try:
        size = float(memory_gb)
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise UsageError(f"--memory-gb must be a number above 0, as 8 or 1.5, not {memory_gb!r}.")
    return round(size * GB)


def _show(points: Sequence[MemoryPoint], steps: Mapping[int, Step | None]) -> None:
    """A column a point, the recommended first: windows and passes, then memory in MB."""
    table = console.table("context", *(f"{point.context:,}" for point in points))
    table.collapse_padding, table.columns[1].style = True, "bold green"
    for name, value in {
        "windows fit": lambda point: point.fitting,
        "micro-batch": lambda point: point.micro_batch,
        "passes a step": lambda point: point.accumulation,
    }.items():
        table.add_row(name, *(f"{value(point):,}" for point in points))
    table.add_row()
    for item in asdict(points[0].memory):
        table.add_row(item, *(_mb(getattr(point.memory, item)) for point in points))
    table.add_row("together, MB", *(_mb(point.memory.total) for point in points))
    if steps:
        table.add_row()
        table.add_row("tensors", *(_mb(point.memory.tensors) for point in points))
        table.add_row("measured", *(_mb(steps[point.context].peak_memory_bytes) for point in points))
        table.add_row("tokens/s", *(f"{steps[point.context].tokens_per_second:,.0f}" for point in points))
    console.out.print()
    console.out.print(table)
    console.out.print()
    if steps and len(points) > 1:
        fastest = max(points, key=lambda point: steps[point.context].tokens_per_second)
        console.out.print(f"Fastest, as measured: a context of {fastest.context:,}.")


def _mb(size: int) -> str:
    return f"{size / 10**6:,.0f}"


def _as_json(point: MemoryPoint, steps: Mapping[int, Step | None]) -> dict[str, Any]:
    step = steps.get(point.context)
    return {
        **asdict(point),
        "accumulation": point.accumulation,
        "tokens_per_step": point.tokens_per_step,
        "memory": {**asdict(point.memory), "tensors": point.memory.tensors, "total": point.memory.total},
        "measured": step and {"tensors": step.peak_memory_bytes, "tokens_per_second": step.tokens_per_second},
    }


def _write(values: Mapping[str, Any]) -> None:
    """Set the values in config.json; what else it holds stays."""
    content = json.loads(json_text(CONFIG)) if CONFIG.exists() else {}
    content |= {name: value for name, value in values.items() if value is not None}
    write_file(CONFIG, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
