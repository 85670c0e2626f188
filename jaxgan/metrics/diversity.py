"""Whether samples differ from each other as much as data do: an alarm for collapse, not a score."""

from __future__ import annotations

import numpy as np
from jax.typing import ArrayLike

from jaxgan.metrics import inputs
from jaxgan.metrics.protocol import Display, Metric

MOST = 1000  # examples of each set; a million distances are enough for three digits


def evaluate(real: ArrayLike, fake: ArrayLike) -> float:
    """Mean distance between two samples over that between two real examples, of the first 1,000 of each set, float64.

    1 where both are of one distribution. Below 1/2 a generator has collapsed, or nearly.

    Args:
      real: [n, d], fake: [m, d], features.

    Raises:
      UserError: fewer than 2 of either, constant, not finite, or of different sizes.
    """
    real, fake = inputs.pair(real, fake, 2, "diversity")
    return _mean_distance(fake[:MOST]) / _mean_distance(real[:MOST])


def _mean_distance(x: np.ndarray) -> float:
    """Over all pairs of different rows."""
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
    used=lambda real, fake: {"examples": min(real, MOST), "samples": min(fake, MOST)},
)
