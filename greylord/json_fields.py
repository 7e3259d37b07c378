"""Check the types of fields in a run's JSON files.

Other programs may have written them.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from pathlib import Path

from greylord.errors import GreylordError

__all__ = ["CONFIG_FIELDS", "EVALUATION_FIELDS", "PLAN_FIELDS", "SUMMARY_FIELDS", "check_fields", "is_number"]

LARGEST = 2**63
"""Above any count of steps, tokens or bytes."""
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
"""The fields that the commands read, by file, with their types. None is below 0; a float may be NaN, infinite or
whole."""


def is_number(value: object) -> bool:
    """Tell whether a value from JSON is a number between -2^63 and 2^63, not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST


def check_fields(file: Path, content: object, kinds: Mapping[str, type]) -> None:
    """Check that a value from a JSON file is an object with fields of the right types.

    Args:
        file: The file, for the message.
        content: The value.
        kinds: Types by the name of the field.

    Raises:
        GreylordError: The value is not an object, or a field is missing, of another type, or below 0.
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


def _is(kind: type, value: object) -> bool:
    # bool is a subclass of int, but true is not a number.
    if isinstance(value, bool):
        return kind is bool
    if kind is float and isinstance(value, int | float):
        return 0 <= value < LARGEST or (isinstance(value, float) and not math.isfinite(value))
    return isinstance(value, kind) and (not isinstance(value, int) or 0 <= value < LARGEST)
