"""Synthetic data with an exact log p(x): mixtures of isotropic Gaussians."""

from __future__ import annotations

import difflib
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.numerics import pinned

TRAIN = 2**18  # number of training examples
HELD_OUT = 10_000  # number of validation examples, and of test examples


class Mixture(NamedTuple):
    """p(x) = sum_k weights[k] N(x; means[k], scales[k]^2 I)."""

    weights: AnyArray  # [K] float32, positive, with sum 1
    means: AnyArray  # [K, d] float32
    scales: AnyArray  # [K] float32, standard deviations


def log_density(mixture: Mixture, x: AnyArray) -> Array:
    """log p(x) in nats.

    Args:
      mixture: K components in d dimensions.
      x: [..., d] float32.

    Returns:
      [...] float32; finite wherever the squared distance to a mean is.

    Raises:
      UserError: the points and the mixture differ in dimension.
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
    """Draws n independent samples, [n, d] float32."""
    return sample_with_labels(mixture, key, n)[0]


def sample_with_labels(mixture: Mixture, key: Array, n: int) -> tuple[Array, Array]:
    """Draws the samples of `sample`, [n, d] float32, with the component of each, [n] int32."""
    weights, means, scales = (jnp.asarray(a, jnp.float32) for a in mixture)
    component_key, noise_key = jax.random.split(key)
    k = jax.random.choice(component_key, len(weights), (n,), p=weights)
    return means[k] + scales[k, None] * jax.random.normal(noise_key, (n, means.shape[1]), jnp.float32), k


def box(mixture: Mixture) -> tuple[Array, Array]:
    """Corners, low [d] and high [d], of the smallest box that contains every mean +- 6 standard deviations.

    It contains all of the mass but 2e-9 per dimension.
    """
    means, scales = jnp.asarray(mixture.means, jnp.float32), jnp.asarray(mixture.scales, jnp.float32)
    margin = 6 * scales[:, None]
    return jnp.min(means - margin, axis=0), jnp.max(means + margin, axis=0)


def grid(mixture: Mixture, cells: int) -> tuple[Array, Array]:
    """Evenly spaced points over the mixture's `box`.

    If cells are no larger than the smallest standard deviation, the sum over them times dx equals the integral to
    float32 precision (the midpoint rule on Gaussians).

    Args:
      mixture: in d = 1 or 2 dimensions.
      cells: number of cells along each dimension.

    Returns:
      x: [cells, 1] or [cells, cells, 2] float32, the cells' centres (x[i, j] = (x_i, y_j)).
      dx: scalar, the length or area of a cell.

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
    """The mixture `MIXTURES[name]` and fixed samples from it.

    Returns:
      mixture, train [2**18, d], validation [10,000, d], test [10,000, d]; float32.
      labels: for these three sets, the component of each point, [n] int32.

    Raises:
      UserError: an unknown name.
    """
    if name not in MIXTURES:
        near = difflib.get_close_matches(name, MIXTURES, n=1, cutoff=0.0)[0]
        raise UserError(f"there is no mixture {name!r}; the nearest of {', '.join(MIXTURES)} is {near!r}.")
    mixture = MIXTURES[name]
    key = jax.random.key(0, impl="threefry2x32")
    draws, labels = jax.jit(sample_with_labels, static_argnums=2)(mixture, key, TRAIN + 2 * HELD_OUT)
    cuts = [TRAIN, TRAIN + HELD_OUT]
    train, validation, test = np.split(np.asarray(draws), cuts)
    return mixture, train, validation, test, np.split(np.asarray(labels), cuts)


def _lift(a: Array, rank: int) -> Array:
    return jnp.expand_dims(a, tuple(range(rank - a.ndim)))


def _equal_mixture(means: list[list[float]], scale: float) -> Mixture:
    count = len(means)
    weights, scales = np.full(count, 1 / count, np.float32), np.full(count, scale, np.float32)
    return Mixture(weights, np.array(means, np.float32), scales)


MIXTURES = {
    # The standard normal of Figure 1.
    "gaussian": _equal_mixture([[0.0]], 1.0),
    # Two well separated modes, the simplest case of mode collapse.
    "bimodal": _equal_mixture([[-2.0], [2.0]], 0.5),
    # Eight on a circle of radius 2, as in Unrolled GANs (arXiv:1611.02163, appendix A).
    "ring8": _equal_mixture([[2 * math.cos(a), 2 * math.sin(a)] for a in np.arange(8) * math.pi / 4], 0.02),
    # The same at half the size, as in VEEGAN (arXiv:1705.07761, section 4.1) and PacGAN (arXiv:1712.04086).
    "ring8_unit": _equal_mixture([[math.cos(a), math.sin(a)] for a in np.arange(8) * math.pi / 4], 0.01),
    # A 5x5 grid with spacing 2, as in the same two papers.
    "grid25": _equal_mixture([[x, y] for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)], 0.05),
}
