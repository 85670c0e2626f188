"""The data that both players see: `load` reads it, `decode` scales it, `order` visits it."""

from __future__ import annotations

import difflib
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from jaxgan.data import images, mixture, tfd, tfds
from jaxgan.data.mixture import Mixture
from jaxgan.errors import UserError

_NAMES = (
    "digits",
    "tfds:mnist",
    "tfds:cifar10",
    "tfds:NAME",
    "npz:PATH",
    "folder:PATH",
    "tfd:PATH",
    "mixture:NAME",
)


class Dataset(NamedTuple):
    """Three splits: [n, H, W, C] uint8 images, or [n, d] float32 points of a mixture."""

    name: str  # data.name
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    mixture: Mixture | None  # the density, for mixture:NAME


def load(data_config: ConfigDict) -> Dataset:
    """Reads the data set that `data.name` names.

    The last `data.validation` training examples become the validation set (so `tfds:mnist` with 10,000
    gives the paper's 50,000 / 10,000 / 10,000). If the source has no test set, the last `data.validation`
    examples become the test set and those before them the validation set. `tfd:PATH` has sets of its own: the
    unlabeled images to train on, the others as the first of its five folds says.

    Args:
      data_config: `config.data`, with fields name, dir and validation.

    Raises:
      UserError: an unknown name, data that cannot be read, or too few examples.
    """
    name, directory, held_out = data_config.name, data_config.dir, data_config.validation
    match name.partition(":"):
        case "digits", "", "":
            train, test = images.digits()
        case "npz", _, path if path:
            train, test = images.npz(path)
        case "folder", _, path if path:
            train, test = images.folder(path)
        case "tfds", _, dataset if dataset:
            train, test = tfds.load(dataset, directory)
        case "tfd", _, path if path:
            return Dataset(name, *tfd.fold(tfd.read(path), 0), None)
        case "mixture", _, density if density:
            density, train, validation, test = mixture.load(density)
            return Dataset(name, train, validation, test, density)
        case _:
            near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.0)[0]
            raise UserError(
                f"data.name must be digits, tfds:NAME, npz:PATH, folder:PATH, tfd:PATH or mixture:NAME, not "
                f"{name!r}; the nearest is {near!r}."
            )
    return Dataset(name, *split(train, test, held_out), None)


def split(train: np.ndarray, test: np.ndarray | None, held_out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train, validation and test: see `load`. No example is in two of them, and nothing is copied."""
    if test is None:
        train, test = _cut(train, held_out, "test")
    train, validation = _cut(train, held_out, "validation")
    return train, validation, test


def _cut(x: np.ndarray, held_out: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    if held_out >= len(x):
        raise UserError(
            f"data.validation={held_out} for the {what} set leaves none of {len(x)} examples to train on; "
            f"make it smaller."
        )
    return x[: len(x) - held_out], x[len(x) - held_out :]
