"""Samples of G given the conditions of held-out examples, compared with these examples: accuracy and calibration.

The root mean square error (RMSE) ranks the conditional mean ahead of every sampler: a draw of the true conditional has
sqrt 2 times its error. The continuous ranked probability score (CRPS) of single entries and the energy score of all
entries together are least, on average, for the true conditional (Gneiting and Raftery 2007).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric

EXAMPLES = 1000  # of each split, the first ones, for which draws are scored


def evaluate(draws: ArrayLike, targets: ArrayLike, scored: ArrayLike) -> dict[str, float]:
    """Scores of K draws per example.

    Args:
      draws: [K, n, *shape] floating-point, K of 2 or more.
      targets: [n, *shape], of the same range.
      scored: [n, *shape] bool, the entries that count: those that a mask hides, or all.

    Returns:
      rmse_of_mean, rmse_of_draw: of the mean of the draws, and of the first draw.
      dispersion: the standard deviation of the draws over that of the truth around their mean; 1 if exact, 0 if G
        ignores z.
      crps: the mean over entries, unbiased in K.
      energy_score: E|X - x| - E|X - X'| / 2 with Euclidean norms over an example's entries, unbiased in K.
      coverage_50, coverage_90: the share of entries within the central interval of their draws; for exact draws .5 and
        .9 if K + 1 is a multiple of 20.
      rank_chi2: chi^2 per degree of freedom of the rank of the truth among the draws, 1 if ranks are uniform and
        entries independent.

    Raises:
      UserError: shapes that differ, fewer than 2 draws, or no entries that count.
    """
    draws, targets, scored = np.asarray(draws, np.float64), np.asarray(targets, np.float64), np.asarray(scored, bool)
    if draws.shape[1:] != targets.shape or targets.shape != scored.shape or len(draws) < 2 or not scored.any():
        raise UserError(
            f"draws of shape {draws.shape} are not 2 or more for each of the targets of shape {targets.shape} with an "
            f"entry that counts."
        )
    k = len(draws)
    entries, truth = draws[:, scored], targets[scored]  # [K, m], [m]
    error = entries.mean(axis=0) - truth
    rmse_of_mean = math.sqrt(np.mean(error**2))
    spread = math.sqrt(np.mean(entries.var(axis=0, ddof=1)) * (1 + 1 / k))
    return {
        "energy_score": _energy_score(draws, targets, scored),
        "crps": float(np.mean(crps(entries, truth))),
        "rmse_of_mean": rmse_of_mean,
        "rmse_of_draw": math.sqrt(np.mean((entries[0] - truth) ** 2)),
        "dispersion": spread / rmse_of_mean if rmse_of_mean else math.nan,
        **{f"coverage_{level}": _coverage(entries, truth, level / 100) for level in (50, 90)},
        "rank_chi2": _rank_chi2(entries, truth),
    }


def crps(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """E|X - x| - E|X - X'| / 2 from K draws [K, m], unbiased in K: [m]."""
    k = len(draws)
    weights = (2 * np.arange(1, k + 1) - k - 1)[:, None]  # sum over i < j of |X_i - X_j|, in order
    between = np.sum(weights * np.sort(draws, axis=0), axis=0) / (k * (k - 1) / 2)
    return np.mean(np.abs(draws - truth), axis=0) - between / 2


def _energy_score(draws: np.ndarray, targets: np.ndarray, scored: np.ndarray) -> float:
    flat = np.where(scored, draws - targets, 0).reshape(*draws.shape[:2], -1)  # x at 0
    to_truth = np.linalg.norm(flat, axis=-1).mean(axis=0)
    pairs = [(i, j) for i in range(len(flat)) for j in range(i)]
    between = np.mean([np.linalg.norm(flat[i] - flat[j], axis=-1) for i, j in pairs], axis=0)
    return float(np.mean((to_truth - between / 2)[scored.reshape(len(scored), -1).any(axis=1)]))


def _coverage(draws: np.ndarray, truth: np.ndarray, level: float) -> float:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    return float(np.mean((low <= truth) & (truth <= high)))


def _rank_chi2(draws: np.ndarray, truth: np.ndarray) -> float:
    """Ties share their ranks evenly."""
    below, ties = np.sum(draws < truth, axis=0), np.sum(draws == truth, axis=0)
    places = np.arange(len(draws) + 1)[:, None]
    share = ((places >= below) & (places <= below + ties)) / (ties + 1)
    counts, expected = share.sum(axis=1), truth.size / (len(draws) + 1)
    return float(np.sum((counts - expected) ** 2) / expected / len(draws))


def _used(real: int, fake: int) -> dict[str, Any]:
    return {"examples": min(real, EXAMPLES)}


METRIC = Metric(
    needs=("draws", "targets", "scored"),
    evaluate=evaluate,
    outputs={
        "energy_score": Display("energy score of conditional samples", 4, -1),
        "crps": Display("CRPS of conditional samples", 4, -1),
        "rmse_of_mean": Display("RMSE of the mean of conditional samples", 4, -1),
        "rmse_of_draw": Display("RMSE of one conditional sample", 4, 0),
        "dispersion": Display("dispersion of conditional samples (exact: 1)", 3, 0),
        "coverage_50": Display("coverage of 50% intervals", 3, 0),
        "coverage_90": Display("coverage of 90% intervals", 3, 0),
        "rank_chi2": Display("chi² of ranks per degree of freedom", 2, 0),
    },
    best="energy_score",
    used=_used,
)
