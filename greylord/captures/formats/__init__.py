"""Recording formats: one module each, and the registry of them.

To add a format, write a module here with the three functions of `Format` and enter it in `FORMATS`.
`greylord.captures.reading` then recognizes its files, reads them and copies them masked.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from greylord.captures.formats import proxylog
from greylord.captures.session import Session

__all__ = ["FORMATS", "Format"]


class Format(Protocol):
    """The functions of a format's module.

    They read binary streams, and no content makes them fail.
    """

    def read(self, source: BinaryIO, *, spool: Path | None = None) -> Session:
        """Read a recording.

        Args:
            source: The file.
            spool: Folder for the arrays of a large recording; see `greylord.spool.Spool`.

        Returns:
            The session. Its `is_recording` is false if the file is not of this format.
        """

    def read_head(self, source: BinaryIO, size: int) -> np.ndarray | None:
        """Read the beginning of the payload without reading much further.

        Returns:
            uint8 [at most `size`], or None if the file is not of this format.
        """

    def copy_masked(self, source: BinaryIO, target: BinaryIO, positions: np.ndarray) -> None:
        """Copy a recording with `*` in place of some bytes of its payload.

        Nothing else changes.

        Args:
            source: The file.
            target: The copy.
            positions: int64 [n], ascending positions in the payload that `read` gives.
        """


FORMATS: tuple[Format, ...] = (proxylog,)
"""The formats, in the order in which they are tried. The proxy log is last because it is searched for in the whole
file."""
