"""Which runs compare, and what differs between two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from greylord.runs import Run

__all__ = ["by_what_was_scored", "differences"]


def by_what_was_scored(runs: Sequence[Run]) -> list[list[Run]]:
    """Finished runs whose figures compare, the best first; groups and runs alike."""
    groups = defaultdict(list)
    for run in sorted((run for run in runs if run.scored), key=lambda run: run.bits_per_byte):
        groups[run.scored].append(run)
    return list(groups.values())


def differences(one: Run, other: Run) -> dict[str, tuple[Any, Any]]:
    """What decided two runs and is not the same, by name as "settings.learning_rate"; None where a run lacks it."""
    first, second = (_flat(run.config) for run in (one, other))
    # The data_hash tells as much as these in one line.
    data = ("trained_on", "pauses.")
    pairs = {name: (first.get(name), second.get(name)) for name in {**first, **second} if not name.startswith(data)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
