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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan.errors import UserError
from jaxgan.files import open_atomically


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


def read(name: str, shapes: Mapping[str, tuple[int | None, ...]]) -> dict[str, np.ndarray] | None:
    """The arrays that `write` kept under a name; None where these are not all there, floats of these shapes.

    Args:
      shapes: by the array's name; None for an axis of any length.
    """
    try:
        # From memory: where this fails, NumPy leaves a file of its own open.
        with np.load(io.BytesIO((directory() / f"{name}.npz").read_bytes()), allow_pickle=False) as file:
            arrays = {key: file[key] for key in shapes}
    except Exception:  # missing or damaged, for which NumPy and zipfile have many kinds: compute it again
        return None
    fits = all(array.dtype.kind == "f" and _fits(array.shape, shapes[key]) for key, array in arrays.items())
    return arrays if fits else None


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(b in (a, None) for a, b in zip(shape, expected, strict=True))


def write(name: str, arrays: Mapping[str, Any]) -> None:
    """Keeps arrays, whole or not at all; where that is impossible, says so on stderr."""
    path = directory() / f"{name}.npz"
    try:
        with open_atomically(path) as file:
            np.savez(file, **arrays)
    except UserError as error:
        why = getattr(error.__cause__, "strerror", "")
        print(f"warning: {path} could not be kept ({why}); set JAXGAN_CACHE", file=sys.stderr)
