"""The 1-nearest-neighbour test: can samples be told from data? (arXiv:1610.06545, arXiv:1806.07755)

Every example is given the label, data or samples, of its nearest other example. Where both are of one distribution
half of the labels are right, whatever it is; more where they differ, and fewer where samples are copies of the data.
Samples that crowd inside the data (smoothed, or of a few modes) show as more right labels among samples than data.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxgan.errors import UserError

TILE = 250  # examples a time; their distances to 20,000 take 20 MB


class Neighbours(NamedTuple):
    """Shares of right labels."""

    data: float
    samples: float

    @property
    def accuracy(self) -> float:
        """Over both: 1/2 where nothing tells them apart, 1 where everything does."""
        return (self.data + self.samples) / 2


def evaluate(samples: ArrayLike, data: ArrayLike) -> Neighbours:
    """The test by Euclidean distances, between the first min(m, n) samples and examples of the data.

    Args:
      samples: [m, ...] from the generator.
      data: [n, ...] that the generator was not trained on, of the samples' shape and range.

    Raises:
      UserError: an empty set, or examples of another size.
    """
    n = min(len(samples), len(data))
    if n == 0:
        raise UserError(f"got {len(samples)} samples and {len(data)} examples; nearest neighbours take some of both.")
    samples, data = (jnp.reshape(jnp.asarray(a, jnp.float32)[:n], (n, -1)) for a in (samples, data))
    if samples.shape != data.shape:
        raise UserError(f"samples have {samples.shape[1]} numbers each and the data {data.shape[1]}.")
    nearest = np.asarray(_nearest(jnp.concatenate([data, samples])))
    return Neighbours(data=float(np.mean(nearest[:n] < n)), samples=float(np.mean(nearest[n:] >= n)))


@jax.jit
def _nearest(x: Array) -> Array:
    """The number of each example's nearest other: [n, d] -> [n] int32."""
    x = x - jnp.mean(x, axis=0, keepdims=True)  # distances stay the same, and rounding errors get smallest
    norms, numbers = jnp.sum(jnp.square(x), axis=1), jnp.arange(len(x))

    def one(i: Array) -> Array:  # over a tile of examples the product below is a matrix product
        relative = norms - 2 * jnp.matmul(x[i], x.T, precision="highest")  # ||x_i - x_j||^2 - ||x_i||^2
        return jnp.argmin(jnp.where(numbers == i, jnp.inf, relative))

    return jax.lax.map(one, numbers, batch_size=TILE)
