"""Atomic file writes, safe against crashes and concurrent writers."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from jaxgan.errors import UserError

# Name of a file's temporary file. Older versions used one per file, without the middle part.
TEMPORARY = r"\.{name}(\.\d+-[0-9a-f]{{8}})?\.tmp"


def write_atomically(path: Path, data: bytes) -> None:
    """Atomically replaces the content of the file `path` by `data`.

    Raises:
      UserError: it cannot be written; the old file is unchanged.
    """
    with open_atomically(path) as file:
        file.write(data)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Yields a temporary file that replaces the file `path` when the block ends without an error.

    Each of several concurrent writers has its own temporary file, and the last one wins. Temporary files of killed
    writers are removed from the directory.

    Raises:
      UserError: it cannot be written; the old file is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        with _open_temporary(path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
    except OSError as error:
        raise UserError(
            f"{path} could not be written ({error.strerror}); free some space or fix its directory, then "
            f"repeat the command."
        ) from error


def is_temporary(name: str, target: str) -> bool:
    """Whether `name` is that of a temporary file which `open_atomically` makes for the file `target`."""
    return re.fullmatch(TEMPORARY.format(name=re.escape(target)), name) is not None


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds an exclusive lock for `path`, for a block that reads, compares and replaces that file.

    On a file system without flock it does nothing.

    Raises:
      UserError: the directory of `path` cannot be written.
    """
    # Never removed: otherwise two processes could each lock a different file of this name.
    lock = path.with_name(f".{path.name}.lock")
    try:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"{lock} could not be written ({error.strerror}); fix its directory.") from error
    try:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


@contextmanager
def _open_temporary(path: Path) -> Iterator[BinaryIO]:
    """A new file in the directory of `path`, locked while its writer lives, and removed unless it was renamed."""
    while True:
        file = open(path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"), "xb")  # noqa: SIM115
        with suppress(OSError):  # a file system without flock
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # otherwise another process removed it as abandoned before it was locked
            break
        file.close()
    with file:
        try:
            yield file
        finally:
            with suppress(OSError):
                os.unlink(file.name)


def _remove_abandoned(directory: Path) -> None:
    """Removes temporary files in `directory` that no process has locked."""
    for path in directory.glob(".*.tmp"):
        if re.fullmatch(TEMPORARY.format(name=".+"), path.name) and path.is_file():
            with suppress(OSError), open(path, "rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
