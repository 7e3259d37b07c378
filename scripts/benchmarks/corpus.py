"""Speed of building a corpus, beside the Hugging Face tokenizer.

Both read the same payload.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from greylord.captures.reading import is_recording, read_session
from greylord.corpus.build import build_corpus
from greylord.corpus.listing import list_files
from greylord.stream.tokenizer import Tokenizer
from greylord.workspace import Workspace

__all__ = ["corpus_speeds"]

RUNS = 3
TOKENIZED_BYTES = 2 * 10**6
"""Payload bytes for the tokenizer, which is slow."""


def corpus_speeds(dataset: Path) -> dict[str, list[float]]:
    """Measure both ways in turns, in one process and with the files in memory.

    Returns:
        MB of raw bytes/s for each of three runs, by way: "greylord" and "tokenizer".
    """
    dataset = dataset.resolve()
    files = list_files(dataset).files
    raw = sum(path.stat().st_size for path in files)
    speeds: dict[str, list[float]] = {"greylord": [], "tokenizer": []}
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as empty:
            began = time.perf_counter()
            build_corpus(dataset, workspace=Workspace(Path(empty)))
            speeds["greylord"].append(raw / (time.perf_counter() - began) / 10**6)
        speeds["tokenizer"].append(_tokenizer_speed(files))
    return speeds


def _tokenizer_speed(files: list[Path]) -> float:
    """Measure `Tokenizer` on payload that has been read already, in MB of raw bytes/s."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer()
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
