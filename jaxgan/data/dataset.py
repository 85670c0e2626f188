"""A data set as training uses it: its arrays, and what describes and identifies it."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

import numpy as np

from jaxgan.data.mixture import Mixture
from jaxgan.data.rows import Rows

SPLITS = (("train", "training"), ("validation", "validation"), ("test", "test"))  # fields of `Dataset`, and adjectives
CHUNK = 2**14  # examples that are read at once where all are


class Dataset(NamedTuple):
    """Training, validation and test examples, [n, H, W, C] uint8 images or [n, d] float32 points, and their labels.

    The training examples of `stacked:NAME` are not stored: `train` and `train_labels` are the base images [n, H, W, 1]
    and their labels, and `stacked.rows` selects `stack` of them per example. All other fields (`validation`, `test`,
    their labels, `classes`, `shape`) describe the stacked examples.
    """

    name: str  # data.name
    train: np.ndarray | Rows
    validation: np.ndarray
    test: np.ndarray
    mixture: Mixture | None  # the density, for mixture:NAME
    train_labels: np.ndarray | None = None  # [n] int32, 0 .. classes - 1, -1 where it is hidden; None without labels
    validation_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    classes: int = 0  # number of classes; 0 without labels
    class_names: tuple[str, ...] = ()  # one per class, or () if classes have no names
    stack: int = 1  # number of base images per example
    left_out: tuple[tuple[str, int], ...] = ()  # (suffix, count) of a folder's files that were not read
    train_condition: np.ndarray | Rows | None = None  # [n, k] float32 or [n, H, W, C] uint8, stored with each example
    validation_condition: np.ndarray | None = None
    test_condition: np.ndarray | None = None
    # [2, d] float64: vectors have lost this mean and are divided by this standard deviation, of the training set
    scaling: np.ndarray | None = None
    condition_scaling: np.ndarray | None = None  # [2, k], the same of vectors stored as conditions

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example as G and D use it: (H, W, C) or (d,)."""
        *front, last = self.train.shape[1:]
        return *front, last * self.stack


def value_range(dataset: Dataset, gcn: float, low: float = 0.0) -> tuple[float, float] | None:
    """The range (minimum, maximum) of decoded values, or None if they are unbounded.

    Args:
      dataset: images or points.
      gcn, low: as in `decode`.
    """
    return (low, 1.0) if dataset.train.dtype == np.uint8 and gcn == 0 else None


def digest(dataset: Dataset) -> str:
    """SHA-256 of the training set in hexadecimal: of the bytes, dtypes and shapes of its examples, labels, conditions.

    Equal on all machines; takes about .1 s for 50,000 MNIST images.
    """
    sha256 = hashlib.sha256()
    conditions = () if dataset.train_condition is None else (dataset.train_condition,)
    for array in (dataset.train, dataset.train_labels, *conditions):
        header = None if array is None else [array.dtype.str, array.shape, dataset.stack]
        sha256.update(json.dumps(header).encode())
        for start in range(0, 0 if array is None else len(array), CHUNK):
            part = np.ascontiguousarray(np.asarray(array[start : start + CHUNK]))
            sha256.update(part.reshape(-1).view(np.uint8).data)
    return sha256.hexdigest()


def as_recorded(dataset: Dataset, sha256: str | None) -> Dataset:
    """The data set with its classes numbered as in the run that recorded the digest `sha256`.

    Earlier versions sorted folders alphabetically, 10 before 2. If that does not give the digest either, the data set
    is returned unchanged.
    """
    if list(dataset.class_names) == sorted(dataset.class_names) or sha256 in (None, digest(dataset)):
        return dataset
    names = tuple(sorted(dataset.class_names))
    number = np.array([names.index(name) for name in dataset.class_names], np.int32)
    labels = {name: getattr(dataset, name) for name in ("train_labels", "validation_labels", "test_labels")}
    renumbered = {name: None if y is None else number[y] for name, y in labels.items()}
    earlier = dataset._replace(class_names=names, **renumbered)
    return earlier if digest(earlier) == sha256 else dataset


def describe(dataset: Dataset) -> str:
    """Describes a data set in one line, as "folder:cats: 480 training, 60 validation, 60 test images 64x64x3, 3 classes
    (cat, dog, owl), 2 other files left out (2 .txt)".

    Of more than ten class names, the first three and the last are listed. Unprintable characters become "?".
    """
    points = len(dataset.shape) == 1
    counts = ", ".join(f"{len(getattr(dataset, split)):,} {words}" for split, words in SPLITS)
    size = f"points of dimension {dataset.shape[0]}" if points else f"images {'x'.join(map(str, dataset.shape))}"
    parts = [f"{dataset.name}: {counts} {size}"]
    if dataset.classes:
        names = dataset.class_names
        listed = ", ".join(names if len(names) <= 10 else (*names[:3], "...", names[-1]))
        parts.append(f"{dataset.classes:,} classes" + (f" ({listed})" if names else ""))
    if dataset.stack > 1:
        parts.append(f"training on random stacks of {dataset.stack} of the {len(dataset.train):,}")
    if dataset.left_out:
        kinds = [f"{n:,} {ending}" for ending, n in dataset.left_out]
        total = sum(n for _, n in dataset.left_out)
        parts.append(f"{total:,} other files left out ({', '.join(kinds[:5] + ['...'] * (len(kinds) > 5))})")
    return "".join(c if c.isprintable() else "?" for c in ", ".join(parts))
