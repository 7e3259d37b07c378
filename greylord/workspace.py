"""The folders in which a user's recordings, corpora and models lie."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["HERE", "Workspace"]


@dataclass(frozen=True)
class Workspace:
    """A folder that holds `data/`, `corpora/` and `models/`.

    It is the current directory by default. A leading `~` stands for the home directory.
    """

    root: str | Path = ""

    def _folder(self, name: str) -> Path:
        return Path(self.root).expanduser() / name

    @property
    def data(self) -> Path:
        """Recordings, one folder for each dataset."""
        return self._folder("data")

    @property
    def corpora(self) -> Path:
        """Corpora built from the datasets."""
        return self._folder("corpora")

    @property
    def models(self) -> Path:
        """Trained and pulled models, one folder for each run."""
        return self._folder("models")


HERE = Workspace()
"""The current directory."""
