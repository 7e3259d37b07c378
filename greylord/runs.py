"""models/: a folder a run, the newest of which models/latest names."""

from __future__ import annotations

import difflib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from greylord.errors import GreylordError, UsageError
from greylord.files import json_text, write_file
from greylord.json_fields import CONFIG_FIELDS, EVALUATION_FIELDS, PLAN_FIELDS, SUMMARY_FIELDS, check_fields
from greylord.workspace import HERE

__all__ = [
    "CARD",
    "CHECKPOINTS",
    "COMPLETE",
    "CONFIG_NAME",
    "HISTORY",
    "JOURNAL",
    "LATEST",
    "ORIGIN",
    "RECORD_FILES",
    "SUMMARY",
    "USE_FILES",
    "WEIGHTS",
    "Provenance",
    "Run",
    "all_runs",
    "by_what_was_scored",
    "differences",
    "fetched",
    "locate",
    "mark_latest",
    "nearest",
    "new_run",
    "read_journal",
    "read_json",
    "read_provenance",
    "read_run",
    "repository_of",
    "resume_point",
]

LATEST = "latest"
"""A text file that holds a folder's name: symbolic links need a privilege on Windows."""
CONFIG_NAME, HISTORY, SUMMARY = "training_config.json", "training_history.json", "training_summary.json"
JOURNAL = "training_history.jsonl"
"""The history of a run that has not ended."""
WEIGHTS = "model.safetensors"
USE_FILES = (
    WEIGHTS,
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab_to_int.json",
    "int_to_vocab.json",
)
"""What a model cannot be used without."""
CARD = "README.md"
DRAFTS = "drafts.json"
"""What the model said after training, to look drafts up in."""
RECORD_FILES = (CONFIG_NAME, HISTORY, SUMMARY, "training_curves.png", DRAFTS, CARD)
"""What a run leaves besides: a model is sound without them."""
CHECKPOINTS = "checkpoints"
"""The folder of a run's checkpoints while it goes on."""
ORIGIN = "origin.json"
"""Which repository of the Hub and which commit a fetched model is."""
COMPLETE = "complete"
"""The file in a checkpoint that is written last."""
LARGEST_JSON = 20 * 10**6
"""Bytes of a JSON file; greylord's own have a tenth of it."""
STAMP = "%Y-%m-%dT%H-%M-%S"
"""The time in the name of a run's folder."""


def new_run(name: str) -> Path:
    """Make the folder of a new run, models/NAME_TIME."""
    # models/latest holds it in one line, and safetensors opens no path that is not Unicode.
    name = "".join(character if character.isprintable() else "_" for character in name).strip()
    stamp = datetime.now().strftime(STAMP)
    number = 1
    while True:
        folder = HERE.models / (f"{name}_{stamp}" if number == 1 else f"{name}_{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The evaluations in a journal; none if there is no file. Raises GreylordError if it is damaged."""
    if not path.is_file():
        return []
    try:
        # What follows the last newline is still being written, or never was.
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    except (ValueError, RecursionError) as error:
        raise GreylordError(f"{str(path)!r} is damaged: {error}.") from error
    return _checked_rows(path, rows)


def _checked_rows(path: Path, rows: object) -> list[dict[str, Any]]:
    """Return the evaluations of a file. Raises GreylordError if they are none."""
    if not isinstance(rows, list):
        raise GreylordError(f"{str(path)!r} is damaged: it holds no list of evaluations.")
    for row in rows:
        check_fields(path, row, EVALUATION_FIELDS)
    return rows


def resume_point(run: Path) -> tuple[Path | None, list[Path]]:
    """The newest complete checkpoint of a run, if there is one, and the torn ones that are newer."""
    torn = []
    for path in sorted((run / CHECKPOINTS).glob("checkpoint-*"), key=_step, reverse=True):
        if (path / COMPLETE).is_file():
            return path, torn
        torn.append(path)
    return None, torn


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def mark_latest(run: Path) -> None:
    """Let models/latest name this run."""
    write_file(run.parent / LATEST, run.name + "\n")


def locate(path: Path) -> Path:
    """The folder of a model: a path, or models/latest. Raises UsageError if there is none."""
    if path.name == LATEST and path.is_file():
        path = path.parent / os.fsdecode(path.read_bytes().strip())
    if path.is_dir():
        return path
    if (HERE.models / path).is_dir():
        return HERE.models / path
    if (meant := nearest(path)) is not None:
        raise UsageError(f"There is no model folder {str(path)!r}. Did you mean {str(meant)!r}?")
    known = sorted(folder.name for folder in HERE.models.glob("*_*") if folder.is_dir())
    there = f"models/ has {', '.join(known[-5:])}" if known else "models/ has none yet"
    raise UsageError(f"There is no model folder {str(path)!r}; {there}.")


def nearest(path: Path) -> Path | None:
    """Find the folder that a misspelt path may mean.

    Args:
        path: A path at which there is nothing.

    Returns:
        A folder whose name is near, in models/ for a bare name; None if there is none.
    """
    first, *rest = path.parts or ("",)
    if not rest:
        return _near(first, HERE.models)
    if path.parent.is_dir():
        return _near(path.name, path.parent)
    # Where the rest is found, the first part may be farther off.
    if (folder := _near(first, Path(), nearness=0.6)) is None:
        return None
    meant = folder.joinpath(*rest)
    if (found := meant if meant.is_dir() else _near(meant.name, meant.parent)) is not None:
        return found
    return _near(first, Path())


def _near(name: str, folder: Path, nearness: float = 0.75) -> Path | None:
    """The folder in a folder whose name is nearest, or models/latest. models/ counts before the first run too."""
    if not folder.is_dir():
        return None
    known = {HERE.models.name: HERE.models} if folder == Path() else {}
    known |= {each.name.casefold(): each for each in folder.iterdir() if each.is_dir() or each.name == LATEST}
    close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=nearness)
    return known[close[0]] if close else None


def repository_of(path: Path) -> str | None:
    """The repository of the Hub that stands where a model's folder may: USER/NAME, where USER is no folder. None for
    anything else."""
    if path.is_absolute() or len(path.parts) != 2 or path.parent == HERE.models or path.parent.exists():
        return None
    return None if (HERE.models / path).is_dir() or path.parts[0] == ".." else path.as_posix()


def fetched(repo_id: str) -> Path | None:
    """The folder in models/ that holds a repository's model, the one that was fetched last; None if there is none."""
    origins = [path for path in HERE.models.glob(f"*/{ORIGIN}") if (read_json(path) or {}).get("repo_id") == repo_id]
    return max(origins, key=lambda path: path.stat().st_mtime).parent if origins else None


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if the file is missing, huge or no such thing. Others may have written it."""
    try:
        # A pipe would be waited for.
        if not path.is_file() or path.stat().st_size > LARGEST_JSON:
            return None
        content = json.loads(json_text(path))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


@dataclass(frozen=True)
class Run:
    """A run of training, by the files in its folder.

    Attributes:
        folder: models/NAME_TIME.
        config: training_config.json, what decided the run.
        summary: training_summary.json; None while the run goes on, or if it broke off.
    """

    folder: Path
    config: dict[str, Any]
    summary: dict[str, Any] | None

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """The history so far, a `greylord.training.callbacks.Evaluation` each."""
        if not self.summary:
            return read_journal(self.folder / JOURNAL)
        path = self.folder / HISTORY
        if not path.is_file():
            return []
        try:
            rows = json.loads(json_text(path))
        except (ValueError, RecursionError) as error:
            raise GreylordError(f"{str(path)!r} is damaged: {error}.") from error
        return _checked_rows(path, rows)

    @property
    def bits_per_byte(self) -> float | None:
        """The best figure of a finished run, else the last there is."""
        if self.summary:
            return self.summary["best_bits_per_byte"]
        return self.evaluations[-1]["bits_per_byte"] if self.evaluations else None

    @property
    def steps(self) -> int:
        """Optimizer steps; up to the last evaluation while the run goes on."""
        if self.summary:
            return self.summary["steps"]
        return self.evaluations[-1]["step"] if self.evaluations else 0

    @property
    def scored(self) -> tuple[str, str, int, str] | None:
        """Dataset, its content hash, payload bytes and protocol behind the figure: where they differ, figures of
        two runs do not compare. None of a run that is not finished."""
        if not self.summary:
            return None
        return tuple(self.summary[key] for key in ("dataset", "data_hash", "scored_bytes", "protocol"))

    @property
    def started(self) -> datetime | None:
        """By the folder's name; None if it has another."""
        try:
            return datetime.strptime(self.folder.name.rpartition("_")[2][:19], STAMP)
        except ValueError:
            return None

    @property
    def last_change(self) -> datetime:
        """When something was last written into the folder."""
        return datetime.fromtimestamp(max(path.stat().st_mtime for path in self.folder.iterdir()))


def read_run(folder: Path) -> Run:
    """Read the run that left a folder, or is writing it.

    Raises:
        UsageError: no run did.
        GreylordError: a file of it is damaged, or not as greylord writes it.
    """
    config = read_json(folder / CONFIG_NAME)
    if config is None or "plan" not in config:
        raise UsageError(f"{str(folder)!r} is no run of greylord: its {CONFIG_NAME} is missing or tells no plan.")
    check_fields(folder / CONFIG_NAME, config, CONFIG_FIELDS)
    summary = read_json(folder / SUMMARY)
    # Only a run without the file is one that has not ended.
    if (folder / SUMMARY).exists():
        check_fields(folder / SUMMARY, summary, SUMMARY_FIELDS)
    run = Run(folder, config, summary)
    if summary is None:
        # How far it is tells the plan, and its figure is the last one of the journal.
        check_fields(folder / CONFIG_NAME, config["plan"], PLAN_FIELDS)
        _ = run.evaluations
    return run


def all_runs() -> tuple[list[Run], list[str]]:
    """The runs in models/, and a sentence about each that is damaged."""
    found, damaged = [], []
    for path in sorted(HERE.models.glob(f"*/{CONFIG_NAME}")):
        if "plan" not in (read_json(path) or {}):
            continue
        try:
            found.append(read_run(path.parent))
        except GreylordError as error:
            damaged.append(str(error))
    return found, damaged


@dataclass(frozen=True)
class Provenance:
    """What a model's training_config.json says of its data."""

    dataset: Path | None
    """The folder of the recordings; None if it does not say."""
    data_hash: str | None
    """The content hash of the corpus; None if it does not say."""
    trained_on: frozenset[str]
    """SHA-256 of the payload of each recording that the model has read."""
    credentials: str
    """Whether it has read passwords in clear: "masked", "kept" or "unknown"."""


def read_provenance(folder: Path) -> Provenance:
    """Read what a model has been trained on. What the folder does not say, or not soundly, is unknown."""
    config = read_json(folder / CONFIG_NAME) or {}
    dataset, data_hash, read = (config.get(name) for name in ("dataset_folder", "data_hash", "trained_on"))
    credentials = config.get("credentials")
    return Provenance(
        Path(dataset) if isinstance(dataset, str) and dataset else None,
        data_hash if isinstance(data_hash, str) else None,
        frozenset(each for each in read if isinstance(each, str)) if isinstance(read, list) else frozenset(),
        credentials if credentials in ("masked", "kept") else "unknown",
    )


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
