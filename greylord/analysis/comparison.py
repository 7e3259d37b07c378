"""Compare runs: group those with comparable figures, and list what differs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from greylord.runs import Run, Scored

__all__ = ["comparable_groups", "differences"]

_COVERED_BY_DATA_HASH = ("trained_on", "pauses.")
"""Long entries of training_config.json. They differ only where `data_hash` differs."""


def comparable_groups(runs: Iterable[Run]) -> list[list[Run]]:
    """Group finished runs that scored the same bytes by the same protocol.

    Returns:
        Groups in the order of their best figure; the runs of a group from best to worst. Runs that have not finished
        are left out.
    """
    groups: dict[Scored, list[Run]] = defaultdict(list)
    for run in sorted((run for run in runs if run.summary), key=_figure):
        if run.scored is not None:
            groups[run.scored].append(run)
    return list(groups.values())


def _figure(run: Run) -> float:
    return math.inf if run.bits_per_byte is None else run.bits_per_byte


def differences(first: Run, second: Run) -> dict[str, tuple[Any, Any]]:
    """List the settings that differ between two runs.

    Returns:
        The values of both, by dotted key of training_config.json ("settings.learning_rate"); None where a run lacks
        the key.
    """
    one, other = _flattened(first.config), _flattened(second.config)
    pairs = {
        key: (one.get(key), other.get(key)) for key in {**one, **other} if not key.startswith(_COVERED_BY_DATA_HASH)
    }
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested objects as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
