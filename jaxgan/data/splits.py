"""From the arrays of a reader to a `Dataset`: held-out splits, standardized vectors, limits, and checks of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgan.data.dataset import SPLITS, Dataset
from jaxgan.data.rows import Rows, cut
from jaxgan.data.source import Source, check_memory
from jaxgan.errors import UserError


def drop_empty_classes(name: str, arrays: Source) -> Source:
    """Makes every class have training examples; drops test labels if there are no training labels.

    Classes of a TFDS data set without examples are dropped and the others renumbered in order: those of
    `emnist/letters` start at 1. Test labels are dropped if one is of a class without training examples, as in
    `omniglot`.

    Raises:
      UserError: a class of other data has no training example.
    """
    y, y_test = arrays.train_labels, arrays.test_labels
    if y is None:
        return arrays._replace(test_labels=None, class_names=(), classes=0)
    occurring = np.unique(y)
    if len(occurring) == arrays.classes:
        return arrays
    if not name.startswith("tfds:"):
        missing = np.setdiff1d(np.arange(arrays.classes), occurring)
        only_test = y_test is not None and np.isin(missing, y_test).any()
        where = ", which the test set has" if only_test else ""
        how = ": numpy.unique(labels, return_inverse=True)[1] renumbers the others" if name.startswith("npz:") else ""
        raise UserError(
            f"{name} has no training example of {_format_classes(missing, arrays.class_names)}{where}; add examples of "
            f"every class, or leave the class out{how}."
        )
    keep_test = y_test is not None and np.isin(y_test, occurring).all()
    return arrays._replace(
        train_labels=np.searchsorted(occurring, y).astype(np.int32),
        test_labels=np.searchsorted(occurring, y_test).astype(np.int32) if keep_test else None,
        class_names=tuple(arrays.class_names[i] for i in occurring),
        classes=len(occurring),
    )


def _format_classes(classes: Sequence[int] | np.ndarray, names: Sequence[str]) -> str:
    """Names at most three of the classes: "class 3 (cat), 4 (dog), 7 (owl) and 2 more"."""
    listed = [f"{i} ({names[i]})" if names else str(i) for i in classes[:3]]
    return f"class {', '.join(listed)}" + (f" and {len(classes) - 3} more" if len(classes) > 3 else "")


def check_classes(dataset: Dataset) -> None:
    """Checks, for conditional training, that every class still has training examples after splitting and limiting.

    Raises:
      UserError: a class has no training example.
    """
    base = round(dataset.classes ** (1 / dataset.stack))
    missing = np.setdiff1d(np.arange(base), dataset.train_labels)
    if len(missing):
        raise UserError(
            f"none of the {len(dataset.train):,} training examples of {dataset.name} is of "
            f"{_format_classes(missing, dataset.class_names)}; lower data.validation, change data.limit or set "
            f"conditional=none."
        )


def to_dataset(name: str, arrays: Source, held_out: int) -> Dataset:
    """Splits examples, labels and conditions alike, and standardizes vectors."""
    train, validation, test = split(arrays.train, arrays.test, held_out)

    def parts(all_of_train: np.ndarray | Rows | None, test: np.ndarray | None) -> tuple[Any, ...]:
        if all_of_train is None:
            return None, None, test
        of_train, of_validation, rest = cut(all_of_train, len(train), len(train) + len(validation))
        return of_train, np.asarray(of_validation), np.asarray(rest) if arrays.test is None else test

    scaling = _scaling(train)
    labels = parts(arrays.train_labels, arrays.test_labels)
    conditions = parts(arrays.train_condition, arrays.test_condition)
    condition_scaling = _scaling(conditions[0])
    if condition_scaling is not None:
        conditions = tuple(None if x is None else standardized(x, condition_scaling) for x in conditions)
    if scaling is not None:
        train, validation, test = (standardized(x, scaling) for x in (train, validation, test))
    return Dataset(
        name=name,
        train=train,
        validation=validation,
        test=test,
        mixture=None,
        train_labels=labels[0],
        validation_labels=labels[1],
        test_labels=labels[2],
        classes=arrays.classes,
        class_names=arrays.class_names,
        left_out=arrays.left_out,
        train_condition=conditions[0],
        validation_condition=conditions[1],
        test_condition=conditions[2],
        scaling=scaling,
        condition_scaling=condition_scaling,
    )


def _scaling(train: np.ndarray | Rows | None) -> np.ndarray | None:
    """Means and standard deviations of vectors, [2, d], with 1 for constant entries; None for images."""
    if train is None or train.ndim != 2:
        return None
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    return np.stack([mean, np.where(deviation > 0, deviation, 1)])


def standardized(x: np.ndarray, scaling: np.ndarray) -> np.ndarray:
    """(x - mean) / deviation, float32."""
    return ((x - scaling[0]) / scaling[1]).astype(np.float32)


def split(
    train: np.ndarray | Rows, test: np.ndarray | None, held_out: int
) -> tuple[np.ndarray | Rows, np.ndarray, np.ndarray]:
    """Splits off validation and test examples as `jaxgan.data.load` describes; the splits are disjoint views.

    Raises:
      UserError: no training examples are left.
    """
    n, sets = len(train), 1 if test is not None else 2
    left = n - sets * held_out
    if left <= 0:
        why = "" if sets == 1 else ", and the same number for a test set, which this data set lacks,"
        raise UserError(
            f"data.validation={held_out} examples for the validation set{why} leave none of the {n} training examples "
            f"to train on; set it below {-(-n // sets)}{'' if sets == 1 else ' or add a test set'}."
        )
    train, validation, rest = cut(train, left, left + held_out)
    return train, np.asarray(validation), np.asarray(rest) if test is None else test


def limited(dataset: Dataset, limit: int) -> Dataset:
    """Restricts the training set to its first `limit` examples; 0 = no limit."""
    if not limit:
        return dataset
    if limit > (n := len(dataset.train)):
        raise UserError(f"data.limit={limit} training examples, but {dataset.name} has {n}; lower it, or set it to 0.")
    arrays = {name: getattr(dataset, name) for name in ("train", "train_labels", "train_condition")}
    return dataset._replace(**{name: None if array is None else array[:limit] for name, array in arrays.items()})


def padded(dataset: Dataset, pad: int) -> Dataset:
    """Pads images by `pad` black pixels on each side."""
    if not pad:
        return dataset
    if len(dataset.shape) == 1:
        raise UserError(f"data.pad={pad} applies only to images, and {dataset.name} has none; set it to 0.")
    width = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    splits = {name: getattr(dataset, name) for name, _ in SPLITS}
    _, h, w, channels = dataset.train.shape
    n = sum(len(x) for x in splits.values() if not isinstance(x, Rows))
    size = n * channels * ((h + 2 * pad) * (w + 2 * pad) + h * w)
    check_memory(size, f"padded images of {dataset.name}, and the images themselves")
    pad_images = lambda x: x.padded(pad) if isinstance(x, Rows) else np.pad(x, width)  # noqa: E731
    return dataset._replace(**{name: pad_images(x) for name, x in splits.items()})
