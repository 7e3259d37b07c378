"""The 262 tokens: each byte is its own id, and six special tokens frame the turns."""

from collections.abc import Sequence

import numpy as np

from greylord.captures.session import Direction

__all__ = [
    "CLIENT",
    "DELAY_LONG",
    "DELAY_MEDIUM",
    "DELAY_SHORT",
    "PAD",
    "SERVER",
    "SPECIAL_TOKENS",
    "VOCAB_SIZE",
    "delay_ids",
    "direction_ids",
    "int_to_vocab",
    "vocab_to_int",
]

SPECIAL_TOKENS: Sequence[str] = (
    "<|pad|>",
    "<|client|>",
    "<|server|>",
    "<|delay_short|>",
    "<|delay_medium|>",
    "<|delay_long|>",
)
PAD, CLIENT, SERVER, DELAY_SHORT, DELAY_MEDIUM, DELAY_LONG = range(256, 262)
VOCAB_SIZE = 262

DELAY_BOUNDS_MS = (1_000, 5_000)
"""The longest short and the longest medium delay. Negative delays, from clocks out of order, count as short."""


def direction_ids(directions: np.ndarray) -> np.ndarray:
    """Return the direction tokens of `Direction` values.

    Args:
        directions: uint8 [n].

    Returns:
        uint16 [n].
    """
    return (directions.astype(np.uint16) + np.uint16(CLIENT - Direction.CLIENT)).astype(np.uint16)


def delay_ids(delays_ms: np.ndarray) -> np.ndarray:
    """Return the delay tokens of delays.

    Args:
        delays_ms: int64 [n], milliseconds.

    Returns:
        uint16 [n].
    """
    return (DELAY_SHORT + np.searchsorted(DELAY_BOUNDS_MS, delays_ms, side="left")).astype(np.uint16)


def int_to_vocab() -> dict[int, str]:
    """Map ids to names, as int_to_vocab.json does.

    The names are byte_0 to byte_255, and then the special tokens.
    """
    names = [f"byte_{value}" for value in range(256)] + list(SPECIAL_TOKENS)
    return dict(enumerate(names))


def vocab_to_int() -> dict[str, int]:
    """Map names to ids, as vocab_to_int.json does."""
    return {name: index for index, name in int_to_vocab().items()}
