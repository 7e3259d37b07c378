"""Whether the fields of a run's JSON files are of the types that they should be. Others may have written them."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greylord.errors import GreylordError

__all__ = ["CONFIG_FIELDS", "EVALUATION_FIELDS", "PLAN_FIELDS", "SUMMARY_FIELDS", "check_fields", "is_number"]

LARGEST = 2**63
"""No count of steps, tokens or bytes reaches it."""
_KINDS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", dict: "an object"}

CONFIG_FIELDS = {"dataset": str, "data_hash": str, "plan": dict}
PLAN_FIELDS = {"max_steps": int}
EVALUATION_FIELDS = {"step": int, "tokens": int, "bits_per_byte": float}
SUMMARY_FIELDS = {
    "dataset": str,
    "data_hash": str,
    "best_bits_per_byte": float,
    "protocol": str,
    "scored_bytes": int,
    "steps": int,
    "seconds": float,
    "parameters": int,
}
"""What the commands read of a run, and its types. None is below 0; a float may be NaN, infinite or whole."""


def is_number(value: object) -> bool:
    """Whether a value from JSON is a finite number that float64 holds."""
    return type(value) in (int, float) and -LARGEST < value < LARGEST


def check_fields(file: Path, content: object, kinds: Mapping[str, type]) -> None:
    """Check that an object from a JSON file has fields of the right types.

    Args:
        file: Where it comes from.
        content: Any value.
        kinds: Types by the name of the field.

    Raises:
        GreylordError: it is not an object, or a field is missing, of another type, or below 0.
    """
    if not isinstance(content, dict):
        raise GreylordError(f"{str(file)!r} is damaged: it holds {reprlib.repr(content)} instead of an object.")
    for name, kind in kinds.items():
        if name not in content:
            raise GreylordError(f"{str(file)!r} is damaged: {name} is missing.")
        if not _is(kind, content[name]):
            raise GreylordError(
                f"{str(file)!r} is damaged: {name} must be {_KINDS[kind]}, not {reprlib.repr(content[name])}."
            )


def _is(kind: type, value: Any) -> bool:
    if kind is float:
        return (is_number(value) and value >= 0) or (type(value) is float and not math.isfinite(value))
    # bool is a subclass of int, but true is not a count.
    return type(value) is kind and (kind is not int or 0 <= value < LARGEST)
