"""scikit-learn's handwritten digits, which need no download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from jaxgan.data.source import Source


def scikit_learn_file(name: str) -> Path:
    """The path of a data file of scikit-learn; importing sklearn.datasets to read it takes over a second."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / name


def read_digits() -> Source:
    """scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak 1998), gray levels 0..16 scaled to 0..255.

    Returns:
      train [1500, 8, 8, 1] and test [297, 8, 8, 1]; the test images are the last ones of the file. Ten classes.
    """
    table = np.loadtxt(scikit_learn_file("digits.csv.gz"), delimiter=",")
    levels, labels = table[:, :64], table[:, 64].astype(np.int32)
    x = np.rint(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return Source(x[:1500], x[1500:], labels[:1500], labels[1500:], tuple("0123456789"), 10)
