"""Frechet distance between Gaussians fitted to features (arXiv:1706.08500); on Inception-v3 features, this is FID.

FID is biased: it decreases as the number of samples grows (arXiv:1801.01401, appendix D), so scores at different sample
sizes are not comparable, and it may even rank models wrongly. `infinity` extrapolates to infinitely many samples
(arXiv:1911.07023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.linalg when it is first used
from jaxtyping import Float64, Num

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics import inputs
from jaxgan.metrics.protocol import Display, Metric

NAME = "FID"
CHUNK_NUMBERS = 2**24  # feature values converted to float64 at a time: 128 MB
NUM_SIZES = 15  # subset sizes of `infinity`, as in arXiv:1911.07023
MIN_PIVOT_RATIO = 1e-10  # of smallest to largest; below this, a Cholesky factor is considered inaccurate


def evaluate(real_features: Num[AnyArray, " n *d"], fake_features: Num[AnyArray, " m *d"]) -> float:
    """||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) for means m and covariances C (normalized by n - 1).

    Computed in float64. If either set has no more examples than dimensions, tr (C1 C2)^(1/2) is computed as the nuclear
    norm of F1 F2^T, where F = centred features / sqrt(n - 1), without forming covariances. With so few examples, the
    score is far above the true distance.

    Raises:
      UserError: fewer than 2 examples in either set, constant or non-finite features, or different dimensions.
    """
    real, fake = inputs.pair(real_features, fake_features, 2, NAME)
    if min(len(real), len(fake)) > real.shape[1]:
        return from_moments(*_moments(real), *_moments(fake))
    (mean1, factor1), (mean2, factor2) = _factor(real), _factor(fake)
    overlap = np.sum(scipy.linalg.svdvals(factor1 @ factor2.T))
    return _distance(mean1, mean2, np.sum(np.square(factor1)) + np.sum(np.square(factor2)), overlap)


def moments(features: Num[AnyArray, " n *d"]) -> tuple[Float64[np.ndarray, " size"], Float64[np.ndarray, "size size"]]:
    """The mean and covariance (normalized by n - 1) of features.

    Raises:
      UserError: fewer than 2 examples, or constant or non-finite features.
    """
    return _moments(inputs.features(features, "features", 2, NAME))


def from_moments(
    mean1: Num[AnyArray, " d"], cov1: Num[AnyArray, "d d"], mean2: Num[AnyArray, " d"], cov2: Num[AnyArray, "d d"]
) -> float:
    """The distance between N(mean1, cov1) and N(mean2, cov2).

    Args:
      cov1, cov2: symmetric, positive semidefinite.

    Raises:
      UserError: wrong shapes, or values that are not finite.
    """
    mean1, cov1, mean2, cov2 = (np.asarray(a, np.float64) for a in (mean1, cov1, mean2, cov2))
    shapes = [a.shape for a in (mean1, cov1, mean2, cov2)]
    d = mean1.size
    if shapes != [(d,), (d, d)] * 2:
        raise UserError(f"moments have the shapes {shapes}; FID needs a mean [d] and a covariance [d, d] for each set.")
    if not all(np.all(np.isfinite(a)) for a in (mean1, cov1, mean2, cov2)):
        raise UserError("the means or covariances are not finite; FID needs finite ones.")
    return _distance(mean1, mean2, np.trace(cov1) + np.trace(cov2), _overlap(_root(cov1), cov2))


class Infinity(NamedTuple):
    """FID extrapolated to infinitely many fake examples."""

    fid: float  # at N = infinity
    slope: float  # of the fitted line, FID against 1/N
    sizes: tuple[int, ...]  # the values of N
    fids: tuple[float, ...]  # measured at these sizes


def infinity(
    real_features: Num[AnyArray, " n *d"],
    fake_features: Num[AnyArray, " m *d"],
    *,
    sizes: tuple[int, ...] | None = None,
    seed: int = 0,
) -> Infinity:
    """FID extrapolated to infinitely many fake examples, from its values on subsets of the fake features.

    Each subset is sampled independently, without replacement. All real features are used each time, so the bias due to
    their number remains.

    Args:
      sizes: subset sizes, at most m; None means 15 sizes, evenly spaced from m / 10 to m.
      seed: seeds the `numpy.random.RandomState` that samples the subsets.

    Raises:
      UserError: as in `evaluate`, or invalid sizes.

    Source: arXiv:1911.07023, where the sizes are 5,000 to 50,000.
    """
    real, fake = inputs.pair(real_features, fake_features, 2, "FID-infinity")
    return infinity_from(*_moments(real), fake, sizes=sizes, seed=seed)


def infinity_from(
    mean: np.ndarray,
    covariance: np.ndarray,
    fake_features: AnyArray,
    *,
    sizes: tuple[int, ...] | None = None,
    seed: int = 0,
) -> Infinity:
    """`infinity` from the mean [d] and covariance [d, d] of the real features, or of the exact real distribution."""
    fake = inputs.features(fake_features, "fake features", 2, "FID-infinity")
    m = len(fake)
    sizes = tuple(np.linspace(max(m // 10, 2), m, NUM_SIZES).astype(int).tolist()) if sizes is None else tuple(sizes)
    if len(set(sizes)) < 2 or min(sizes) < 2 or max(sizes) > m:
        raise UserError(
            f"FID-infinity needs at least two distinct subset sizes, of 2 to {m} fake features each; got {list(sizes)}."
        )
    root, trace = _root(covariance), np.trace(covariance)
    random, fids = np.random.RandomState(seed), []
    for size in sizes:
        mean2, covariance2 = _moments(fake[random.choice(m, size, replace=False)])
        fids.append(_distance(mean, mean2, trace + np.trace(covariance2), _overlap(root, covariance2)))
    return Infinity(*extrapolate(sizes, fids), sizes, tuple(fids))


def extrapolate(sizes: Sequence[float] | AnyArray, fids: Sequence[float] | AnyArray) -> tuple[float, float]:
    """Intercept and slope of the least-squares fit of FID against 1/N, in float64.

    Raises:
      UserError: fewer than two distinct sizes, or not as many FIDs as sizes.
    """
    sizes, fids = np.asarray(sizes, np.float64), np.asarray(fids, np.float64)
    if sizes.shape != fids.shape or len(np.unique(sizes)) < 2:
        raise UserError(f"a linear fit needs FIDs at two different sizes; got {fids.tolist()} at {sizes.tolist()}.")
    inverse = 1 / sizes
    centred = inverse - inverse.mean()
    slope = float(np.sum(centred * fids) / np.sum(centred * centred))
    return float(fids.mean() - slope * inverse.mean()), slope


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, d = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    total, step = np.zeros((d, d)), max(1, CHUNK_NUMBERS // d)
    for start in range(0, n, step):
        centred = features[start : start + step] - mean[None]
        total += centred.T @ centred
    return mean, total / (n - 1)


def _factor(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and a matrix F with at most d rows such that F^T F is the covariance."""
    mean = features.mean(axis=0, dtype=np.float64)
    factor: np.ndarray = (features - mean[None]) / np.sqrt(len(features) - 1)
    if len(factor) > factor.shape[1]:
        factor = np.linalg.qr(factor, mode="r")
    return mean, factor


def _root(covariance: np.ndarray) -> np.ndarray:
    """A matrix A with A A^T = covariance: the Cholesky factor if it is accurate, else the symmetric square root."""
    try:
        root = scipy.linalg.cholesky(covariance, lower=True)
        pivots = np.square(np.diag(root))
        if pivots.min() > MIN_PIVOT_RATIO * pivots.max():
            return root
    except np.linalg.LinAlgError:  # singular, or so close to it that rounding made it indefinite
        pass
    values, vectors = scipy.linalg.eigh(covariance, driver="evd")
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _overlap(root: np.ndarray, covariance: np.ndarray) -> float:
    """tr (A A^T C)^(1/2), computed from A^T C A, which is symmetric and has the same eigenvalues as A A^T C."""
    values = scipy.linalg.eigvalsh(root.T @ covariance @ root, driver="ev")
    return float(np.sum(np.sqrt(np.maximum(values, 0))))


def _distance(mean1: np.ndarray, mean2: np.ndarray, traces: float, overlap: float) -> float:
    """The Frechet distance, clipped at 0, since rounding can make it negative."""
    return max(float(np.sum(np.square(mean1 - mean2)) + traces - 2 * overlap), 0.0)


METRIC = Metric(
    needs=("real_features", "fake_features"),
    evaluate=lambda real_features, fake_features: {"fid": evaluate(real_features, fake_features)},
    outputs={"fid": Display("FID", 2, -1)},
    best="fid",
    min_examples=2,
    conventions={"ddof": 1},
)
