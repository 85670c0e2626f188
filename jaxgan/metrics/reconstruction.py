"""What an encoder E knows: reconstructions G(E(x)) of examples, and the z of samples that it infers.

EGr and its baseline are those of the authors of BiGAN (jeffdonahue/bigan): mean Euclidean distances.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric

EXAMPLES = 1000  # of each split, the first ones, and as many samples


def evaluate(
    examples: ArrayLike, reconstructions: ArrayLike, inferred: ArrayLike, z: ArrayLike, recovered: ArrayLike
) -> dict[str, float]:
    """Scores of an encoder.

    Args:
      examples, reconstructions: [n, *shape] floating-point, x and G(E(x)), n of 2 or more.
      inferred: [n, d], E(x).
      z, recovered: [m, d], samples of p_z and E(G(z)).

    Returns:
      reconstruction_error: EGr, the mean of |x - G(E(x))|.
      reconstruction_ratio: EGr over its baseline, the same with the reconstruction of the next example instead; 1 if E
        knows nothing of x.
      z_r2: 1 - E(z - E(G(z)))^2 / Var(z), over all dimensions; 0 if E knows nothing of z.
      z_ks: the largest distance of the distribution functions of E(x) and of z, a mean over dimensions; about
        .87 sqrt(1/n + 1/m) if the distributions are equal.

    Raises:
      UserError: shapes that differ, or fewer than 2 examples.
    """
    x, g, e, z, r = (np.asarray(a, np.float64) for a in (examples, reconstructions, inferred, z, recovered))
    if x.shape != g.shape or z.shape != r.shape or len(x) < 2 or e.shape != (len(x), z.shape[1]):
        raise UserError(
            f"{len(x)} examples of shape {x.shape[1:]} have reconstructions of shape {g.shape}; they differ."
        )
    distance = lambda a, b: float(np.mean(np.linalg.norm((a - b).reshape(len(a), -1), axis=1)))  # noqa: E731
    error = distance(x, g)
    return {
        "reconstruction_error": error,
        "reconstruction_ratio": error / distance(x, np.roll(g, 1, axis=0)),
        "z_r2": float(1 - np.mean((z - r) ** 2) / np.mean(np.var(z, axis=0))),
        "z_ks": float(np.mean([ks_distance(a, b) for a, b in zip(e.T, z.T, strict=True)])),
    }


def ks_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of the distribution functions of two samples (Kolmogorov and Smirnov)."""
    points = np.concatenate([a, b])
    at = [np.searchsorted(np.sort(sample), points, side="right") / len(sample) for sample in (a, b)]
    return float(np.max(np.abs(at[0] - at[1])))


def _used(real: int, fake: int) -> dict[str, Any]:
    return {"examples": min(real, EXAMPLES)}


METRIC = Metric(
    needs=("examples", "reconstructions", "inferred", "z", "recovered"),
    evaluate=evaluate,
    outputs={
        "reconstruction_error": Display("reconstruction error |x - G(E(x))|", 3, -1),
        "reconstruction_ratio": Display("reconstruction error over that of another example", 3, -1),
        "z_r2": Display("R² of the inferred z of samples", 3, 1),
        "z_ks": Display("distance of E(x) from the prior (KS)", 3, -1),
    },
    best="reconstruction_ratio",
    used=_used,
)
