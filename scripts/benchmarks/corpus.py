"""Raw logs to an Arrow corpus, beside the Hugging Face tokenizer on the same payload."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import chdir
from pathlib import Path

from greylord.captures.reading import is_recording, read_session
from greylord.corpus import build, folder
from greylord.stream.tokenizer import GreylordTokenizer

__all__ = ["corpus_speeds"]

RUNS = 3
TOKENIZED_BYTES = 2 * 10**6
"""Of payload: enough for the slow way."""


def corpus_speeds(dataset: Path) -> dict[str, list[float]]:
    """MB of raw bytes a second, of three runs each in turn, with the files in memory and in one process."""
    dataset = dataset.resolve()
    files = list(folder.recordings(dataset))
    raw = sum(path.stat().st_size for path in files)
    ours, theirs = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as empty, chdir(empty):
            began = time.perf_counter()
            build.refresh(dataset)
            ours.append(raw / (time.perf_counter() - began) / 10**6)
        theirs.append(_tokenizer_speed(files))
    return {"greylord": ours, "tokenizer": theirs}


def _tokenizer_speed(files: list[Path]) -> float:
    """MB of raw bytes a second of `GreylordTokenizer` on payload that has been read already."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = GreylordTokenizer()
    texts, size, raw = [], 0, 0
    for path in filter(is_recording, files):
        payload = read_session(path, keep_credentials=True).payload.tobytes()
        texts.append(payload.decode("latin-1"))
        size, raw = size + len(payload), raw + path.stat().st_size
        if size > TOKENIZED_BYTES:
            break
    began = time.perf_counter()
    for text in texts:
        tokenizer(text, split_special_tokens=True)
    return raw / (time.perf_counter() - began) / 10**6
