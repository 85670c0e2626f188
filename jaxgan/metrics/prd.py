"""Precision and recall of distributions (PRD, arXiv:1806.00035): a curve, from histograms over clusters of features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Num

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics import inputs
from jaxgan.metrics.protocol import Display, Metric

NAME = "PRD"
EPSILON = 1e-10  # radians between the curve's ends and the axes

Numbers: TypeAlias = Num[AnyArray, " n"] | Sequence[float]
Curve: TypeAlias = tuple[Float64[np.ndarray, " angles"], Float64[np.ndarray, " angles"]]  # precision and recall


def curve(fake: Numbers, real: Numbers, *, angles: int = 1001) -> Curve:
    """Precision sum_i min(lambda P_i, Q_i) and recall, that over lambda, of Q against P (equations 2 and 3).

    lambda is the tangent of evenly spaced angles from 0 to pi/2: recall is largest first, precision last.

    Args:
      fake, real: Q and P, probabilities.
      angles: 3 or more.

    Raises:
      UserError: other shapes, values that are not probabilities, too few angles.
    """
    fake, real = (np.asarray(a, np.float64) for a in (fake, real))
    if fake.ndim != 1 or fake.shape != real.shape or fake.size == 0:
        raise UserError(f"distributions of shapes {fake.shape} and {real.shape} must be of one shape [n].")
    for a in (fake, real):
        if not (np.all(a >= 0) and abs(a.sum() - 1) < 1e-6):
            raise UserError(f"probabilities must be 0 or more and sum to 1, not to {a.sum()}.")
    if angles < 3:
        raise UserError(f"a PRD curve needs at least 3 angles, not {angles}.")
    slopes = np.tan(np.linspace(EPSILON, np.pi / 2 - EPSILON, angles))
    precision = np.sum(np.minimum(slopes[:, None] * real[None], fake[None]), axis=1)
    return np.clip(precision, 0, 1), np.clip(precision / slopes, 0, 1)


def f_beta(precision: Numbers, recall: Numbers, beta: float) -> float:
    """The largest (1 + beta^2) p r / (beta^2 p + r) along a curve: large beta weighs recall, small beta precision.

    Raises:
      UserError: beta is not above 0.
    """
    if not beta > 0:
        raise UserError(f"beta must be above 0, not {beta}.")
    precision, recall = np.asarray(precision, np.float64), np.asarray(recall, np.float64)
    weighted = beta**2 * precision + recall
    return float(np.max((1 + beta**2) * precision * recall / np.where(weighted > 0, weighted, 1)))


def features_curve(
    real: Num[AnyArray, " n *d"],
    fake: Num[AnyArray, " m *d"],
    *,
    clusters: int = 20,
    angles: int = 1001,
    runs: int = 10,
    seed: int = 0,
) -> Curve:
    """The mean `curve` of the histograms over k-means clusters of both sets together, over several clusterings.

    Args:
      real, fake: equally many.
      clusters, angles, runs: the paper's protocol by default.
      seed: run r clusters with seed + r, by scikit-learn's mini-batch k-means.

    Raises:
      UserError: unequal numbers of examples, fewer than `clusters`, constant, not finite, or of different dimensions.
    """
    import sklearn.cluster  # here: it takes a second, and changes the warning filters of the program that imports it
    import sklearn.exceptions

    real, fake = inputs.pair(real, fake, clusters, f"PRD with {clusters} clusters")
    if len(real) != len(fake):
        raise UserError(f"PRD needs equally many real and fake features, not {len(real)} and {len(fake)}; drop some.")
    if clusters < 2 or runs < 1:
        raise UserError(f"PRD needs 2 clusters and 1 run or more, not {clusters} and {runs}.")
    both = np.concatenate([real, fake]).astype(np.float64)
    curves = []
    for run in range(runs):
        kmeans = sklearn.cluster.MiniBatchKMeans(n_clusters=clusters, n_init=10, random_state=seed + run)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)  # fewer different points
            labels = kmeans.fit_predict(both)
        p, q = (np.bincount(part, minlength=clusters) / len(real) for part in np.split(labels, 2))
        curves.append(curve(q, p, angles=angles))
    precision, recall = np.mean(curves, axis=0)
    return precision, recall


def evaluate(
    real: Num[AnyArray, " n *d"],
    fake: Num[AnyArray, " m *d"],
    *,
    clusters: int = 20,
    angles: int = 1001,
    runs: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """The scores of arXiv:1806.00035, `f8` (weighs recall) and `f1_8` (weighs precision), of `features_curve`.

    Raises:
      UserError: as `features_curve`.
    """
    precision, recall = features_curve(real, fake, clusters=clusters, angles=angles, runs=runs, seed=seed)
    return {"f8": f_beta(precision, recall, 8), "f1_8": f_beta(precision, recall, 1 / 8)}


CLUSTERS = 20


def measure(real_features: Num[AnyArray, " n *d"], fake_features: Num[AnyArray, " m *d"]) -> dict[str, float]:
    """`evaluate` on equally many examples of each, truncating the larger set, as {name: value}."""
    n = min(len(real_features), len(fake_features))
    scores = evaluate(real_features[:n], fake_features[:n], clusters=CLUSTERS)
    return {f"prd_{name}": score for name, score in scores.items()}


METRIC = Metric(
    needs=("real_features", "fake_features"),
    evaluate=measure,
    outputs={"prd_f8": Display("PRD's F8 (recall)", 3, 1), "prd_f1_8": Display("PRD's F1/8 (precision)", 3, 1)},
    best="prd_f8",
    min_examples=CLUSTERS,
    conventions={"clusters": CLUSTERS, "angles": 1001, "runs": 10},
    used=lambda real, fake: {"examples": min(real, fake)},
)
