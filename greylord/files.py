"""Files and folders that appear whole or not at all: written under a temporary name, then renamed."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["new_folder", "write_file"]


@contextlib.contextmanager
def _temporary_name(target: Path) -> Iterator[Path]:
    """A free hidden name beside `target`; what is left there when the block ends is removed."""
    is_new = not target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    try:
        yield holder / target.name
    finally:
        shutil.rmtree(holder, ignore_errors=True)
        if is_new and not any(target.parent.iterdir()):
            target.parent.rmdir()


def write_file(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content` (text as UTF-8) in one step."""
    data = content.encode() if isinstance(content, str) else content
    with _temporary_name(path) as temporary:
        temporary.write_bytes(data)
        temporary.replace(path)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path`, once the block has succeeded."""
    with _temporary_name(path) as temporary:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.replace(temporary.with_name(f"{path.name}.old"))
        temporary.replace(path)
