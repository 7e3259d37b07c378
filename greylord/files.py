"""Files and folders that appear whole or not at all: written under a temporary name, then renamed."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["json_text", "new_folder", "write_file"]


def json_text(path: Path) -> str:
    """Read the text of a JSON file: UTF-8, or with a mark of its encoding, as editors on Windows save it.

    Raises:
        OSError: It cannot be read.
        ValueError: It is neither UTF-8 nor UTF-16 nor UTF-32.
    """
    data = path.read_bytes()
    return data.decode(json.detect_encoding(data))


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
    """Replace `path` by `content` in one step. Text becomes UTF-8, and what that does not have, JSON's `\\udce9`."""
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
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
