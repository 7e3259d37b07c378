"""Check that a folder holds the 262 tokens, and that the files in it agree.

A vocabulary has up to three forms: vocab_to_int.json, int_to_vocab.json, and a tokenizer. Each entry is compared with
`greylord.stream.vocabulary`, and samples are encoded and decoded as `greylord.stream.turns` does with numpy.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from greylord import model_folders, runs, units
from greylord.errors import UsageError
from greylord.files import json_text
from greylord.stream import turns, vocabulary
from greylord.stream.tokenizer import Tokenizer, write_vocabulary
from greylord.workspace import HERE, Workspace

__all__ = ["FILES", "SAMPLES", "Entry", "Form", "VocabularyReport", "greylord_id", "inspect", "vocabulary_folder"]

NAMES, IDS, TOKENIZER = FILES = ("vocab_to_int.json", "int_to_vocab.json", "tokenizer.json")
SAMPLES = 200
"""Number of random payloads, and of random marked-up texts, that each form encodes and decodes."""
SHOWN = 3
"""Cases listed in a problem; the others are counted."""

_KNOWN, _TEXTS = vocabulary.vocab_to_int(), vocabulary.int_to_vocab()
_HEX_NAME = re.compile(r"<?(?:byte_)?0x([0-9a-fA-F]{2})>?")
_SPECIAL = re.compile("(" + "|".join(map(re.escape, vocabulary.SPECIAL_TOKENS)) + ")")


def greylord_id(name: str) -> int | None:
    """Return greylord's id of a token; None for a name that is not one of the 262.

    Args:
        name: A special token, or a byte as "byte_65", "A" (latin-1), "0x41" or "<0x41>".
    """
    if name in _KNOWN:
        return _KNOWN[name]
    if len(name) == 1 and ord(name) < 256:
        return ord(name)
    match = _HEX_NAME.fullmatch(name)
    return int(match[1], 16) if match else None


class Entry(NamedTuple):
    """An entry of a vocabulary."""

    name: str
    id: int


class _Codec(Protocol):
    """A form that encodes and decodes."""

    entries: Sequence[Entry]

    def encode(self, text: str, marked_up: bool) -> list[int]:
        """Return the ids of a text.

        In a marked-up text, the names of special tokens are tokens.
        """

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids."""


class _VocabularyFile:
    """A vocabulary file as a codec."""

    entries: Sequence[Entry]

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._ids = {greylord_id(entry.name): entry.id for entry in entries}
        self._tokens = {entry.id: greylord_id(entry.name) for entry in entries}

    def encode(self, text: str, marked_up: bool) -> list[int]:
        # The pattern is a group, so every other piece is a special token.
        pieces = _SPECIAL.split(text) if marked_up else [text]
        tokens = [token for n, piece in enumerate(pieces) for token in ([_KNOWN[piece]] if n % 2 else map(ord, piece))]
        return [self._ids.get(token, -1) for token in tokens]

    def decode(self, ids: list[int]) -> str:
        return "".join(_text(self._tokens.get(index)) for index in ids)


class _Tokenizer:
    """A tokenizer as a codec."""

    entries: Sequence[Entry]

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.entries = [Entry(*item) for item in tokenizer.get_vocab().items()]

    def encode(self, text: str, marked_up: bool) -> list[int]:
        return self._tokenizer(text, split_special_tokens=not marked_up)["input_ids"]

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids))


def _text(token: int | None) -> str:
    """Return a token as text; the replacement character for an unknown one."""
    if token is None:
        return "\ufffd"
    return chr(token) if token < vocabulary.PAD else _TEXTS[token]


class _Sample(NamedTuple):
    """A text, and the ids that greylord gives it."""

    text: str
    marked_up: bool
    ids: list[int]


def _payload_sample(payload: bytes) -> _Sample:
    return _Sample(payload.decode("latin-1"), False, _ids([(vocabulary.SERVER, vocabulary.DELAY_SHORT, payload)])[3:])


def _ids(rows: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """Encode turns as greylord does, given direction, delay token and payload of each."""
    payloads = [payload for _, _, payload in rows]
    stream = turns.Turns(
        payload=np.frombuffer(b"".join(payloads), np.uint8),
        ends=np.cumsum([len(payload) for payload in payloads], dtype=np.int64),
        directions=np.array([direction for direction, _, _ in rows], np.uint16),
        delays=np.array([delay for _, delay, _ in rows], np.uint16),
    )
    return turns.encode_turns(stream).tolist()


def _samples(seed: int = 0) -> dict[str, list[_Sample]]:
    """Return samples by kind.

    The kinds are all bytes, the special tokens, random payloads and random marked-up texts.
    """
    rng = random.Random(seed)
    specials = vocabulary.SPECIAL_TOKENS
    typed = [_payload_sample(token.encode()) for token in specials]
    payloads, texts = [], []
    for _ in range(SAMPLES):
        # A player can type the name of a special token, which would be a token in a marked-up text.
        pieces = [rng.choice((rng.randbytes(rng.randint(0, 60)), rng.choice(specials).encode())) for _ in range(4)]
        payloads.append(_payload_sample(b"".join(pieces)))
        rows = [
            (
                rng.choice((vocabulary.CLIENT, vocabulary.SERVER)),
                rng.choice((vocabulary.DELAY_SHORT, vocabulary.DELAY_MEDIUM, vocabulary.DELAY_LONG)),
                rng.randbytes(rng.randint(0, 60)).replace(b"<", b""),
            )
            for _ in range(4)
        ]
        text = "".join(
            _TEXTS[direction] + _TEXTS[delay] + payload.decode("latin-1") for direction, delay, payload in rows
        )
        texts.append(_Sample(_TEXTS[vocabulary.PAD] + text, True, _ids(rows)))
    return {
        "bytes": [_payload_sample(bytes([value])) for value in range(256)],
        "special tokens": [_Sample(token, True, [_KNOWN[token]]) for token in specials],
        "special tokens as payload": typed,
        "payloads": payloads,
        "marked-up texts": texts,
    }


@dataclass(frozen=True)
class Form:
    """One form of a vocabulary, compared with greylord's."""

    file: str
    entries: list[Entry]
    """Entries by ascending id."""
    gaps: list[int]
    """Ids without a token, below the highest."""
    duplicates: list[int]
    """Ids of several entries."""
    misplaced: list[Entry]
    """Tokens of greylord with another id."""
    unknown: list[Entry]
    """Entries that are not tokens of greylord."""
    passed: dict[str, int]
    """Samples that are encoded as greylord does and decoded back, by kind."""

    @property
    def wrong_ids(self) -> set[int]:
        """Ids that do not have greylord's token, or not only that."""
        return {*self.gaps, *self.duplicates, *(entry.id for entry in (*self.misplaced, *self.unknown))}

    def problems(self, total: dict[str, int]) -> list[str]:
        """Return the problems, one sentence each, given the number of samples by kind."""
        cases_by_problem: dict[str, Sequence[object]] = {
            "no token has the id": self.gaps,
            "several tokens have the id": self.duplicates,
            "another id than in greylord:": [f"{name!r} ({index})" for name, index in self.misplaced],
            "not a token of greylord:": [f"{name!r} ({index})" for name, index in self.unknown],
        }
        problems = [f"{self.file}: {problem} {_listed(cases)}." for problem, cases in cases_by_problem.items() if cases]
        return problems + [
            f"{self.file}: only {passed:,} of {total[kind]:,} {kind} are encoded as in greylord and decoded back."
            for kind, passed in self.passed.items()
            if passed < total[kind]
        ]


@dataclass(frozen=True)
class VocabularyReport:
    """Findings in a vocabulary. It is sound if there are no problems."""

    forms: list[Form]
    samples: dict[str, int]
    """Number of samples of each kind."""
    problems: list[str]
    """One sentence each."""


def vocabulary_folder(path: Path, *, workspace: Workspace = HERE) -> Path:
    """Return the folder of a vocabulary.

    Args:
        path: The folder, one of `FILES` in it, or models/latest.

    Raises:
        UsageError: There is no vocabulary.
    """
    if path.name == runs.LATEST:
        path = model_folders.locate(path, workspace=workspace)
    folder = path.parent if path.name in FILES else path
    if not any((folder / name).is_file() for name in FILES) or not path.exists():
        raise UsageError(
            f"There is no vocabulary at {str(path)!r}; give {TOKENIZER}, {NAMES}, {IDS} or a folder with one."
        )
    return folder


def inspect(folder: Path | None) -> VocabularyReport:
    """Compare each form of a vocabulary with greylord's.

    The two JSON files are also compared with each other.

    Args:
        folder: The folder; None for the built-in vocabulary, as it is written to the folder of a model.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            Tokenizer().save_pretrained(temporary)
            write_vocabulary(Path(temporary))
            return inspect(Path(temporary))
    readers: dict[str, Callable[[Path], _Codec]] = {NAMES: _read_names, IDS: _read_ids, TOKENIZER: _read_tokenizer}
    samples = _samples()
    total = {kind: len(texts) for kind, texts in samples.items()}
    forms, problems = [], []
    for name in FILES:
        if not (folder / name).is_file():
            continue
        if (size := (folder / name).stat().st_size) > runs.LARGEST_JSON:
            problems.append(f"{name} has {units.size(size)}, which no vocabulary needs.")
            continue
        try:
            codec = readers[name](folder / name)
        except ValueError as error:
            problems.append(f"{name}: {error}.")
            continue
        form = _test_form(name, codec, samples)
        forms.append(form)
        problems += form.problems(total)
    entries = {form.file: set(form.entries) for form in forms}
    if NAMES in entries and IDS in entries:
        for here, there in ((NAMES, IDS), (IDS, NAMES)):
            if only := sorted(entries[here] - entries[there], key=lambda entry: entry.id):
                cases = _listed([f"{name!r} ({index})" for name, index in only])
                problems.append(f"{here} and {there} are not inverse to each other: only {here} has {cases}.")
    return VocabularyReport(forms, total, problems)


def _test_form(file: str, codec: _Codec, samples: dict[str, list[_Sample]]) -> Form:
    names = defaultdict(list)
    for entry in codec.entries:
        names[entry.id].append(entry.name)
    return Form(
        file=file,
        entries=sorted(codec.entries, key=lambda entry: entry.id),
        gaps=sorted(set(range(max([vocabulary.VOCAB_SIZE, *names]))) - names.keys()),
        duplicates=sorted(index for index, names_of_id in names.items() if len(names_of_id) > 1),
        misplaced=[entry for entry in codec.entries if greylord_id(entry.name) not in (None, entry.id)],
        unknown=[entry for entry in codec.entries if greylord_id(entry.name) is None],
        passed={
            kind: sum(
                codec.encode(sample.text, sample.marked_up) == sample.ids and codec.decode(sample.ids) == sample.text
                for sample in texts
            )
            for kind, texts in samples.items()
        },
    )


def _read_names(path: Path) -> _VocabularyFile:
    return _VocabularyFile([_entry(name, index) for name, index in _pairs(path)])


def _read_ids(path: Path) -> _VocabularyFile:
    return _VocabularyFile([_entry(name, index) for index, name in _pairs(path)])


def _pairs(path: Path) -> tuple[tuple[str, Any], ...]:
    """Read the pairs of a JSON object, repeated keys included.

    Raise ValueError for anything else.
    """
    try:
        content = json.loads(json_text(path), object_pairs_hook=tuple)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON, {error}") from error
    if not isinstance(content, tuple):
        raise ValueError("it does not hold a JSON object")
    return content


def _entry(name: Any, index: Any) -> Entry:
    # An id is a number in one file and a key, hence a string, in the other.
    if not isinstance(name, str) or not re.fullmatch(r"\d{1,6}", str(index)):
        raise ValueError(f"{name!r} and {index!r} are not a name and an id")
    return Entry(name, int(index))


def _read_tokenizer(path: Path) -> _Tokenizer:
    try:
        return _Tokenizer(AutoTokenizer.from_pretrained(path.parent, local_files_only=True, trust_remote_code=False))
    # The tokenizers library raises a plain Exception for a file that it cannot read.
    except Exception as error:
        raise ValueError(f"the tokenizer cannot be loaded, {str(error).splitlines()[0]}") from error


def _listed(cases: Sequence[object]) -> str:
    more = f" and {units.count(len(cases) - SHOWN, 'more', 'more')}" if len(cases) > SHOWN else ""
    return ", ".join(map(str, cases[:SHOWN])) + more
