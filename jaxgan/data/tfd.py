"""The Toronto Face Database (Susskind et al. 2010), from a user's own copy: it is not public."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgan.data.source import check_memory
from jaxgan.errors import UserError

SIDE = 48  # pixels
FOLDS = 5
# The meaning of the numbers in `folds` (from pylearn2's reader of this file).
UNLABELED, TRAIN, VALIDATION, TEST = range(4)


class Faces(NamedTuple):
    """The arrays of TFD_48x48.mat."""

    images: np.ndarray  # [n, 48, 48, 1] uint8
    folds: np.ndarray  # [n, 5] uint8: the role of each image in each of the five folds, 0 .. 3 as above


def read(path: str | os.PathLike[str]) -> Faces:
    """Reads TFD_48x48.mat: `images` [n, 48, 48] uint8 and `folds` [n, 5].

    Raises:
      UserError: the file is missing or no MATLAB file, holds other arrays, or a fold lacks one of its roles.
    """
    from scipy import io  # imported lazily: only this data set needs it

    path = Path(os.path.expanduser(path))
    if not path.is_file():
        raise UserError(f"there is no file {path}; data.name takes tfd:PATH of your copy of TFD_48x48.mat.")
    try:
        kinds = {name: (tuple(shape), kind) for name, shape, kind in io.whosmat(path)}
        _check(path, kinds)
        arrays = io.loadmat(path, variable_names=("images", "folds"))
        images, folds = (np.ascontiguousarray(arrays[name]) for name in ("images", "folds"))
    except UserError:
        raise
    except Exception as error:  # scipy and zlib raise many kinds
        raise UserError(f"{path} cannot be read as a MATLAB file up to version 7.2 ({error}).") from error
    for fold, uses in enumerate(folds.T):
        missing = {UNLABELED, TRAIN, VALIDATION, TEST} - set(uses.tolist())
        if missing or uses.min() < UNLABELED or uses.max() > TEST:
            raise UserError(
                f"{path} [folds] has {np.unique(uses).tolist()} in column {fold}; it must have all "
                f"of 0 (unlabeled), 1 (training), 2 (validation) and 3 (test), and nothing else."
            )
    return Faces(images[..., None], folds.astype(np.uint8))


def _check(path: Path, kinds: dict[str, tuple[tuple[int, ...], str]]) -> None:
    """Raises a `UserError` unless names, shapes and MATLAB classes are those of TFD_48x48.mat."""
    shape, kind = kinds.get("images", ((), "nothing"))
    n = shape[0] if shape else 0
    if kind != "uint8" or shape != (n, SIDE, SIDE):
        raise UserError(_layout(path, kinds, f"`images` must be uint8 of shape (n, {SIDE}, {SIDE})"))
    shape, kind = kinds.get("folds", ((), "nothing"))
    if shape != (n, FOLDS) or not ("int" in kind or kind in ("single", "double")):
        raise UserError(_layout(path, kinds, f"`folds` must be numbers of shape ({n}, {FOLDS})"))
    check_memory(n * (SIDE * SIDE + FOLDS * 8), str(path))


def _layout(path: Path, kinds: dict[str, tuple[tuple[int, ...], str]], wanted: str) -> str:
    contents = ", ".join(f"{name} {kind} {shape}" for name, (shape, kind) in kinds.items()) or "nothing"
    return f"{path} holds {contents}; in a TFD_48x48.mat {wanted}: bring a complete copy of that file."


def fold(faces: Faces, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The unlabeled images, and the validation and test images of a fold (0 .. 4): each [n, 48, 48, 1] uint8."""
    uses = faces.folds[:, number]
    return tuple(faces.images[uses == use] for use in (UNLABELED, VALIDATION, TEST))
