"""`greylord optimize`: find what fits into memory."""

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
from greylord.cli.options import AsJson
from greylord.errors import GreylordError, UsageError
from greylord.files import json_text, write_file
from greylord.training.config import CONFIG, checked, read_config
from greylord.training.plan import MAX_MICRO_TOKENS, context_within, tokens_per_step

if TYPE_CHECKING:
    from greylord.modeling import Shape
    from greylord.training.hardware import Device
    from greylord.training.memory import MemoryPoint, Step

GB = 10**9


def optimize(
    memory_gb: Annotated[str, typer.Option(metavar="GB", help="Memory of the device, in GB (10^9 bytes).")],
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Windows per optimizer step, at the configured context window.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Size of the model: default, medium or large.")
    ] = None,
    show_alternatives: Annotated[bool, typer.Option("--show-alternatives", help="Show all contexts that fit.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the recommended settings to config.json.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find the largest micro-batch that fits into memory.

    It does so for each context window, at the same tokens per optimizer step.
    On an NVIDIA GPU each is measured by a real step. Elsewhere it is estimated.

    [dim]Example: greylord optimize --memory-gb 8 --show-alternatives[/]
    """
    limit = _memory_bytes(memory_gb)
    configured, _ = read_config(None)
    settings = checked(configured, None).changed({"batch_size": batch_size, "preset": preset})

    from greylord import modeling
    from greylord.training import memory
    from greylord.training.hardware import choose_device

    console.quieten()
    shape = modeling.preset(settings.preset)
    device = choose_device(cpu=False)
    overhead = memory.device_bytes(device)
    context = settings.context_window or context_within(math.inf, device.type, device.bf16)
    tokens = settings.batch_size * context if settings.batch_size else tokens_per_step(device.type)
    points = memory.points(shape, tokens, limit, device, overhead)
    if not points:
        enough = math.ceil(100 * memory.least(shape, device, overhead) / GB) / 100
        raise UsageError(
            f"A model of {shape} does not fit into {units.size(limit)}; give at least --memory-gb {enough}."
        )
    steps: dict[int, Step] = {}
    if device.type == "cuda":
        steps = _measure(shape, points, device)
        points = [point for point in points if point.context in steps]
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
        console.say("memory", units.size(limit))
        console.say("figures", "measured by a real step" if steps else "estimates (only an NVIDIA GPU can be measured)")
        console.say("step", f"about {chosen.tokens_per_step:,} tokens")
        others = [point for point in points if point is not chosen and show_alternatives]
        _show([chosen, *others], steps)
        if most := MAX_MICRO_TOKENS.get(device.type):
            console.footnote(f"at most {most:,} tokens per pass on this device: more would not fit into its cache")
        console.out.print(f"Recommended (the longest context window that fits, up to {context:,}):")
        console.out.print()
        console.out.print(f"    {command_line(values)}")
        console.out.print()
    if write:
        _write(values)
        if not as_json:
            console.say("written", str(CONFIG))


def _memory_bytes(memory_gb: str) -> int:
    try:
        size = float(memory_gb)
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise UsageError(f"--memory-gb must be a number above 0, such as 8 or 1.5, not {memory_gb!r}.")
    return round(size * GB)


def _measure(shape: Shape, points: Sequence[MemoryPoint], device: Device) -> dict[int, Step]:
    """Measure a step at each point.

    Returns the steps that did not run out of memory, by context window.
    """
    from greylord.training import memory

    steps = {}
    with console.progress("Measuring", len(points)) as advance:
        for point in points:
            if step := memory.measure(shape, point, device):
                steps[point.context] = step
            advance(1)
    if not steps:
        raise GreylordError(f"{device.reason} ran out of memory at every context window; another program may use it.")
    return steps


def _show(points: Sequence[MemoryPoint], steps: Mapping[int, Step]) -> None:
    """Print a column for each point, the recommended one first.

    Its rows are windows and passes, and then memory in MB.
    """
    table = console.table("context", *(f"{point.context:,}" for point in points))
    table.collapse_padding, table.columns[1].style = True, "bold green"
    table.add_row("windows that fit", *(f"{point.fitting:,}" for point in points))
    table.add_row("micro-batch", *(f"{point.micro_batch:,}" for point in points))
    table.add_row("passes per step", *(f"{point.accumulation:,}" for point in points))
    table.add_row("memory in MB", style="bold")
    for item in asdict(points[0].memory):
        table.add_row(item, *(_mb(getattr(point.memory, item)) for point in points))
    table.add_row("total", *(_mb(point.memory.total) for point in points))
    if steps:
        table.add_row("tensors, estimated", *(_mb(point.memory.tensors) for point in points))
        table.add_row("tensors, measured", *(_mb(steps[point.context].peak_memory_bytes) for point in points))
        table.add_row("tokens/s", *(f"{steps[point.context].tokens_per_second:,.0f}" for point in points))
    console.show(table)
    if steps and len(points) > 1:
        fastest = max(points, key=lambda point: steps[point.context].tokens_per_second)
        console.out.print(f"Fastest, as measured: a context of {fastest.context:,}.")


def _mb(size: int) -> str:
    return f"{size / 10**6:,.0f}"


def _as_json(point: MemoryPoint, steps: Mapping[int, Step]) -> dict[str, Any]:
    step = steps.get(point.context)
    return {
        **asdict(point),
        "accumulation": point.accumulation,
        "tokens_per_step": point.tokens_per_step,
        "memory": {**asdict(point.memory), "tensors": point.memory.tensors, "total": point.memory.total},
        "measured": step and {"tensors": step.peak_memory_bytes, "tokens_per_second": step.tokens_per_second},
    }


def _write(values: Mapping[str, Any]) -> None:
    """Set the values in config.json, and leave its other settings as they are."""
    content = json.loads(json_text(CONFIG)) if CONFIG.exists() else {}
    content |= {name: value for name, value in values.items() if value is not None}
    write_file(CONFIG, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
