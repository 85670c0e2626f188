"""The mean distance between samples relative to data: a check for collapse, not a score."""

from __future__ import annotations

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.metrics import inputs
from jaxgan.metrics.protocol import Display, Metric

MAX_EXAMPLES = 1000  # per set; a million distances give three digits


def evaluate(real: AnyArray, fake: AnyArray) -> float:
    """Mean distance between two samples over that between two real examples, of the first 1,000 of each set, float64.

    1 if both have the same distribution. Below 1/2, G has collapsed, or nearly so.

    Args:
      real: [n, d], fake: [m, d], features.

    Raises:
      UserError: fewer than 2 of either, constant, not finite, or of different dimensions.
    """
    real, fake = inputs.pair(real, fake, 2, "diversity")
    return _mean_distance(fake[:MAX_EXAMPLES]) / _mean_distance(real[:MAX_EXAMPLES])


def _mean_distance(x: np.ndarray) -> float:
    """The mean Euclidean distance over all pairs of distinct rows."""
    x = x.astype(np.float64) - np.mean(x, axis=0, keepdims=True, dtype=np.float64)
    norms = np.sum(x * x, axis=1)
    squares = np.maximum(norms[:, None] + norms[None] - 2 * x @ x.T, 0)
    np.fill_diagonal(squares, 0)  # rounding
    return float(np.sum(np.sqrt(squares)) / (len(x) * (len(x) - 1)))


METRIC = Metric(
    needs=("real_features", "fake_features"),
    evaluate=lambda real_features, fake_features: {"diversity": evaluate(real_features, fake_features)},
    outputs={"diversity": Display("distance between samples, over that between data", 3, 0)},
    best="",
    min_examples=2,
    used=lambda real, fake: {"examples": min(real, MAX_EXAMPLES), "samples": min(fake, MAX_EXAMPLES)},
)
