"""Next-command accuracy: does the model predict what the player typed?

A command is a line that a player typed at the game's prompt: the client's bytes from the beginning of one of its turns
up to CR or LF, without telnet commands and control sequences, with backspaces applied. An empty line is a command too.
Some clients send each key at once, and the server's echo splits the keys into turns: a command then spans them.

The model reads what came before, up to the turn's direction and delay tokens, and generates until it ends a line as
the client; it generates the echo too where a client sends single keys. Top 1 is the line of greedy decoding. Top 5 adds
the best other lines of a beam of five. A beam keeps the five most probable of its ended lines and unfinished ones until
all five have ended.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from transformers import GPT2LMHeadModel

from greylord.captures.markup import CSI, LINE_END, TELNET, apply_backspaces
from greylord.generation.engine import Decoder, Sampling
from greylord.progress import Progress, silent
from greylord.stream import turns, vocabulary
from greylord.stream.lines import first_word, transcript_of
from greylord.stream.turns import MAY_FOLLOW
from greylord.weights import GPT2Weights

__all__ = [
    "HitRates",
    "NGram",
    "NextCommandReport",
    "PlayerCommand",
    "beam_search",
    "find_commands",
    "measure_next_command",
]

MAX_TURNS = 2_000
"""The most turns that are predicted."""
TOP = 5
LINE_TOKENS = 32
"""Tokens of the longest predicted line. One real command in a thousand is longer, and counts as missed."""
CONTEXT_TOKENS = 512
"""The longest context that a model gets, in tokens, to bound the time."""
ORDER = 2
"""Preceding commands that the n-gram looks at."""
PROMPT = b"[HP="
LINE_ENDS = frozenset(b"\r\n")
TURNS_AT_ONCE = 8
VERBS = 15
"""Verbs that are reported by name."""
MODEL = "this model"
NO_LINE = b"\r"
"""Stands for a missing line; no command contains it."""


class PlayerCommand(NamedTuple):
    """A command of a recording."""

    line: bytes
    first: int | None
    """Index in the recording's ids of its first byte; None if no turn begins with it."""


def find_commands(row: np.ndarray) -> list[PlayerCommand]:
    """Find the commands in the ids of a recording, in order.

    Args:
        row: uint16 [n].
    """
    stream = turns.decode(row)
    client, server = transcript_of(stream, vocabulary.CLIENT), transcript_of(stream, vocabulary.SERVER)
    sizes = np.diff(stream.ends, prepend=0)
    client_before = np.cumsum(sizes * (stream.directions == vocabulary.CLIENT)) - sizes
    commands = []
    for (_, begin), (end, _) in pairwise([(0, 0), *(match.span() for match in LINE_END.finditer(client.text))]):
        turn = int(np.searchsorted(client.ends, begin, "right"))
        shown = int(server.ends[turn])
        if not server.text[server.text.rfind(b"\n", 0, shown) + 1 : shown].startswith(PROMPT):
            continue
        turn_begin = client.ends[turn - 1] if turn else 0
        opens_turn = begin == turn_begin and client.in_text[client_before[turn]]
        first = 1 + 2 * (turn + 1) + int(stream.ends[turn] - sizes[turn]) if opens_turn else None
        commands.append(PlayerCommand(apply_backspaces(client.text[begin:end]), first))
    return commands


class NGram:
    """Predicts commands by what most often followed the preceding ones.

    The counts are from training recordings. Commands that followed the last two come first, then those that followed
    the last one, then the most frequent (Katz's back-off, 1987, without weights, since only the order counts).

    Args:
        recordings: The commands of each recording.
    """

    def __init__(self, recordings: Sequence[Sequence[bytes]]) -> None:
        counts: dict[tuple[bytes, ...], Counter[bytes]] = defaultdict(Counter)
        for lines in recordings:
            for index, line in enumerate(lines):
                for order in range(min(ORDER, index) + 1):
                    counts[tuple(lines[index - order : index])][line] += 1
        self._ranked = {
            before: [line for line, _ in sorted(following.items(), key=lambda item: (-item[1], item[0]))[:TOP]]
            for before, following in counts.items()
        }

    def predict(self, before: Sequence[bytes]) -> list[bytes]:
        """Return the five likeliest commands after `before`, the likeliest first."""
        ranked: list[bytes] = []
        for order in range(min(ORDER, len(before)), -1, -1):
            ranked += self._ranked.get(tuple(before[len(before) - order :]), [])
        return list(dict.fromkeys(ranked))[:TOP]


def _predict_repeat(before: Sequence[bytes]) -> list[bytes]:
    """Return the last five different commands, the latest first."""
    return list(dict.fromkeys(reversed(before)))[:TOP]


class _Hypothesis(NamedTuple):
    """A line of a beam."""

    nats: float
    ids: tuple[int, ...]
    slot: int | None
    """The decoder's slot; None if the line has ended."""


def _has_ended(ids: Sequence[int]) -> bool:
    """Check whether the last of some ids ends the client's line.

    The ids continue a client's delay token.
    """
    direction = next((token for token in reversed(ids) if token in (vocabulary.CLIENT, vocabulary.SERVER)), None)
    return ids[-1] in LINE_ENDS and direction != vocabulary.SERVER


def _line_of(ids: Sequence[int]) -> bytes:
    """Return the command that ids spell."""
    direction, typed = vocabulary.CLIENT, bytearray()
    for token in ids[:-1]:
        if token in (vocabulary.CLIENT, vocabulary.SERVER):
            direction = token
        elif token < vocabulary.PAD and direction == vocabulary.CLIENT:
            typed.append(token)
    return apply_backspaces(CSI.sub(b"", TELNET.sub(b"", bytes(typed))))


def beam_search(decoder: Decoder, contexts: Sequence[Sequence[int]], width: int) -> list[list[bytes]]:
    """Predict the client's line after each context.

    Args:
        decoder: A decoder with `width` slots for each context.
        contexts: Ids up to a client's delay token.
        width: Width of the beam; 1 is greedy decoding.

    Returns:
        For each context the lines that ended, the most probable first.
    """
    for slot, context in enumerate(contexts):
        decoder.start(slot, context)
    # The first slots of all contexts lie side by side, so that the contexts are read without gaps between.
    beams = [[_Hypothesis(0.0, (), slot)] for slot in range(len(contexts))]
    last = [context[-1] for context in contexts]
    for _ in range(LINE_TOKENS):
        live = sorted(line.slot for beam in beams for line in beam if line.slot is not None)
        if not live:
            break
        logits = dict(zip(live, decoder.logits(live), strict=True))
        for index, beam in enumerate(beams):
            slots = range(index, width * len(contexts), len(contexts))
            beams[index] = _extend(decoder, beam, logits, last[index], width, slots)
    return [list(dict.fromkeys(_line_of(line.ids) for line in beam if line.slot is None)) for beam in beams]


def _extend(
    decoder: Decoder,
    beam: Sequence[_Hypothesis],
    logits: Mapping[int, np.ndarray],
    last: int,
    width: int,
    slots: Sequence[int],
) -> list[_Hypothesis]:
    """Extend the unfinished lines of a beam by one id.

    Keeps the `width` most probable lines.

    Args:
        decoder: The decoder that gets the new ids. Each unfinished line has its own slot.
        beam: The lines so far.
        logits: float32 [vocabulary] by slot.
        last: Last id of the context.
        width: Width of the beam.
        slots: The slots of this beam.
    """
    candidates = [line for line in beam if line.slot is None]
    for line in beam:
        if line.slot is not None:
            allowed = np.where(MAY_FOLLOW[(last, *line.ids)[-1]], logits[line.slot].astype(float), -np.inf)
            costs = np.logaddexp.reduce(allowed) - allowed
            candidates += [
                _Hypothesis(line.nats + costs[token], (*line.ids, token), line.slot)
                for token in np.argsort(costs, kind="stable")[:width].tolist()
                if np.isfinite(costs[token])
            ]
    best = sorted(candidates, key=lambda line: (line.nats, line.ids))[:width]
    best = [line._replace(slot=None) if line.slot is not None and _has_ended(line.ids) else line for line in best]
    free = [slot for slot in slots if slot not in {line.slot for line in best}]
    taken: set[int] = set()
    for place, line in enumerate(best):
        if line.slot is None:
            continue
        if line.slot in taken:
            target = free.pop()
            decoder.fork(line.slot, target)
            best[place] = line._replace(slot=target)
        else:
            taken.add(line.slot)
    for line in best:
        if line.slot is not None:
            decoder.append(line.slot, line.ids[-1:])
    return best


@dataclass(frozen=True)
class HitRates:
    """Shares of commands that a predictor names first, and among its first five."""

    top_1: float
    top_5: float
    macro_top_1: float
    """Mean over verbs of the share within each verb. A verb is a command's first word."""
    macro_top_5: float


@dataclass(frozen=True)
class NextCommandReport:
    """Hit rates of each predictor on a sample of commands."""

    turns: int
    """Turns that were predicted, sampled from all."""
    available: int
    """All turns that begin with a command."""
    verbs: int
    """Different verbs of the predicted turns."""
    hits: dict[str, HitRates]
    """Keys are the predictors "this model", "n-gram" and "repeat"."""
    by_verb: dict[str, tuple[int, float]]
    """Number of commands and the model's top 1 for each of the most frequent verbs; "" is an empty line."""


def measure_next_command(
    model: GPT2LMHeadModel,
    rows: Sequence[np.ndarray],
    training: Sequence[np.ndarray],
    progress: Progress = silent,
    sample: int = MAX_TURNS,
    seed: int = 0,
) -> NextCommandReport | None:
    """Predict a seeded sample of the commands of recordings.

    Args:
        model: On a CPU or a GPU.
        rows: Ids of unseen recordings, uint16 each.
        training: Ids of training recordings; without any, there is no n-gram.
        progress: Counts turns.
        sample: The most turns to predict.
        seed: Seeds the sample.

    Returns:
        The report, or None if no turn begins with a command.
    """
    available = [
        (row[: command.first], commands, index)
        for row, commands in ((row, find_commands(row)) for row in rows)
        for index, command in enumerate(commands)
        if command.first is not None
    ]
    if not available:
        return None
    places = sorted(random.Random(seed).sample(range(len(available)), min(sample, len(available))))
    chosen = [available[place] for place in places]
    lines = [commands[index].line for _, commands, index in chosen]
    before = [[command.line for command in commands[:index]] for _, commands, index in chosen]
    length = min(model.config.n_positions, CONTEXT_TOKENS)
    length -= min(LINE_TOKENS, length // 4)
    contexts = [ids[-length:].tolist() for ids, _, _ in chosen]
    answers = {MODEL: _predict_by_model(model, contexts, progress)}
    if training:
        ngram = NGram([[command.line for command in find_commands(row)] for row in training])
        answers["n-gram"] = list(map(ngram.predict, before))
    answers["repeat"] = list(map(_predict_repeat, before))
    verbs = [first_word(line) or "" for line in lines]
    counts = Counter(verbs)
    is_right = [line in named[:1] for line, named in zip(lines, answers[MODEL], strict=True)]
    return NextCommandReport(
        turns=len(chosen),
        available=len(available),
        verbs=len(counts),
        hits={name: _hit_rates(lines, verbs, named) for name, named in answers.items()},
        by_verb={
            verb: (count, sum(hit for hit, its in zip(is_right, verbs, strict=True) if its == verb) / count)
            for verb, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:VERBS]
        },
    )


def _predict_by_model(
    model: GPT2LMHeadModel, contexts: Sequence[Sequence[int]], progress: Progress
) -> list[list[bytes]]:
    """Predict up to five lines after each context, the line of greedy decoding first."""
    decoder = Decoder(GPT2Weights.of(model), Sampling(), TURNS_AT_ONCE * TOP)
    answers = []
    with progress("Commands", len(contexts)) as advance:
        for first in range(0, len(contexts), TURNS_AT_ONCE):
            batch = contexts[first : first + TURNS_AT_ONCE]
            for greedy, beam in zip(beam_search(decoder, batch, 1), beam_search(decoder, batch, TOP), strict=True):
                # Where greedy decoding ends no line, the first place stays empty.
                answers.append([*(greedy or [NO_LINE]), *(line for line in beam if line not in greedy)][:TOP])
            advance(len(batch))
    return answers


def _hit_rates(lines: Sequence[bytes], verbs: Sequence[str], answers: Sequence[Sequence[bytes]]) -> HitRates:
    shares = []
    for top in (1, TOP):
        by_verb: dict[str, list[bool]] = defaultdict(list)
        for line, verb, named in zip(lines, verbs, answers, strict=True):
            by_verb[verb].append(line in named[:top])
        rates = [sum(hits) / len(hits) for hits in by_verb.values()]
        shares.append((sum(map(sum, by_verb.values())) / len(lines), sum(rates) / len(rates)))
    (top_1, macro_top_1), (top_5, macro_top_5) = shares
    return HitRates(top_1, top_5, macro_top_1, macro_top_5)
