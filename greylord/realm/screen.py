"""The look of the realm on an ANSI terminal: colours, prompt, text parts."""

from __future__ import annotations

import random
import string
import textwrap
from collections.abc import Iterable, Sequence

__all__ = [
    "ALARM",
    "BLUE",
    "CYAN",
    "ERASE",
    "GREEN",
    "GREY",
    "HIT",
    "MAGIC",
    "MISS",
    "PARTY",
    "TALK",
    "TITLE",
    "YELLOW",
    "draw_box",
    "format_coins",
    "format_prompt",
    "format_room",
    "scramble_exit",
    "with_article",
    "wrap_prose",
]

ERASE = "\x1b[79D\x1b[K"
"""Move the cursor to the margin and clear the line. Every line of the game begins with this."""

BLUE, CYAN, GREEN, GREY, YELLOW = "\x1b[0;34m", "\x1b[0;36m", "\x1b[0;32m", "\x1b[0;37m", "\x1b[0;33m"
MAGENTA, BRIGHT_MAGENTA, BRIGHT_RED = "\x1b[0;35m", "\x1b[1;35m", "\x1b[1;31m"
TITLE, HIT, MISS, ALARM = "\x1b[1;36m", BRIGHT_RED, CYAN, "\x1b[1;37m"
PARTY, TALK, MAGIC = "\x1b[1;33m", "\x1b[1;32m", "\x1b[1;34m"


def with_article(name: str) -> str:
    """Put an indefinite article before a name, as in "an angry quay rat"."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def format_coins(count: int) -> str:
    """Name an amount of money: "1 silver herring", "12 silver herrings"."""
    return f"{count} silver herring{'' if count == 1 else 's'}"


def wrap_prose(prose: str) -> str:
    """Wrap prose at 76 characters and indent the first line."""
    return "\r\n".join(textwrap.wrap(prose, 76, initial_indent="    "))


def draw_box(lines: Sequence[str]) -> str:
    """Draw a double frame around lines, in characters of code page 437."""
    width = max(map(len, lines))
    rows = [f"║ {line:<{width}} ║" for line in lines]
    return "\r\n".join([f"╔{'═' * (width + 2)}╗", *rows, f"╚{'═' * (width + 2)}╝"])


def format_prompt(life: int, max_life: int, mana: int | None, posture: str) -> str:
    """Format the prompt. Life is red below a third of the maximum.

    Args:
        mana: Mana points, or None for a hero without spells.
        posture: Resting, Meditating or empty.
    """
    shown = f"{BRIGHT_RED}{life}{GREY}" if 3 * life < max_life else str(life)
    magic = "" if mana is None else f"/MA={mana}"
    return f"{GREY}[HP={shown}{magic}{f' ({posture})' if posture else ''}]:"


def scramble_exit(direction: str, rng: random.Random) -> str:
    """Hide a direction from scripts.

    A capital and a backspace after its first letter leave no trace on a screen. Real boards use every capital but Z.
    """
    return f"{direction[0]}{rng.choice(string.ascii_uppercase[:-1])}\b{direction[1:]}"


def format_room(
    title: str,
    prose: str | None,
    ground: Sequence[str],
    beings: Sequence[str],
    exits: Iterable[str],
    rng: random.Random,
) -> str:
    """Format the view of a room.

    Args:
        prose: None to leave it out, as for a room that the hero knows.
        ground: Names of what lies on the ground.
        beings: Names of the others in the room.
        exits: Directions.
    """
    rows = [TITLE + title]
    if prose:
        rows.append(GREY + wrap_prose(prose))
    if ground:
        rows.append(f"{CYAN}On the ground: {', '.join(ground)}.")
    if beings:
        names = f"{MAGENTA}, {BRIGHT_MAGENTA}".join(beings)
        rows.append(f"{MAGENTA}Also here: {BRIGHT_MAGENTA}{names}{MAGENTA}.")
    rows.append(f"{GREEN}Obvious exits: {', '.join(scramble_exit(way, rng) for way in exits)}")
    return "\r\n".join(rows)
