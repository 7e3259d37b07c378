"""Whether a folder holds the 262 tokens, and whether its forms of them agree.

A folder may hold three forms: vocab_to_int.json, int_to_vocab.json, and a tokenizer. Each is held against the table
of `greylord.stream.vocabulary` entry by entry, and against the ids of the numpy path on samples.
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
from greylord.stream.tokenizer import GreylordTokenizer, write_vocabulary

__all__ = ["FILES", "SAMPLES", "Form", "Report", "folder_of", "inspect", "meaning"]

NAMES, IDS, TOKENIZER = FILES = ("vocab_to_int.json", "int_to_vocab.json", "tokenizer.json")
SAMPLES = 200
"""Payloads, and as many marked-up texts, that each form encodes and decodes."""
SHOWN = 3
"""Cases named in a reason before the rest is only counted."""

_KNOWN, _TEXTS = vocabulary.vocab_to_int(), vocabulary.int_to_vocab()
_HEX_NAME = re.compile(r"<?(?:byte_)?0x([0-9a-fA-F]{2})>?")
_SPECIAL = re.compile("(" + "|".join(map(re.escape, vocabulary.SPECIAL_TOKENS)) + ")")


def meaning(name: str) -> int | None:
    """The id that greylord has for what a name stands for; None if it stands for none of the 262 tokens.

    A byte may be called "byte_65", "A" (latin-1), "0x41" or "<0x41>".
    """
    if name in _KNOWN:
        return _KNOWN[name]
    if len(name) == 1 and ord(name) < 256:
        return ord(name)
    match = _HEX_NAME.fullmatch(name)
    return int(match[1], 16) if match else None


class Entry(NamedTuple):
    """A line of a vocabulary."""

    name: str
    id: int


class _Codec(Protocol):
    """A form at work. `marked_up` tells whether special tokens in a text count as such."""

    entries: Sequence[Entry]

    def encode(self, text: str, marked_up: bool) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...


class _Table:
    """A vocabulary file."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._ids = {meaning(entry.name): entry.id for entry in entries}
        self._meanings = {entry.id: meaning(entry.name) for entry in entries}

    def encode(self, text: str, marked_up: bool) -> list[int]:
        # Split by a group, every other piece is a special token.
        pieces = _SPECIAL.split(text) if marked_up else [text]
        wanted = [token for n, piece in enumerate(pieces) for token in ([_KNOWN[piece]] if n % 2 else map(ord, piece))]
        return [self._ids.get(token, -1) for token in wanted]

    def decode(self, ids: list[int]) -> str:
        return "".join(_text(self._meanings.get(index)) for index in ids)


class _Tokenizer:
    """A tokenizer folder."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.entries = [Entry(*item) for item in tokenizer.get_vocab().items()]

    def encode(self, text: str, marked_up: bool) -> list[int]:
        return self._tokenizer(text, split_special_tokens=not marked_up)["input_ids"]

    def decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids)


def _text(token: int | None) -> str:
    """What a token is in a text; the replacement character for none."""
    if token is None:
        return "\ufffd"
    return chr(token) if token < vocabulary.PAD else _TEXTS[token]


class _Sample(NamedTuple):
    """A text, and its ids by the numpy path."""

    text: str
    marked_up: bool
    ids: list[int]


def _payload_sample(payload: bytes) -> _Sample:
    return _Sample(payload.decode("latin-1"), False, _ids([(vocabulary.SERVER, vocabulary.DELAY_SHORT, payload)])[3:])


def _ids(rows: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """The numpy path's ids of turns: direction, delay and payload of each."""
    payloads = [payload for _, _, payload in rows]
    stream = turns.Turns(
        payload=np.frombuffer(b"".join(payloads), np.uint8),
        ends=np.cumsum([len(payload) for payload in payloads], dtype=np.int64),
        directions=np.array([direction for direction, _, _ in rows], np.uint16),
        delays=np.array([delay for _, delay, _ in rows], np.uint16),
    )
    return turns.encode(stream).tolist()


def _samples(seed: int = 0) -> dict[str, list[_Sample]]:
    """What each form has to encode and to decode: all bytes, the special tokens, and seeded payloads and texts."""
    rng = random.Random(seed)
    specials = vocabulary.SPECIAL_TOKENS
    typed = [_payload_sample(token.encode()) for token in specials]
    payloads, texts = [], []
    for _ in range(SAMPLES):
        # A player can type what looks like a special token; in a marked-up text it would count as one.
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
    """One form of the vocabulary, held against greylord's table and the numpy path."""

    file: str
    entries: list[Entry]
    """In the order of their ids."""
    gaps: list[int]
    """Ids that no token has, below the highest."""
    duplicates: list[int]
    """Ids that several entries have."""
    misplaced: list[Entry]
    """Tokens of greylord's under another id."""
    unknown: list[Entry]
    """Entries that are none of greylord's tokens."""
    passed: dict[str, int]
    """How many samples of each kind have the numpy path's ids and come back from them."""

    @property
    def amiss(self) -> set[int]:
        """Greylord's ids that do not have their token, and it alone."""
        return {*self.gaps, *self.duplicates, *(entry.id for entry in (*self.misplaced, *self.unknown))}

    def problems(self, total: dict[str, int]) -> list[str]:
        """What is wrong, a sentence each; `total` counts the samples of each kind."""
        found = {
            "no token has the id": self.gaps,
            "several tokens have the id": self.duplicates,
            "under another id than in greylord:": [f"{name!r} ({index})" for name, index in self.misplaced],
            "none of greylord's tokens:": [f"{name!r} ({index})" for name, index in self.unknown],
        }
        reasons = [f"{self.file}: {what} {_some(cases)}." for what, cases in found.items() if cases]
        return reasons + [
            f"{self.file}: only {passed:,} of {total[kind]:,} {kind} have the ids of the numpy path and come back."
            for kind, passed in self.passed.items()
            if passed < total[kind]
        ]


@dataclass(frozen=True)
class Report:
    """What has been found out about a vocabulary. It is sound if there are no problems."""

    forms: list[Form]
    samples: dict[str, int]
    """How many of each kind every form was given."""
    problems: list[str]


def folder_of(path: Path) -> Path:
    """The folder of a vocabulary that is named by its folder or by one of `FILES` in it.

    Raises UsageError if there is none.
    """
    if path.name == runs.LATEST:
        path = model_folders.locate(path)
    folder = path.parent if path.name in FILES else path
    if not any((folder / name).is_file() for name in FILES) or not path.exists():
        raise UsageError(
            f"There is no vocabulary at {str(path)!r}; give {TOKENIZER}, {NAMES}, {IDS} or a folder with one."
        )
    return folder


def inspect(folder: Path | None) -> Report:
    """Hold each form of the vocabulary in a folder against greylord's, and the two JSON files against each other.

    With None it is the vocabulary built in, in the forms that a model folder gets.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as written:
            GreylordTokenizer().save_pretrained(written)
            write_vocabulary(Path(written))
            return inspect(Path(written))
    readers: dict[str, Callable[[Path], _Codec]] = {NAMES: _read_names, IDS: _read_ids, TOKENIZER: _read_tokenizer}
    samples = _samples()
    total = {kind: len(given) for kind, given in samples.items()}
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
        form = _form(name, codec, samples)
        forms.append(form)
        problems += form.problems(total)
    entries = {form.file: set(form.entries) for form in forms}
    if NAMES in entries and IDS in entries:
        for here, there in ((NAMES, IDS), (IDS, NAMES)):
            if only := sorted(entries[here] - entries[there], key=lambda entry: entry.id):
                cases = _some([f"{name!r} ({index})" for name, index in only])
                problems.append(f"{here} and {there} are not each other's inverse: only {here} has {cases}.")
    return Report(forms, total, problems)


def _form(file: str, codec: _Codec, samples: dict[str, list[_Sample]]) -> Form:
    names = defaultdict(list)
    for entry in codec.entries:
        names[entry.id].append(entry.name)
    return Form(
        file=file,
        entries=sorted(codec.entries, key=lambda entry: entry.id),
        gaps=sorted(set(range(max([vocabulary.VOCAB_SIZE, *names]))) - names.keys()),
        duplicates=sorted(index for index, having in names.items() if len(having) > 1),
        misplaced=[entry for entry in codec.entries if meaning(entry.name) not in (None, entry.id)],
        unknown=[entry for entry in codec.entries if meaning(entry.name) is None],
        passed={
            kind: sum(
                codec.encode(sample.text, sample.marked_up) == sample.ids and codec.decode(sample.ids) == sample.text
                for sample in given
            )
            for kind, given in samples.items()
        },
    )


def _read_names(path: Path) -> _Table:
    return _Table([_entry(name, index) for name, index in _pairs(path)])


def _read_ids(path: Path) -> _Table:
    return _Table([_entry(name, index) for index, name in _pairs(path)])


def _pairs(path: Path) -> tuple[tuple[str, Any], ...]:
    """The pairs of a JSON object, those of a repeated key too. Raises ValueError if it is none."""
    try:
        content = json.loads(json_text(path), object_pairs_hook=tuple)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"it cannot be read as JSON, {error}") from error
    if not isinstance(content, tuple):
        raise ValueError("it does not hold a JSON object")
    return content


def _entry(name: Any, index: Any) -> Entry:
    # An id is a number in one file and, being a key, a string in the other.
    if not isinstance(name, str) or not re.fullmatch(r"\d{1,6}", str(index)):
        raise ValueError(f"a name and an id should stand together, not {name!r} and {index!r}")
    return Entry(name, int(index))


def _read_tokenizer(path: Path) -> _Tokenizer:
    try:
        return _Tokenizer(AutoTokenizer.from_pretrained(path.parent, local_files_only=True, trust_remote_code=False))
    # tokenizers raises a plain Exception for a file that it cannot read.
    except Exception as error:
        raise ValueError(f"the tokenizer cannot be loaded, {str(error).splitlines()[0]}") from error


def _some(cases: Sequence[object]) -> str:
    more = f" and {units.count(len(cases) - SHOWN, 'more', 'more')}" if len(cases) > SHOWN else ""
    return ", ".join(map(str, cases[:SHOWN])) + more
