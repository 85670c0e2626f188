"""Inversion of G by gradient descent: the z whose sample is nearest to an example, without an encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan.optimizers import Adam, EpochSize
from jaxgan.schedules import interpolate

LEARNING_RATE = 0.05  # of Adam at the start, for a prior of variance 1; it falls to 0 along half a cosine


class Inversion(NamedTuple):
    """The nearest samples found."""

    z: jax.Array  # [n, d] float32
    error: jax.Array  # [n] float32, the mean squared difference of G(z) and x


def invert(
    G: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    starts: jax.Array,
    *,
    steps: jax.Array,
    scale: jax.Array,
    project: Callable[[jax.Array], jax.Array],
) -> Inversion:
    """Minimizes the mean squared difference of G(z) and x over z by Adam, and keeps the best start of each example.

    Args:
      G: z [n, d] -> [n, *shape], each example on its own.
      x: [n, *shape] float32.
      starts: [k, n, d] float32.
      steps: int32 scalar, of Adam.
      scale: scalar, the standard deviation of p_z.
      project: z [n, d] -> the nearest points at which p_z is positive, after every step.
    """

    def errors(z: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(G(z) - x), axis=tuple(range(1, x.ndim)))

    def descend(z: jax.Array) -> Inversion:
        def rate(t: jax.Array) -> jax.Array:
            progress = t.astype(jnp.float32) / steps.astype(jnp.float32)
            return scale * interpolate("cosine", LEARNING_RATE, 0.0, progress=progress)

        adam = Adam(b1=0.9).transformation(rate, EpochSize(1, 1))

        def step(_, carry):
            z, state = carry
            updates, state = adam.update(jax.grad(lambda z: jnp.sum(errors(z)))(z), state)
            return project(optax.apply_updates(z, updates)), state

        z = jax.lax.fori_loop(jnp.int32(0), steps, step, (z, adam.init(z)))[0]
        return Inversion(z, errors(z))

    found = jax.lax.map(descend, starts)
    best = jnp.argmin(found.error, axis=0)
    return jax.tree.map(lambda leaf: jax.vmap(lambda of_example, i: of_example[i], (1, 0))(leaf, best), found)
