"""The 1-nearest-neighbour two-sample test between samples and data (arXiv:1610.06545, arXiv:1806.07755).

Each example is classified, as data or sample, like its nearest other example. If both sets have the same distribution,
the accuracy is 1/2; it is higher if they differ, and lower if samples are copies of the data. Samples that concentrate
inside the data (smoothed, or of few modes) give a higher accuracy on samples than on data.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Num

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics import distances
from jaxgan.metrics.protocol import Display, Metric


class Neighbours(NamedTuple):
    """Leave-one-out accuracies of the 1-NN classifier."""

    data: float
    samples: float

    @property
    def accuracy(self) -> float:
        """Over both sets: 1/2 if they are indistinguishable, 1 if they are separable."""
        return (self.data + self.samples) / 2


def evaluate(samples: Num[AnyArray, " m *shape"], data: Num[AnyArray, " n *shape"]) -> Neighbours:
    """The test with Euclidean distances, on the first min(m, n) samples and examples of the data.

    Args:
      samples: from the generator.
      data: those that the generator was not trained on, in the samples' range.

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


def measure(real_features: Num[AnyArray, " n *shape"], fake_features: Num[AnyArray, " m *shape"]) -> dict[str, float]:
    """`evaluate` as {name: value}."""
    result = evaluate(fake_features, real_features)
    return {
        "neighbours_accuracy": result.accuracy,
        "neighbours_excess": abs(result.accuracy - 0.5),
        "neighbours_real": result.data,
        "neighbours_fake": result.samples,
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
