"""Few labels: those of a balanced draw are kept, and all others hidden."""

from __future__ import annotations

import numpy as np

from jaxgan.data.dataset import Dataset
from jaxgan.errors import UserError


def keep_labels(dataset: Dataset, n: int, seed: int) -> Dataset:
    """The data set with the labels of `n` training examples, equally many of each class, and -1 for all others.

    Labels of validation and test examples stay. With n = 0 all labels are kept.

    Args:
      seed: of the draw.

    Raises:
      UserError: no labels, stacks, a number that the classes do not divide, or more than a class has.
    """
    if not n:
        return dataset
    if dataset.train_labels is None or dataset.stack > 1:
        why = "has no labels" if dataset.train_labels is None else "stacks its examples"
        raise UserError(f"data.labels={n} keeps labels of training examples, and {dataset.name} {why}; set it to 0.")
    if n % dataset.classes:
        raise UserError(
            f"data.labels={n} is to keep equally many labels of each of {dataset.classes} classes; make it a multiple "
            f"of {dataset.classes}."
        )
    rng, each = np.random.default_rng(seed), n // dataset.classes
    kept = np.full_like(dataset.train_labels, -1)
    for c in range(dataset.classes):
        rows = np.flatnonzero(dataset.train_labels == c)
        if len(rows) < each:
            raise UserError(
                f"data.labels={n} needs {each} labelled examples of each class, and class {c} of {dataset.name} has "
                f"{len(rows)}; lower it."
            )
        kept[rng.permutation(rows)[:each]] = c
    return dataset._replace(train_labels=kept)
