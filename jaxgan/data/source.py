"""`Source`, the arrays that every reader returns, and the helpers that readers share."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgan.errors import UserError

MAX_CLASSES = 2**16  # so that an array of something else is not mistaken for labels

# Bytes that decoded images may take: half of this machine's memory.
MEMORY_LIMIT = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


class Source(NamedTuple):
    """A data set as read, before the validation set is split off. Labels are 0 .. classes - 1."""

    train: Any  # [n, H, W, C] uint8, an array or `rows.Rows` of a file, or an array [n, d] float32
    test: np.ndarray | None = None  # likewise
    train_labels: np.ndarray | None = None  # [n] int32, or None without labels
    test_labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()  # one per class, or () if classes have no names
    classes: int = 0  # number of classes; 0 without labels
    left_out: tuple[tuple[str, int], ...] = ()  # (suffix, count) of files that were not read
    train_condition: Any = None  # stored with each example; in the forms of `train`
    test_condition: np.ndarray | None = None


def shuffled_positions(n: int) -> np.ndarray:
    """The position of each of n examples after shuffling: [n] int64, a function of n alone."""
    return np.random.default_rng(0).permutation(n)


def shuffle(x: np.ndarray) -> None:
    """Shuffles `x` [n, ...] in place: example i moves to `shuffled_positions(n)[i]`. Uses 1/16 of its memory more."""
    order = np.argsort(shuffled_positions(len(x)))
    for columns in np.array_split(x.reshape(len(x), -1), 16, axis=1):
        columns[:] = columns[order]


def check_same_size(train: Any, test: Any, train_name: str, test_name: str) -> None:
    """Raises a `UserError` if training and test images differ in height, width or channels."""
    if train.shape[1:] != test.shape[1:]:
        raise UserError(
            f"the images of {train_name} are {format_size(train.shape[1:])}, those of {test_name} "
            f"{format_size(test.shape[1:])}; give them the same size and number of channels."
        )


def check_memory(size: int, what: str) -> None:
    """Raises a `UserError` if `size` bytes, those of `what` when decoded, exceed `MEMORY_LIMIT`."""
    if size > MEMORY_LIMIT:
        raise UserError(
            f"{what}: {size / 2**30:.3g} GiB when decoded, more than the limit of {MEMORY_LIMIT / 2**30:.3g} GiB, half "
            f"of this machine's memory; use fewer or smaller images."
        )


def format_size(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def scikit_learn_file(name: str) -> Path:
    """The path of a data file of scikit-learn; importing sklearn.datasets to read it takes over a second."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / name
