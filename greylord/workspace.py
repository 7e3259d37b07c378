"""Where the folders of a workspace lie, from the working directory."""

from pathlib import Path

__all__ = ["CORPORA", "DATA", "MODELS"]

DATA = Path("data")
"""Recordings, a folder a dataset."""
CORPORA = Path("corpora")
"""What is built from them."""
MODELS = Path("models")
"""What is trained on that, a folder a run."""
