"""Write files and folders that appear whole or not at all.

They are written under a temporary name and then renamed.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from greylord.errors import UsageError

__all__ = ["json_text", "new_folder", "numbered", "replacing", "user_path", "write_file"]

MAX_NAME_BYTES = 255
"""Bytes of the longest file name on common file systems."""
MAX_SUFFIX = 16
"""Characters of the longest extension; a longer one is part of the name."""


def user_path(text: str | Path) -> Path:
    """Expand `~` in a path that a user typed.

    Raises:
        UsageError: It names the home of an unknown user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{str(text)!r} begins with the home of a user who is not known here.") from error


def json_text(path: Path) -> str:
    """Read the text of a JSON file in UTF-8, UTF-16 or UTF-32.

    Editors on Windows save the latter two.

    Raises:
        OSError: The file cannot be read, or is a pipe or a device, which could block.
        ValueError: The file is in another encoding.
    """
    if path.exists() and not path.is_file():
        number = errno.EISDIR if path.is_dir() else errno.EINVAL
        raise OSError(number, os.strerror(number) if path.is_dir() else "it is not a regular file", str(path))
    data = path.read_bytes()
    return data.decode(json.detect_encoding(data))


@contextlib.contextmanager
def _temporary_name(target: Path) -> Iterator[Path]:
    """Yield a free hidden name beside `target`.

    Remove what is left under it when the block ends.
    """
    is_new = not target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    # The name does not contain the target's, which may already have the maximum length.
    holder = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=target.parent))
    try:
        yield holder / "new"
    finally:
        shutil.rmtree(holder, ignore_errors=True)
        if is_new and not any(target.parent.iterdir()):
            target.parent.rmdir()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name for a file that becomes `path` in one step.

    The file is renamed once the block has succeeded.
    """
    with _temporary_name(path) as temporary:
        yield temporary
        temporary.replace(path)


def write_file(path: Path, content: bytes | str) -> None:
    """Replace the content of a file in one step.

    Args:
        path: The file.
        content: Text is encoded as UTF-8; lone surrogates are escaped as JSON does, `\\udce9`.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path`, once the block has succeeded."""
    with _temporary_name(path) as temporary:
        temporary.mkdir()
        yield temporary
        old = temporary.with_name("old")
        if path.exists():
            path.replace(old)
        try:
            temporary.replace(path)
        except OSError:
            if old.exists():
                old.replace(path)
            raise


def numbered(path: Path, number: int) -> Path:
    """Return `path` with a number before its extension, as "a~2.log".

    It is shortened to the maximum length of a name.
    """
    suffix = path.suffix if len(path.suffix) <= MAX_SUFFIX else ""
    ending = f"~{number}{suffix}"
    stem = os.fsencode(path.name.removesuffix(suffix))
    if len(stem) + len(os.fsencode(ending)) <= MAX_NAME_BYTES:
        return path.with_name(os.fsdecode(stem) + ending)
    # A character must not be cut in two.
    stem = stem[: MAX_NAME_BYTES - len(os.fsencode(ending))]
    return path.with_name(stem.decode("utf-8", "ignore") + ending)
