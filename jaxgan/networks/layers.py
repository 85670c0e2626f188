"""What the families of networks share."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

ACTIVATIONS = {
    "relu": nn.relu,
    "sigmoid": nn.sigmoid,
    "tanh": jnp.tanh,
    "linear": lambda x: x,
}


def uniform_init(irange: float) -> nn.initializers.Initializer:
    """Weights uniform in [-irange, irange] (pylearn2's `irange`)."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -irange, irange)

    return init


def sparse_init(nonzero: int) -> nn.initializers.Initializer:
    """Of each unit's incoming weights `nonzero` are normal(0, 1), the others 0 (pylearn2's `sparse_init`)."""

    def init(key: jax.Array, shape: tuple[int, int], dtype=jnp.float32) -> jax.Array:
        key_rows, key_weights = jax.random.split(key)
        rows = jnp.argsort(jax.random.uniform(key_rows, shape), axis=0)[:nonzero]
        weights = jax.random.normal(key_weights, rows.shape, dtype)
        return jnp.put_along_axis(jnp.zeros(shape, dtype), rows, weights, axis=0, inplace=False)

    return init


def maxout(x: jax.Array, pieces: int) -> jax.Array:
    """The largest of `pieces` linear units (arXiv:1302.4389).

    Unit u's pieces are the columns u, u + units, u + 2 units, ...: the maximum then runs over a
    major axis, which every backend vectorizes; it only renames the columns of the weights.

    Args:
      x: [..., pieces * units] float.

    Returns:
      [..., units] float.
    """
    return jnp.max(x.reshape(*x.shape[:-1], pieces, -1), axis=-2)


def dropout(x: jax.Array, keep: float, keys: jax.Array | None, layer: int) -> jax.Array:
    """Keeps each input with probability `keep` and scales the kept ones by 1 / keep (arXiv:1207.0580).

    Every example has a key of its own, so its mask does not depend on how a batch is split.

    Args:
      x: [n, ...] float.
      keep: probability in (0, 1], resolved to 1/65536.
      keys: [n] typed PRNG keys, or None for no dropout (evaluation).
      layer: tells the masks of one network's layers apart.

    Returns:
      [n, ...] float.
    """
    if keys is None or keep == 1:
        return x
    threshold = jnp.uint16(round(keep * 2**16))

    def mask(key: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(key, layer), x.shape[1:], jnp.uint16) < threshold

    return jnp.where(jax.vmap(mask)(keys), x / keep, 0.0)
