"""Escape text from files and names, so that it is shown as text.

Terminals, pictures and Markdown files cannot interpret the result.
"""

from __future__ import annotations

import re

__all__ = ["markdown", "visible"]

_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
"""Lone surrogates, in which Python keeps the bytes of a name that is not Unicode (PEP 383)."""
_MARKUP = re.compile(r"[\\`*\[\]<>#|$~&!]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that Markdown reads as markup. An underscore between letters or digits is not markup."""


def visible(text: str) -> str:
    r"""Escape every character that is not printable.

    The result is one line without hidden characters.

    Args:
        text: A name, a line of a file, a message.

    Returns:
        The text with escapes as Python writes them: ESC as `\x1b`, a line break as `\n`, a mark that reverses the
        direction as `\u202e`, a byte of a name that is not Unicode as `\xe9`.
    """
    return text if text.isprintable() else "".join(map(_visible_character, text))


def _visible_character(character: str) -> str:
    if character.isprintable():
        return character
    if _FIRST_BYTE <= ord(character) <= _LAST_BYTE:
        return f"\\x{ord(character) & 0xFF:02x}"
    return repr(character)[1:-1]


def markdown(text: str) -> str:
    """Escape a text for Markdown.

    Returns:
        The text as `visible` gives it, with a backslash before each character of markup.
    """
    return _MARKUP.sub(r"\\\g<0>", visible(text))
