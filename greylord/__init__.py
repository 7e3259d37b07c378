"""greylord: recorded MajorMUD sessions in, a byte-level GPT-2 out.

The public API. A name is imported when it is first used (PEP 562), so `import greylord` loads nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING

from greylord.version import __version__

if TYPE_CHECKING:
    from greylord.api import load_model, train
    from greylord.captures.reading import read_session
    from greylord.corpus.build import build_corpus
    from greylord.errors import GreylordError, SettingError, UsageError
    from greylord.evaluation.bits_per_byte import score
    from greylord.generation.generate import generate
    from greylord.stream.tokenizer import Tokenizer
    from greylord.stream.turns import encode
    from greylord.training.config import TrainingConfig
    from greylord.workspace import Workspace

__all__ = [
    "GreylordError",
    "SettingError",
    "Tokenizer",
    "TrainingConfig",
    "UsageError",
    "Workspace",
    "__version__",
    "build_corpus",
    "encode",
    "generate",
    "load_model",
    "read_session",
    "score",
    "train",
]

_MODULES = {
    "GreylordError": "greylord.errors",
    "SettingError": "greylord.errors",
    "Tokenizer": "greylord.stream.tokenizer",
    "TrainingConfig": "greylord.training.config",
    "UsageError": "greylord.errors",
    "Workspace": "greylord.workspace",
    "build_corpus": "greylord.corpus.build",
    "encode": "greylord.stream.turns",
    "generate": "greylord.generation.generate",
    "load_model": "greylord.api",
    "read_session": "greylord.captures.reading",
    "score": "greylord.evaluation.bits_per_byte",
    "train": "greylord.api",
}


if not TYPE_CHECKING:
    # Type checkers would take every name for one that exists.
    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
