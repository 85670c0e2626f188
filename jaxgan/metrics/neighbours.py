"""The 1-nearest-neighbour test: can samples be told from data? (arXiv:1610.06545, arXiv:1806.07755)

Every example is given the label, data or samples, of its nearest other example. Where both are of one distribution
half of the labels are right, whatever it is; more where they differ, and fewer where samples are copies of the data.
Samples that crowd inside the data (smoothed, or of a few modes) show as more right labels among samples than data.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.metrics import distances
from jaxgan.metrics.protocol import Display, Metric


class Neighbours(NamedTuple):
    """Shares of right labels."""

    data: float
    samples: float

    @property
    def accuracy(self) -> float:
        """Over both: 1/2 where nothing tells them apart, 1 where everything does."""
        return (self.data + self.samples) / 2


def evaluate(samples: ArrayLike, data: ArrayLike) -> Neighbours:
    """The test by Euclidean distances, between the first min(m, n) samples and examples of the data.

    Args:
      samples: [m, ...] from the generator.
      data: [n, ...] that the generator was not trained on, of the samples' shape and range.

    Raises:
      UserError: an empty set, examples of another size, or numbers that are not finite.
    """
    n = min(len(samples), len(data))
    if n == 0:
        raise UserError(f"got {len(samples)} samples and {len(data)} examples; nearest neighbours take some of both.")
    samples, data = (np.reshape(np.asarray(a[:n], np.float32), (n, -1)) for a in (samples, data))
    if samples.shape != data.shape:
        raise UserError(f"samples have {samples.shape[1]} numbers each and the data {data.shape[1]}.")
    both = np.concatenate([data, samples])
    if not np.all(np.isfinite(both)):
        raise UserError("samples or data are not finite; they have no nearest neighbours.")
    nearest = distances.nearest_others(both, 1)[1][:, 0]
    return Neighbours(data=float(np.mean(nearest[:n] < n)), samples=float(np.mean(nearest[n:] >= n)))


def measure(real_features: ArrayLike, fake_features: ArrayLike) -> dict[str, float]:
    """`evaluate` as numbers by name."""
    found = evaluate(fake_features, real_features)
    return {
        "neighbours_accuracy": found.accuracy,
        "neighbours_excess": abs(found.accuracy - 0.5),
        "neighbours_real": found.data,
        "neighbours_fake": found.samples,
    }


METRIC = Metric(
    needs=("real_features", "fake_features"),
    evaluate=measure,
    outputs={
        "neighbours_accuracy": Display("1-NN accuracy", 3, 0),
        "neighbours_excess": Display("1-NN accuracy, distance from 1/2", 3, -1),
        "neighbours_real": Display("1-NN accuracy on data", 3, 0),
        "neighbours_fake": Display("1-NN accuracy on samples", 3, 0),
    },
    best="neighbours_excess",
    min_examples=2,
    used=lambda real, fake: {"examples": min(real, fake)},
)
