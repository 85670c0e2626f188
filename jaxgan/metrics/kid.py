"""Squared maximum mean discrepancy of features under k(x, y) = (x.y / d + 1)^3, unbiased: KID (arXiv:1801.01401).

Its expectation doesn't depend on the number of samples, unlike FID's. It may be negative.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Num

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics import inputs
from jaxgan.metrics.protocol import Display, Metric

NAME = "KID"
SUBSET_SIZE = 1000  # examples per set in a subset, if available
TILE_SIZE = 2048  # examples per side of a tile of the kernel matrix


def evaluate(
    real: Num[AnyArray, " n *d"], fake: Num[AnyArray, " m *d"], subsets: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and population standard deviation of `unbiased` over random subsets, float64.

    For each subset, `numpy.random.RandomState(seed)` samples `size` real, then `size` fake examples without
    replacement: the subsets of torch-fidelity with input 1 = real and input 2 = fake, whose seed is 2020 by default.

    Args:
      subsets: number of subsets; size: examples per set in a subset, 2 or more.

    Raises:
      UserError: features fewer than `size`, constant, not finite, or of different dimensions; no subsets.
    """
    if subsets < 1 or size < 2:
        raise UserError(f"KID needs at least 1 subset of at least 2 examples, not {subsets} of {size}.")
    real, fake = inputs.pair(real, fake, size, f"KID on subsets of {size}")
    random = np.random.RandomState(seed)
    scores = np.empty(subsets)
    for i in range(subsets):
        x = real[random.choice(len(real), size, replace=False)]
        y = fake[random.choice(len(fake), size, replace=False)]
        scores[i] = _unbiased(x, y)
    return float(scores.mean()), float(scores.std())


def unbiased(real: Num[AnyArray, " n *d"], fake: Num[AnyArray, " m *d"]) -> float:
    """mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean k(x_i, y_j), over all examples, float64.

    Raises:
      UserError: fewer than 2 of either, constant, not finite, or of different dimensions.
    """
    return _unbiased(*inputs.pair(real, fake, 2, NAME))


def _unbiased(x: np.ndarray, y: np.ndarray) -> float:
    n, m = len(x), len(y)
    within = _sum_within(x) / (n * (n - 1)) + _sum_within(y) / (m * (m - 1))
    between = sum(np.sum(_kernel(a, b)) for a in _tiles(x) for b in _tiles(y))
    return float(within - 2 * between / (n * m))


def _sum_within(x: np.ndarray) -> float:
    """Sum of k(x_i, x_j) over i != j; tiles above the diagonal count twice."""
    total = 0.0
    for i, a in enumerate(_tiles(x)):
        for j, b in enumerate(_tiles(x)):
            if i == j:
                kernel = _kernel(a, a)
                total += np.sum(kernel) - np.trace(kernel)
            elif i < j:
                total += 2 * np.sum(_kernel(a, b))
    return float(total)


def _tiles(x: np.ndarray) -> list[np.ndarray]:
    return [x[start : start + TILE_SIZE] for start in range(0, len(x), TILE_SIZE)]


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    same, a = a is b, a.astype(np.float64)
    b = a if same else b.astype(np.float64)  # NumPy computes a @ a.T at half the cost
    base = a @ b.T / a.shape[1] + 1
    return base * base * base


def measure(real_features: AnyArray, fake_features: AnyArray) -> dict[str, float]:
    """`evaluate` on subsets of 1,000 examples, or all if there are fewer, as {name: value}."""
    size = min(SUBSET_SIZE, len(real_features), len(fake_features))
    mean, deviation = evaluate(real_features, fake_features, size=size)
    return {"kid": mean, "kid_deviation": deviation}


METRIC = Metric(
    needs=("real_features", "fake_features"),
    evaluate=measure,
    outputs={"kid": Display("KID", 5, -1), "kid_deviation": Display("KID's deviation over subsets", 5, 0)},
    best="kid",
    min_examples=2,
    conventions={"subsets": 100},
    used=lambda real, fake: {"size": min(SUBSET_SIZE, real, fake)},
)
