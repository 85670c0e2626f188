"""Files that are whole or not there, whatever happens while they are written, and however many processes write them."""

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

# The name of the draft of a file. Without the middle part: as before each writer had a draft of its own.
DRAFT = r"\.{name}(\.\d+-[0-9a-f]{{8}})?\.tmp"


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces the file `path` by `data`: whatever happens, it holds the old bytes or the new ones.

    Raises:
      UserError: it cannot be written; the old file is left as it was.
    """
    with open_atomically(path) as file:
        file.write(data)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which replaces the file `path` at the end of the block, unless that raises an error.

    Of several writers of one path each writes a draft of its own, and the last one's bytes stay. Drafts that killed
    writers left in the directory are removed.

    Raises:
      UserError: it cannot be written; the old file is left as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned_drafts(path.parent)
        with _open_draft(path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
    except OSError as error:
        raise UserError(
            f"{path} could not be written ({error.strerror}); make room or fix its directory, then repeat the command."
        ) from error


def is_draft(name: str, of: str) -> bool:
    """Whether `open_atomically` gives this name to a draft of the file `of`."""
    return re.fullmatch(DRAFT.format(name=re.escape(of)), name) is not None


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Waits until no other process is in this block for the same `path`: to read, compare and replace that file.

    On a file system without flock it does not wait.

    Raises:
      UserError: the directory of `path` cannot be written.
    """
    # Not removed at the end: two processes could then each lock a file of this name.
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
def _open_draft(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, locked for as long as its writer lives, and removed unless it was renamed."""
    while True:
        file = open(path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"), "xb")  # noqa: SIM115
        with suppress(OSError):  # a file system without flock
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # else it was taken for abandoned before it was locked
            break
        file.close()
    with file:
        try:
            yield file
        finally:
            with suppress(OSError):
                os.unlink(file.name)


def _remove_abandoned_drafts(directory: Path) -> None:
    """Removes drafts in `directory` that no process has locked."""
    for path in directory.glob(".*.tmp"):
        if re.fullmatch(DRAFT.format(name=".+"), path.name) and path.is_file():
            with suppress(OSError), open(path, "rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
