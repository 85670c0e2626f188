"""Errors of conditional samples against the examples themselves: L1, PSNR and SSIM.

They rank the conditional mean or median ahead of every sampler (`metrics/conditional.py` has scores that do not): a
sample of the true conditional has twice the squared error of the mean, so 3.01 dB less.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.metrics.conditional import EXAMPLES
from jaxgan.metrics.protocol import Display, Metric

WINDOW, SIGMA = 11, 1.5  # of SSIM
LEAST_MSE = 1e-10  # of PSNR, which is then 100 dB


def evaluate(draws: ArrayLike, targets: ArrayLike, scored: ArrayLike) -> dict[str, float]:
    """Errors of the first of K draws per example, and the PSNR of their mean.

    Args:
      draws: [K, n, *shape] floating-point, in [0, 1] for PSNR.
      targets: [n, *shape], of the same range.
      scored: [n, *shape] bool, the entries that count.

    Returns:
      l1, psnr, psnr_of_mean; for images of 11 pixels or more a side, ssim, over whole images.
    """
    draws, targets, scored = np.asarray(draws, np.float64), np.asarray(targets, np.float64), np.asarray(scored, bool)
    images = targets.ndim == 4 and min(targets.shape[1:3]) >= WINDOW
    return {
        "l1": float(np.mean(np.abs(draws[0] - targets)[scored])),
        "psnr": psnr(draws[0], targets, scored),
        "psnr_of_mean": psnr(draws.mean(axis=0), targets, scored),
        **({"ssim": float(np.mean(ssim(draws[0], targets)))} if images else {}),
    }


def psnr(x: np.ndarray, targets: np.ndarray, scored: np.ndarray) -> float:
    """10 log10(1 / MSE) in dB of each example over its scored entries, then the mean over those that have some."""
    axes = tuple(range(1, x.ndim))
    counts = scored.sum(axis=axes)
    squares = np.sum(np.where(scored, x - targets, 0) ** 2, axis=axes)
    mse = squares[counts > 0] / counts[counts > 0]
    return float(np.mean(-10 * np.log10(np.maximum(mse, LEAST_MSE))))


def ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The structural similarity of images [n, H, W, C] in [0, 1], over the windows that fit: [n] (Wang et al. 2004).

    Raises:
      UserError: a side below 11 pixels.
    """
    if min(x.shape[1:3]) < WINDOW:
        raise UserError(f"SSIM has windows of {WINDOW} pixels, and the images are of {x.shape[1]}x{x.shape[2]}.")
    weights = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    weights /= weights.sum()

    def local_mean(a: np.ndarray) -> np.ndarray:
        for axis in (1, 2):
            a = np.lib.stride_tricks.sliding_window_view(a, WINDOW, axis=axis) @ weights
        return a

    mean_x, mean_y = local_mean(x), local_mean(y)
    variance = local_mean(x * x) + local_mean(y * y) - mean_x**2 - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    index = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (variance + c2))
    return index.mean(axis=(1, 2, 3))


def _used(real: int, fake: int) -> dict[str, Any]:
    return {"examples": min(real, EXAMPLES)}


METRIC = Metric(
    needs=("draws", "targets", "scored"),
    evaluate=evaluate,
    outputs={
        "l1": Display("L1 error of one conditional sample", 4, 0),
        "psnr": Display("PSNR of one conditional sample (dB)", 2, 0),
        "psnr_of_mean": Display("PSNR of the mean of conditional samples (dB)", 2, 1),
    },
    best="psnr_of_mean",
    used=_used,
)
