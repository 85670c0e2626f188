"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from jaxgan.errors import UserError


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces the file `path` by `data`: whatever happens, it holds the old bytes or the new ones.

    Raises:
      UserError: it cannot be written; the old file is left as it was.
    """
    unfinished = draft(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise UserError(
            f"{path} could not be written ({error.strerror}); make room or fix its directory, then repeat the command."
        ) from error


def draft(path: Path) -> Path:
    """Where `write_atomically` puts what it writes at first."""
    # One fixed name, so that runs killed while they write leave one file at most.
    return path.with_name(f".{path.name}.tmp")
