"""Limits that settings and tokenizer share.

Imports nothing, so that `--help` stays fast.
"""

__all__ = ["MAX_CONTEXT"]

MAX_CONTEXT = 8_192
"""The longest context window that greylord trains, in tokens."""
