"""Synthetic data with an exact log p(x): mixtures of isotropic Gaussians."""

from __future__ import annotations

import difflib
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.numerics import pinned

TRAIN = 2**18  # training examples that `load` draws
HELD_OUT = 10_000  # validation examples, and as many test examples


class Mixture(NamedTuple):
    """p(x) = sum_k weights[k] N(x; means[k], scales[k]^2 I)."""

    weights: ArrayLike  # [K] float32, above 0, sum 1
    means: ArrayLike  # [K, d] float32
    scales: ArrayLike  # [K] float32, standard deviations


def log_density(mixture: Mixture, x: ArrayLike) -> Array:
    """log p(x) in nats.

    Args:
      mixture: of K components in d dimensions.
      x: [..., d] float32.

    Returns:
      [...] float32; finite wherever the squared distance to a mean is.

    Raises:
      UserError: the points have another number of dimensions than the mixture.
    """
    weights, means, scales = (jnp.asarray(a, jnp.float32) for a in mixture)
    x = jnp.asarray(x, jnp.float32)
    d = means.shape[1]
    if x.shape[-1] != d:
        raise UserError(f"the points have {x.shape[-1]} dimensions, the mixture {d}; give points [..., {d}].")
    standardized = (x[..., None, :] - _lift(means, x.ndim + 1)) / _lift(scales[:, None], x.ndim + 1)
    log_peaks = jnp.log(weights) - d * jnp.log(scales * math.sqrt(2 * math.pi))
    log_joint = _lift(log_peaks, x.ndim) - jnp.sum(jnp.square(standardized), axis=-1) / 2
    return jax.nn.logsumexp(log_joint, axis=-1)


def sample(mixture: Mixture, key: Array, n: int) -> Array:
    """n independent draws, [n, d] float32, a function of `key` alone."""
    return sample_with_labels(mixture, key, n)[0]


def sample_with_labels(mixture: Mixture, key: Array, n: int) -> tuple[Array, Array]:
    """The draws of `sample`, [n, d] float32, and the component that each comes from, [n] int32."""
    weights, means, scales = (jnp.asarray(a, jnp.float32) for a in mixture)
    which, where = jax.random.split(key)
    k = jax.random.choice(which, len(weights), (n,), p=weights)
    return means[k] + scales[k, None] * jax.random.normal(where, (n, means.shape[1]), jnp.float32), k


def box(mixture: Mixture) -> tuple[Array, Array]:
    """Corners, low [d] and high [d], of the smallest box that holds every mean +- 6 scales.

    All of the mass but 2e-9 a dimension is inside.
    """
    means, scales = jnp.asarray(mixture.means, jnp.float32), jnp.asarray(mixture.scales, jnp.float32)
    reach = 6 * scales[:, None]
    return jnp.min(means - reach, axis=0), jnp.max(means + reach, axis=0)


def grid(mixture: Mixture, cells: int) -> tuple[Array, Array]:
    """Evenly spaced points over the mixture's `box`.

    With cells no larger than the smallest scale, a sum over them times dx is as good as the integral in
    float32 (the midpoint rule on Gaussians).

    Args:
      mixture: in d = 1 or 2 dimensions.
      cells: along each dimension.

    Returns:
      x: [cells, 1] or [cells, cells, 2] float32, the cells' centres (x[i, j] = (x_i, y_j)).
      dx: scalar, a cell's length or area.

    Raises:
      UserError: more than two dimensions, or no cells.
    """
    low, high = box(mixture)
    if len(low) > 2:
        raise UserError(f"a grid needs a mixture in 1 or 2 dimensions, not {len(low)}; use samples instead.")
    if cells < 1:
        raise UserError(f"a grid needs at least one cell along each dimension, not {cells}.")
    steps = (high - low) / cells
    centres = low[:, None] + steps[:, None] * (jnp.arange(cells, dtype=jnp.float32) + 0.5)[None]
    return jnp.stack(jnp.meshgrid(*centres, indexing="ij"), axis=-1), jnp.prod(steps)


@pinned()
def load(name: str) -> tuple[Mixture, np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """The mixture NAMED `name`, and the same draws from it every time.

    Returns:
      mixture, train [2**18, d], validation [10,000, d], test [10,000, d]; float32.
      labels: of these three sets, the component that each point comes from, [n] int32.

    Raises:
      UserError: no mixture has this name (the nearest is named).
    """
    if name not in NAMED:
        near = difflib.get_close_matches(name, NAMED, n=1, cutoff=0.0)[0]
        raise UserError(f"there is no mixture {name!r}; the nearest of {', '.join(NAMED)} is {near!r}.")
    mixture = NAMED[name]
    key = jax.random.key(0, impl="threefry2x32")
    draws, labels = jax.jit(sample_with_labels, static_argnums=2)(mixture, key, TRAIN + 2 * HELD_OUT)
    cuts = [TRAIN, TRAIN + HELD_OUT]
    train, validation, test = np.split(np.asarray(draws), cuts)
    return mixture, train, validation, test, np.split(np.asarray(labels), cuts)


def _lift(a: Array, rank: int) -> Array:
    return jnp.expand_dims(a, tuple(range(rank - a.ndim)))


def _even(means: list[list[float]], scale: float) -> Mixture:
    count = len(means)
    weights, scales = np.full(count, 1 / count, np.float32), np.full(count, scale, np.float32)
    return Mixture(weights, np.array(means, np.float32), scales)


NAMED = {
    # The standard normal of Figure 1.
    "gaussian": _even([[0.0]], 1.0),
    # Two well separated bumps, the smallest case that a generator can cover by half.
    "bimodal": _even([[-2.0], [2.0]], 0.5),
    # Eight on a circle of radius 2, as in Unrolled GANs (arXiv:1611.02163, appendix A).
    "ring8": _even([[2 * math.cos(a), 2 * math.sin(a)] for a in np.arange(8) * math.pi / 4], 0.02),
    # The same at half the size, as in VEEGAN (arXiv:1705.07761, section 4.1) and PacGAN (arXiv:1712.04086).
    "ring8_unit": _even([[math.cos(a), math.sin(a)] for a in np.arange(8) * math.pi / 4], 0.01),
    # Five by five, two apart, as in these two.
    "grid25": _even([[x, y] for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)], 0.05),
}
