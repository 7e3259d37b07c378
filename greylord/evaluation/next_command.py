"""Would the model have typed the right command?

A command is what a player gave at the game's prompt: the client's bytes from where a turn of its begins up to CR or
LF, without telnet commands and control sequences, and as backspaces left it; an empty line is one too. Some clients
send each key as it is struck, and the server's echo parts the keys into turns: a command then goes on over them.

The model hears what came before, up to the turn's direction and delay tokens, and says tokens until it has ended a
line as the client. So it echoes its own keys where a client sends them one by one. Top 1 is the line that greedy
decoding says; top 5 are that and the best others of a beam of five, which keeps the five most probable of the ended
lines and of the beginnings until all five are ended.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from transformers import GPT2LMHeadModel

from greylord.captures.markup import CSI, LINE_END, TELNET, apply_backspaces
from greylord.generation.engine import Decoder, Sampling
from greylord.progress import Progress, silent
from greylord.stream import turns, vocabulary
from greylord.stream.lines import first_word, side_of
from greylord.stream.turns import MAY_FOLLOW
from greylord.weights import GPT2Weights

__all__ = ["Command", "Hits", "NGram", "NextCommand", "commands_of", "likely_lines", "next_command"]

TURNS = 2_000
"""Turns asked for at most."""
TOP = 5
LINE_TOKENS = 32
"""A line that is longer counts as not said: one in a thousand of real commands is."""
HEARD_TOKENS = 512
"""What a model with a longer context hears of it, to bound the time."""
ORDER = 2
"""Commands before that the n-gram looks at."""
PROMPT = b"[HP="
ENDS = frozenset(b"\r\n")
TURNS_AT_ONCE = 8
VERBS = 15
"""Verbs told by name."""
MODEL = "this model"
UNSAID = b"\r"
"""No line has it."""


class Command(NamedTuple):
    """A command of a recording."""

    line: bytes
    at: int | None
    """Where in the recording's ids its first byte is; None if no turn begins with it."""


def commands_of(row: np.ndarray) -> list[Command]:
    """The commands in a recording's ids, in order."""
    stream = turns.decode(row)
    client, server = side_of(stream, vocabulary.CLIENT), side_of(stream, vocabulary.SERVER)
    sizes = np.diff(stream.ends, prepend=0)
    sent = np.cumsum(sizes * (stream.directions == vocabulary.CLIENT)) - sizes
    commands = []
    for (_, begin), (end, _) in pairwise([(0, 0), *(match.span() for match in LINE_END.finditer(client.text))]):
        turn = int(np.searchsorted(client.ends, begin, "right"))
        heard = int(server.ends[turn])
        if not server.text[server.text.rfind(b"\n", 0, heard) + 1 : heard].startswith(PROMPT):
            continue
        said_before = client.ends[turn - 1] if turn else 0
        opens_turn = begin == said_before and client.kept[sent[turn]]
        at = 1 + 2 * (turn + 1) + int(stream.ends[turn] - sizes[turn]) if opens_turn else None
        commands.append(Command(apply_backspaces(client.text[begin:end]), at))
    return commands


class NGram:
    """The commands that most often followed the last ones, counted on training recordings.

    Those that followed the last two come first, then those that followed the last, then the most frequent
    (Katz's back-off, 1987, without its weights, for only the order counts).
    """

    def __init__(self, recordings: Sequence[Sequence[bytes]]) -> None:
        followed: dict[tuple[bytes, ...], Counter[bytes]] = defaultdict(Counter)
        for lines in recordings:
            for index, line in enumerate(lines):
                for order in range(min(ORDER, index) + 1):
                    followed[tuple(lines[index - order : index])][line] += 1
        self._ranked = {
            before: [line for line, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP]]
            for before, counts in followed.items()
        }

    def likely(self, before: Sequence[bytes]) -> list[bytes]:
        """The five likeliest commands after others, the likeliest first."""
        ranked = []
        for order in range(min(ORDER, len(before)), -1, -1):
            ranked += self._ranked.get(tuple(before[len(before) - order :]), [])
        return list(dict.fromkeys(ranked))[:TOP]


def _repeated(before: Sequence[bytes]) -> list[bytes]:
    """The last five different commands, the last first."""
    return list(dict.fromkeys(reversed(before)))[:TOP]


class _Beginning(NamedTuple):
    """A line as far as it has been said."""

    nats: float
    ids: tuple[int, ...]
    slot: int | None
    """None if it is ended."""


def _ended(ids: Sequence[int]) -> bool:
    """Whether the last of the ids that go on from a client's delay token ends its line."""
    speaker = next((token for token in reversed(ids) if token in (vocabulary.CLIENT, vocabulary.SERVER)), None)
    return ids[-1] in ENDS and speaker != vocabulary.SERVER


def _line(ids: Sequence[int]) -> bytes:
    """The command that these ids spell."""
    speaker, said = vocabulary.CLIENT, bytearray()
    for token in ids[:-1]:
        if token in (vocabulary.CLIENT, vocabulary.SERVER):
            speaker = token
        elif token < vocabulary.PAD and speaker == vocabulary.CLIENT:
            said.append(token)
    return apply_backspaces(CSI.sub(b"", TELNET.sub(b"", bytes(said))))


def likely_lines(decoder: Decoder, contexts: Sequence[Sequence[int]], width: int) -> list[list[bytes]]:
    """The lines that a beam of `width` ends with after each context, the most probable first; greedy if it is 1.

    The decoder has `width` slots for each context. Where no line was ended, there is none.
    """
    for slot, context in enumerate(contexts):
        decoder.start(slot, context)
    # The first slots of all contexts lie side by side, so that the contexts are read without gaps between.
    beams = [[_Beginning(0.0, (), slot)] for slot in range(len(contexts))]
    last = [context[-1] for context in contexts]
    for _ in range(LINE_TOKENS):
        live = sorted(beginning.slot for beam in beams for beginning in beam if beginning.slot is not None)
        if not live:
            break
        logits = dict(zip(live, decoder.logits(live), strict=True))
        for index, beam in enumerate(beams):
            slots = range(index, width * len(contexts), len(contexts))
            beams[index] = _widened(decoder, beam, logits, last[index], width, slots)
    return [list(dict.fromkeys(_line(ended.ids) for ended in beam if ended.slot is None)) for beam in beams]


def _widened(
    decoder: Decoder,
    beam: Sequence[_Beginning],
    logits: dict[int, np.ndarray],
    last: int,
    width: int,
    slots: Sequence[int],
) -> list[_Beginning]:
    """The best of a beam's ended lines and of its beginnings with one id more, each of these in a slot of its own."""
    candidates = [beginning for beginning in beam if beginning.slot is None]
    for beginning in beam:
        if beginning.slot is not None:
            allowed = np.where(MAY_FOLLOW[(last, *beginning.ids)[-1]], logits[beginning.slot].astype(float), -np.inf)
            costs = np.logaddexp.reduce(allowed) - allowed
            candidates += [
                _Beginning(beginning.nats + costs[token], (*beginning.ids, token), beginning.slot)
                for token in np.argsort(costs, kind="stable")[:width].tolist()
                if np.isfinite(costs[token])
            ]
    best = sorted(candidates, key=lambda beginning: (beginning.nats, beginning.ids))[:width]
    best = [each._replace(slot=None) if each.slot is not None and _ended(each.ids) else each for each in best]
    free = [slot for slot in slots if slot not in {beginning.slot for beginning in best}]
    taken: set[int] = set()
    for place, beginning in enumerate(best):
        if beginning.slot in taken:
            target = free.pop()
            decoder.fork(beginning.slot, target)
            best[place] = beginning._replace(slot=target)
        elif beginning.slot is not None:
            taken.add(beginning.slot)
    for beginning in best:
        if beginning.slot is not None:
            decoder.hear(beginning.slot, beginning.ids[-1:])
    return best


@dataclass(frozen=True)
class Hits:
    """The shares of commands that were named first, and among the first five."""

    top_1: float
    top_5: float
    macro_top_1: float
    """The mean over verbs of the share within each: a verb is a command's first word."""
    macro_top_5: float


@dataclass(frozen=True)
class NextCommand:
    """How often the right command was named."""

    turns: int
    """Turns asked for, drawn from all."""
    available: int
    verbs: int
    """Different ones among them."""
    hits: dict[str, Hits]
    """By who named it: "this model", "n-gram" and "repeat"."""
    by_verb: dict[str, tuple[int, float]]
    """The most frequent verbs, "" for an empty line, with how many commands there are and the model's top 1 of them."""


def next_command(
    model: GPT2LMHeadModel,
    rows: Sequence[np.ndarray],
    training: Sequence[np.ndarray],
    progress: Progress = silent,
    sample: int = TURNS,
    seed: int = 0,
) -> NextCommand | None:
    """Ask for a seeded sample of the rows' commands; None if there is none.

    Args:
        model: on a CPU or a GPU.
        rows: ids of recordings that it has not read.
        training: those of recordings that it has; without them there is no n-gram.
        progress: counts turns.
        sample: turns at most.
        seed: of the sample.
    """
    asked = [
        (row, commands, index)
        for row, commands in ((row, commands_of(row)) for row in rows)
        for index, command in enumerate(commands)
        if command.at is not None
    ]
    if not asked:
        return None
    chosen = [asked[index] for index in sorted(random.Random(seed).sample(range(len(asked)), min(sample, len(asked))))]
    lines = [commands[index].line for _, commands, index in chosen]
    before = [[command.line for command in commands[:index]] for _, commands, index in chosen]
    heard = min(model.config.n_positions, HEARD_TOKENS)
    heard -= min(LINE_TOKENS, heard // 4)
    contexts = [row[: commands[index].at][-heard:].tolist() for row, commands, index in chosen]
    named = {MODEL: _named(model, contexts, progress)}
    if training:
        ngram = NGram([[command.line for command in commands_of(row)] for row in training])
        named["n-gram"] = list(map(ngram.likely, before))
    named["repeat"] = list(map(_repeated, before))
    verbs = [first_word(line) or "" for line in lines]
    counts = Counter(verbs)
    right = [line in first[:1] for line, first in zip(lines, named[MODEL], strict=True)]
    return NextCommand(
        turns=len(chosen),
        available=len(asked),
        verbs=len(counts),
        hits={name: _hits(lines, verbs, answers) for name, answers in named.items()},
        by_verb={
            verb: (count, sum(hit for hit, its in zip(right, verbs, strict=True) if its == verb) / count)
            for verb, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:VERBS]
        },
    )


def _named(model: GPT2LMHeadModel, contexts: Sequence[Sequence[int]], progress: Progress) -> list[list[bytes]]:
    """Up to five lines after each context, what greedy decoding says first."""
    decoder, named = Decoder(GPT2Weights.of(model), Sampling(), TURNS_AT_ONCE * TOP), []
    with progress("Commands", len(contexts)) as advance:
        for first in range(0, len(contexts), TURNS_AT_ONCE):
            some = contexts[first : first + TURNS_AT_ONCE]
            for greedy, beam in zip(likely_lines(decoder, some, 1), likely_lines(decoder, some, TOP), strict=True):
                # Where greedy decoding ends no line, the first place stays empty.
                named.append([*(greedy or [UNSAID]), *(line for line in beam if line not in greedy)][:TOP])
            advance(len(some))
    return named


def _hits(lines: Sequence[bytes], verbs: Sequence[str], named: Sequence[Sequence[bytes]]) -> Hits:
    shares = []
    for top in (1, TOP):
        by_verb: dict[str, list[bool]] = defaultdict(list)
        for line, verb, answers in zip(lines, verbs, named, strict=True):
            by_verb[verb].append(line in answers[:top])
        right = [sum(hits) / len(hits) for hits in by_verb.values()]
        shares.append((sum(map(sum, by_verb.values())) / len(lines), sum(right) / len(right)))
    (top_1, macro_top_1), (top_5, macro_top_5) = shares
    return Hits(top_1, top_5, macro_top_1, macro_top_5)
