"""Batches of windows: how they are padded and labelled, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from greylord.corpus.windows import Window
from greylord.stream import vocabulary

__all__ = ["IGNORED", "batch_size", "collate"]

IGNORED = -100
"""The label of a position that is not predicted."""
BATCH_TOKENS = {"cpu": 4_096, "cuda": 65_536}
"""Tokens scored at once, by type of device: more would not fit a CPU's cache, fewer would leave a GPU idle."""


def collate(windows: Sequence[Window]) -> dict[str, torch.Tensor]:
    """Join windows of one `length` into a batch.

    Windows are padded to that length, so that batches have few shapes.

    Returns:
        `input_ids` and `labels`, int64 [windows, length]. The labels of padding and of tokens before `scored_from`
        are `IGNORED`. If the windows have a `first_position`, also `position_ids`, int64 [windows, length].
    """
    shape = len(windows), windows[0]["length"]
    ids = np.full(shape, vocabulary.PAD, np.int64)
    labels = np.full(shape, IGNORED, np.int64)
    for index, window in enumerate(windows):
        tokens, scored = window["input_ids"], window["scored_from"]
        ids[index, : len(tokens)] = tokens
        labels[index, scored : len(tokens)] = tokens[scored:]
    batch = {"input_ids": ids, "labels": labels}
    if "first_position" in windows[0]:
        first = np.array([window["first_position"] for window in windows], np.int64)
        batch["position_ids"] = first[:, None] + np.arange(shape[1])
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def batch_size(device: str, context: int) -> int:
    """Return the number of windows to score at once on a type of device.

    `device` is "cpu" or "cuda".
    """
    return max(1, BATCH_TOKENS.get(device, BATCH_TOKENS["cpu"]) // context)
