"""How text that others wrote is shown: in a terminal, a picture or a Markdown file it stays text."""

from __future__ import annotations

import re

__all__ = ["markdown", "visible"]

_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
"""The lone surrogates by which Python spells the bytes of a name that is not Unicode."""
_MARKUP = re.compile(r"[\\`*\[\]<>#|$~&!]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads as markup. It leaves an underscore between letters or digits alone."""


def visible(text: str) -> str:
    r"""Show a text in one line and hide nothing.

    Args:
        text: A name, a line of a file, a message.

    Returns:
        The text with each character that is not printable as Python writes it: ESC as `\x1b`, a line break as `\n`, a
        mark that reverses the direction as `\u202e`. A byte of a name that is not Unicode becomes `\xe9`.
    """
    return text if text.isprintable() else "".join(map(_visible_character, text))


def _visible_character(character: str) -> str:
    if character.isprintable():
        return character
    if _FIRST_BYTE <= ord(character) <= _LAST_BYTE:
        return f"\\x{ord(character) & 0xFF:02x}"
    return repr(character)[1:-1]


def markdown(text: str) -> str:
    """Spell a text so that Markdown shows it as it is.

    Returns:
        The visible text, with a backslash before each character that Markdown would read as markup.
    """
    return _MARKUP.sub(r"\\\g<0>", visible(text))
