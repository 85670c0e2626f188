"""Data-copying (arXiv:2004.05675): are samples nearer to the training examples than held-out data are?"""

from __future__ import annotations

import math

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.metrics import distances, inputs
from jaxgan.metrics.protocol import Display, Metric


def evaluate(train: AnyArray, real: AnyArray, fake: AnyArray) -> float:
    """Z_U of the distances to the nearest training example: samples against held-out data (section 3.1), float64.

    The standardized Mann-Whitney statistic: about N(0, 1) if samples and held-out data have the same distribution,
    below -3 if G copies training examples, above 3 if its samples lie farther from them than data do. It is computed
    over the whole space; the paper's C_T averages it over cells, which also detects copying of part of the data.

    Args:
      train: [t, d], real: [n, d] (held out), fake: [m, d], features.

    Raises:
      UserError: fewer than 2 examples in a set, constant, not finite, or of different dimensions.
    """
    real, fake = inputs.pair(real, fake, 2, "the test of memorization")
    train, _ = inputs.pair(train, real, 2, "the test of memorization")
    return z_u(*(distances.nearest(x, train, 1)[0][:, 0] for x in (real, fake)))


def z_u(held_out: np.ndarray, samples: np.ndarray) -> float:
    """Z_U from distances to the nearest training example (or their squares): of held-out data [n] and samples [m]."""
    n, m = len(held_out), len(samples)
    held_out = np.sort(held_out)
    num_nearer = (np.searchsorted(held_out, samples, "left") + np.searchsorted(held_out, samples, "right")) / 2
    u = np.sum(num_nearer)  # pairs in which the sample is farther away; ties count half
    return float((u - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12))


def measure(train_features: AnyArray, real_features: AnyArray, fake_features: AnyArray) -> dict[str, float]:
    """`evaluate` as {name: value}."""
    return {"memorization": evaluate(train_features, real_features, fake_features)}


METRIC = Metric(
    needs=("train_features", "real_features", "fake_features"),
    evaluate=measure,
    outputs={"memorization": Display("data-copying Z_U (below -3: copies)", 2, 0)},
    best="",
    min_examples=2,
)
