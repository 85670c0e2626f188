"""Mode collapse on a mixture of isotropic Gaussians, whose modes are known.

A mixture is given by weights [K], means [K, d] and scales [K] (standard deviations), so a
`data.mixture.Mixture` m is passed as `*m`. All functions are pure and vmap over sets of samples.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.objectives.theory import js_divergence, kl_divergence

HIGH_QUALITY = 3  # standard deviations from the nearest mode


def evaluate(
    samples: ArrayLike, weights: ArrayLike, means: ArrayLike, scales: ArrayLike, cells: int
) -> dict[str, Array]:
    """`coverage` and, as `jsd`, `density_jsd`: five float32 scalars.

    All are NaN if a sample is not finite, so that a generator that has diverged can't score.

    Raises:
      UserError: as `coverage` and `density_jsd` do.
    """
    scores = coverage(samples, weights, means, scales)
    scores["jsd"] = density_jsd(samples, weights, means, scales, cells)
    finite = jnp.isfinite(jnp.asarray(samples)).all()
    return {name: jnp.where(finite, score, jnp.nan) for name, score in scores.items()}


def coverage(samples: ArrayLike, weights: ArrayLike, means: ArrayLike, scales: ArrayLike) -> dict[str, Array]:
    """How many modes the samples reach, how well they hit them and how evenly.

    A sample belongs to the mode that is nearest in standard deviations of that mode, and is of high
    quality within 3 of them (the mixture's own samples are with probability .9973 in 1-D, .9889 in 2-D).

    Args:
      samples: [n, d].
      weights, means, scales: the mixture.

    Returns: float32 scalars
      modes: how many modes have at least one sample of high quality.
      high_quality: share of samples of high quality.
      mode_kl: KL(share of the samples that belong to each mode || weights), nats. The mixture's own
        n samples score (K - 1) / (2 n) on average.
      mode_jsd: the same with JSD, in [0, log 2] nats.

    Raises:
      UserError: no samples, or another number of dimensions than the mixture's.

    Source: VEEGAN, section 4.1, arXiv:1705.07761, for the first two (on 2,500 samples there); the KL
      over modes is that of Unrolled GANs and PacGAN (arXiv:1611.02163, arXiv:1712.04086).
    """
    samples, weights, means, scales = _checked(samples, weights, means, scales)
    offsets = (samples[:, None] - means[None]) / scales[None, :, None]
    distances = jnp.linalg.norm(offsets, axis=-1)  # [n, K], in standard deviations
    belongs = jax.nn.one_hot(jnp.argmin(distances, axis=1), len(weights), dtype=jnp.float32)
    good = jnp.min(distances, axis=1) <= HIGH_QUALITY
    shares = jnp.mean(belongs, axis=0)
    return {
        "modes": jnp.sum(jnp.any(belongs * good[:, None] > 0, axis=0), dtype=jnp.float32),
        "high_quality": jnp.mean(good, dtype=jnp.float32),
        "mode_kl": kl_divergence(shares, weights, 1.0),
        "mode_jsd": js_divergence(shares, weights, 1.0),
    }


def density_jsd(
    samples: ArrayLike, weights: ArrayLike, means: ArrayLike, scales: ArrayLike, cells: int
) -> Array:
    """JSD(p_data || p_g) of the samples' histogram against the cells' exact probabilities, in nats.

    The cells divide the box that holds every mean +- 6 scales; all that is outside counts as one more.
    Merging points into cells can only lower the JSD, so cells should be no larger than a scale.
    The histogram's own noise raises it: n samples of the mixture itself score about (C - 1) / (8 n),
    with C the number of cells that expect a few samples or more, so compare scores of equal n and
    cells only.

    Args:
      samples: [n, d], d = 1 or 2.
      weights, means, scales: the mixture.
      cells: along each dimension.

    Returns:
      float32 scalar in [0, log 2].

    Raises:
      UserError: no samples, another number of dimensions than the mixture's, or more than two.
    """
    samples, weights, means, scales = _checked(samples, weights, means, scales)
    d = means.shape[1]
    if d > 2:
        raise UserError(f"a histogram needs 1 or 2 dimensions, not {d}; use coverage() alone.")
    low = jnp.min(means - 6 * scales[:, None], axis=0)
    steps = (jnp.max(means + 6 * scales[:, None], axis=0) - low) / cells  # [d]

    edges = low[None] + steps[None] * jnp.arange(cells + 1, dtype=jnp.float32)[:, None]
    below = jax.scipy.stats.norm.cdf((edges[None] - means[:, None]) / scales[:, None, None])
    inside = jnp.diff(below, axis=1)  # [K, cells, d], of each component along each dimension
    formula = "k,ki->i" if d == 1 else "k,ki,kj->ij"
    p_data = jnp.einsum(formula, weights, *jnp.moveaxis(inside, -1, 0), precision="highest").reshape(-1)
    p_data = jnp.append(p_data, jnp.maximum(1 - jnp.sum(p_data), 0))

    position = jnp.floor((samples - low[None]) / steps[None])
    within = jnp.all((position >= 0) & (position < cells), axis=1)
    index = jnp.where(within[:, None], position, 0).astype(jnp.int32)
    cell = jnp.where(within, index[:, 0] if d == 1 else index[:, 0] * cells + index[:, 1], cells**d)
    p_g = jnp.bincount(cell, length=cells**d + 1).astype(jnp.float32) / len(samples)
    return js_divergence(p_data, p_g, 1.0)


def _checked(samples: ArrayLike, *mixture: ArrayLike) -> tuple[Array, ...]:
    samples, weights, means, scales = (jnp.asarray(a, jnp.float32) for a in (samples, *mixture))
    if samples.ndim != 2 or samples.shape[1] != means.shape[1] or len(samples) == 0:
        raise UserError(
            f"samples of shape {samples.shape} don't fit a mixture in {means.shape[1]} dimensions; "
            f"give at least one, as [n, {means.shape[1]}]."
        )
    return samples, weights, means, scales
