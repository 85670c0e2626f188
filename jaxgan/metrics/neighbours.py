"""Precision and recall of samples, by nearest neighbours (Kynkaanniemi et al. 2019, arXiv:1904.06991).

A set of points is given an extent: a ball around each, as wide as the distance to its k-th nearest other. Samples
inside the data's extent are precise; data inside the samples' extent are recalled. A generator that draws a few
good images over and over has precision and no recall, which a Parzen window does not tell from a good one.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxgan.errors import UserError

K = 3  # the paper's
TILE = 500  # points a time; their distances to 10,000 others take 20 MB


class Neighbours(NamedTuple):
    precision: float  # share of samples within the data's extent
    recall: float  # share of the data within the samples' extent


def evaluate(samples: ArrayLike, data: ArrayLike, k: int = K) -> Neighbours:
    """Precision and recall from Euclidean distances, between as many samples as data.

    Both depend on how many points there are, so the first min(m, n) of each are compared.

    Args:
      samples: [m, ...] from the generator.
      data: [n, ...] of the samples' shape and range.
      k: the neighbour that sets the width of a ball.

    Raises:
      UserError: points of another size, or not more than k of them.
    """
    n = min(len(samples), len(data))
    if n <= k:
        raise UserError(
            f"got {len(samples)} samples and {len(data)} examples; the {k} nearest neighbours take {k + 1} of each."
        )
    samples, data = (jnp.reshape(jnp.asarray(a, jnp.float32)[:n], (n, -1)) for a in (samples, data))
    if samples.shape != data.shape:
        raise UserError(f"samples have {samples.shape[1]} numbers each and the data {data.shape[1]}.")
    # Distances don't depend on the origin, and rounding errors are smallest about the mean.
    origin = jnp.mean(data, axis=0, keepdims=True)
    samples, data = samples - origin, data - origin
    return Neighbours(
        precision=float(np.mean(_within(samples, data, _radii(data, k)))),
        recall=float(np.mean(_within(data, samples, _radii(samples, k)))),
    )


def _squares(x: Array, y: Array) -> Array:
    """||x - y_j||^2 of one x [d] and each of y [n, d]; over a tile of x the product is a matrix product."""
    product = jnp.matmul(x, y.T, precision="highest")
    return jnp.maximum(jnp.sum(jnp.square(y), axis=1) - 2 * product + jnp.sum(jnp.square(x)), 0.0)


@jax.jit(static_argnums=1)
def _radii(y: Array, k: int) -> Array:
    """The square of each point's distance to its k-th nearest other: [n] float32."""
    numbers = jnp.arange(len(y))

    def one(i: Array) -> Array:
        others = jnp.where(numbers == i, jnp.inf, _squares(y[i], y))
        for _ in range(k - 1):  # a few minima: XLA's CPU backend sorts all of a row for top_k
            others = jnp.where(numbers == jnp.argmin(others), jnp.inf, others)
        return jnp.min(others)

    return jax.lax.map(one, numbers, batch_size=TILE)


@jax.jit
def _within(x: Array, y: Array, radii: Array) -> Array:
    """Whether each x lies in a ball around some y: [m] bool."""
    return jax.lax.map(lambda x: jnp.any(_squares(x, y) <= radii), x, batch_size=TILE)
