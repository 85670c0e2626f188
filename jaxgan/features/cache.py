"""A cache on disk for arrays that take long to compute: trained classifiers, features of data.

It is in the directory given by the environment variable JAXGAN_CACHE, by default ~/.cache/jaxgan, and may be deleted at
any time.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan.errors import UserError
from jaxgan.files import open_atomically


def directory() -> Path:
    """The directory of the cache."""
    if configured := os.environ.get("JAXGAN_CACHE"):
        return Path(configured).expanduser()
    try:
        return Path.home() / ".cache" / "jaxgan"
    except RuntimeError:  # no home directory: nothing can be read, and `write` reports the failure
        return Path(os.devnull, "jaxgan")


def digest(*parts: Any) -> str:
    """Hexadecimal SHA-256 of arrays (bytes, dtypes and shapes) and of plain JSON."""
    sha256 = hashlib.sha256()
    for part in parts:
        is_array = isinstance(part, np.ndarray)
        sha256.update(json.dumps([part.dtype.str, part.shape] if is_array else part).encode() + b"\n")
        if is_array:
            sha256.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return sha256.hexdigest()


def read(name: str, shapes: Mapping[str, tuple[int | None, ...]]) -> dict[str, np.ndarray] | None:
    """Arrays saved by `write`; None unless all of them exist and are floating-point arrays of these shapes.

    Args:
      shapes: by array name; None for an axis of any length.
    """
    try:
        # From memory: if loading fails, NumPy leaves the file it opened open.
        with np.load(io.BytesIO((directory() / f"{name}.npz").read_bytes()), allow_pickle=False) as file:
            arrays = {key: file[key] for key in shapes}
    except Exception:  # missing or damaged: NumPy and zipfile raise many kinds of errors
        return None
    fits = all(array.dtype.kind == "f" and _fits(array.shape, shapes[key]) for key, array in arrays.items())
    return arrays if fits else None


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(b in (a, None) for a, b in zip(shape, expected, strict=True))


def write(name: str, arrays: Mapping[str, Any]) -> None:
    """Saves arrays atomically; a failure is only a warning on stderr."""
    path = directory() / f"{name}.npz"
    try:
        with open_atomically(path) as file:
            np.savez(file, **arrays)
    except UserError as error:
        reason = getattr(error.__cause__, "strerror", "")
        print(f"warning: {path} could not be written ({reason}); set JAXGAN_CACHE", file=sys.stderr)
