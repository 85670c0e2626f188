"""Arrays that take long to compute, kept on this machine: trained classifiers, features of data.

They lie in the directory that the environment variable JAXGAN_CACHE names, else in ~/.cache/jaxgan. All of it may be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


def directory() -> Path:
    """Where arrays are kept."""
    if place := os.environ.get("JAXGAN_CACHE"):
        return Path(place).expanduser()
    try:
        return Path.home() / ".cache" / "jaxgan"
    except RuntimeError:  # this user has no home: nothing is there, and nothing can be written, as `write` says
        return Path(os.devnull, "jaxgan")


def digest(*parts: Any) -> str:
    """SHA-256, in hexadecimal, of arrays (their bytes, dtypes and shapes) and of plain JSON."""
    found = hashlib.sha256()
    for part in parts:
        is_array = isinstance(part, np.ndarray)
        found.update(json.dumps([part.dtype.str, part.shape] if is_array else part).encode() + b"\n")
        if is_array:
            found.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def read(name: str) -> dict[str, np.ndarray] | None:
    """What `write` kept under a name; None where there is nothing, or nothing that can be read."""
    try:
        # From memory: where this fails, NumPy leaves a file of its own open.
        with np.load(io.BytesIO((directory() / f"{name}.npz").read_bytes()), allow_pickle=False) as file:
            return dict(file)
    except Exception:  # missing or damaged, for which NumPy and zipfile have many kinds: compute it again
        return None


def write(name: str, arrays: Mapping[str, Any]) -> None:
    """Keeps arrays, whole or not at all; where that is impossible, says so on stderr."""
    path, packed = directory() / f"{name}.npz", io.BytesIO()
    np.savez(packed, **arrays)
    # A name of its own: several processes may write the same thing at once. Not `tempfile`: its files ignore the umask.
    unfinished = path.with_name(f".{name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(packed.getbuffer())
        os.replace(unfinished, path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        print(f"warning: {path} could not be kept ({error.strerror}); set JAXGAN_CACHE", file=sys.stderr)
