"""The folders in which a user's recordings, corpora and models lie."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["HERE", "Workspace"]


@dataclass(frozen=True)
class Workspace:
    """A folder that holds `data/`, `corpora/` and `models/`.

    It is the current directory by default.
    """

    root: str | Path = ""

    @property
    def data(self) -> Path:
        """Recordings, one folder for each dataset."""
        return Path(self.root, "data")

    @property
    def corpora(self) -> Path:
        """Corpora built from the datasets."""
        return Path(self.root, "corpora")

    @property
    def models(self) -> Path:
        """Trained and pulled models, one folder for each run."""
        return Path(self.root, "models")


HERE = Workspace()
"""The current directory."""
