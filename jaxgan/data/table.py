"""Numeric tables that come with scikit-learn: `data.name=table:NAME`."""

from __future__ import annotations

import numpy as np

from jaxgan.data.source import Source, scikit_learn_file, shuffle
from jaxgan.errors import UserError

# Files of sklearn/datasets/data; the last column of a .csv is the class, and its first row names the classes.
TABLES = {
    "breast_cancer": "breast_cancer.csv",
    "wine": "wine_data.csv",
    "iris": "iris.csv",
    "diabetes": "diabetes_data_raw.csv.gz",
}


def read_table(name: str) -> Source:
    """The rows of a table, [n, d] float32 in the units of the file, shuffled; their classes, if it has any.

    Raises:
      UserError: an unknown name.
    """
    if name not in TABLES:
        raise UserError(f"data.name=table:NAME takes {', '.join(TABLES)}, not {name!r}.")
    path = scikit_learn_file(TABLES[name])
    if path.suffix == ".gz":
        x, names, y = np.loadtxt(path), [], None
    else:
        with open(path) as file:
            _, _, *names = file.readline().strip().split(",")
            *columns, labels = np.loadtxt(file, delimiter=",").T
        x, y = np.stack(columns, axis=1), labels.astype(np.int32)
        shuffle(y)
    shuffle(x)
    return Source(x.astype(np.float32), train_labels=y, class_names=tuple(names), classes=len(names))
