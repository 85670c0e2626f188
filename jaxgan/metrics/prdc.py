"""Improved precision and recall (arXiv:1904.06991), density and coverage (arXiv:2002.09797), on features.

The ball of an example extends to its k-th nearest neighbour in its own set, excluding itself.

precision: fraction of fakes in the ball of a real example. density: mean number of real balls containing a fake, / k.
recall: fraction of real examples in the ball of a fake.    coverage: fraction of real balls that contain a fake.

Known failures (arXiv:2505.22450): an outlier has a large ball, and everything in it counts as precise, or as recalled;
precision and recall of equal distributions are below 1 and decrease with the dimension. Density may exceed 1; for equal
distributions its expectation is 1, and that of coverage is `expected_coverage`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Num

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics import distances, inputs
from jaxgan.metrics.protocol import Display, Metric

NAME = "precision and recall"


def evaluate(
    real: Num[AnyArray, " n *d"], fake: Num[AnyArray, " m *d"], k: int, *, strict: bool = True
) -> dict[str, float]:
    """`precision`, `recall`, `density` and `coverage` with Euclidean distances, exact to float64.

    Common choices are k = 3 for precision and recall and k = 5 for density and coverage; report which.

    Args:
      real, fake: features.
      k: 1 or more, below n and m.
      strict: a point on the sphere is outside its ball, as in the package prdc; False: inside, as in the code of
        arXiv:1904.06991 and torch-fidelity. This matters for duplicate features.

    Raises:
      UserError: k out of range, or features that are too few, constant, not finite, or of different dimensions.
    """
    return evaluate_each(real, fake, (k,), strict=strict)[0]


def evaluate_each(
    real: Num[AnyArray, " n *d"],
    fake: Num[AnyArray, " m *d"],
    ks: Sequence[int],
    *,
    strict: bool = True,
    real_radii: Float64[np.ndarray, "n K"] | None = None,
) -> list[dict[str, float]]:
    """`evaluate` for several k, at the cost of one.

    Args:
      real_radii: `radii(real, ks)`, to reuse when several fake sets are compared with one real set.
    """
    real, fake = inputs.pair(real, fake, 2, NAME)
    _check_k(ks, min(len(real), len(fake)))
    real_radii = _radii(real, ks) if real_radii is None else real_radii
    balls = distances.balls(real, real_radii, fake, _radii(fake, ks), strict=strict)
    return [
        {
            "precision": float(np.mean(balls.y_in_any[:, i])),
            "recall": float(np.mean(balls.x_in_any[:, i])),
            "density": float((1 / k) * (np.sum(balls.counts[:, i]) / len(fake))),
            "coverage": float(np.mean(balls.counts[:, i] > 0)),
        }
        for i, k in enumerate(ks)
    ]


def radii(features: Num[AnyArray, " n *d"], ks: Sequence[int]) -> Float64[np.ndarray, "n K"]:
    """Squared distances to the k-th nearest other example, for each of the K values k.

    Raises:
      UserError: as `evaluate`.
    """
    x = inputs.features(features, "features", 2, NAME)
    _check_k(ks, len(x))
    return _radii(x, ks)


def _radii(x: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    return distances.nearest_others(x, max(ks))[0][:, np.asarray(ks) - 1]


def _check_k(ks: Sequence[int], smaller: int) -> None:
    for k in ks:
        if not 1 <= k < smaller:
            raise UserError(f"k = {k} must be from 1 to {smaller - 1}, below the number of real and of fake features.")


def expected_coverage(n: int, m: int, k: int) -> float:
    """E[coverage] of n real and m fake examples from the same continuous distribution, whatever it is.

    1 - prod_{i=1..k} (n - i) / (n + m - i): among an example's n - 1 + m others, the k nearest are all real with
    the product's probability (arXiv:2002.09797, lemma 2). Choose the smallest k for which it exceeds .95.

    Raises:
      UserError: k is not from 1 to n - 1, or there are no fakes.
    """
    if not 1 <= k < n or m < 1:
        raise UserError(f"k = {k} must be from 1 to n - 1, with n = {n} real and at least one fake example, not {m}.")
    return 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))


METRIC = Metric(
    needs=("real_features", "fake_features", "k"),
    evaluate=lambda real_features, fake_features, k: evaluate(real_features, fake_features, k),
    outputs={
        "precision": Display("precision", 3, 1),
        "recall": Display("recall", 3, 1),
        "density": Display("density", 3, 0),
        "coverage": Display("coverage", 3, 1),
    },
    best="coverage",
    min_examples=2,
    conventions={"strict": True},
)
