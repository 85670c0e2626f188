"""What training changes (arrays only), and the keys it derives from the seed and the step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan.hparams import HParams


class Player(NamedTuple):
    """G or D."""

    params: optax.Params  # theta_g or theta_d
    opt_state: optax.OptState


class GanState(NamedTuple):
    step: jax.Array  # uint32, iterations of Algorithm 1 completed
    restores: jax.Array  # uint32, times the run went back to a checkpoint after diverging
    generator: Player
    discriminator: Player
    average: optax.Params = ()  # the mean of theta_g over the steps; () where `generator.average` is 0

    @property
    def theta_g(self) -> optax.Params:
        """What samples are drawn with: the average where one is kept, otherwise the parameters that learn."""
        return self.average or self.generator.params


_STREAMS = ("init", "order", "train", "sample")


def stream(hparams: HParams, name: str, restores: jax.Array | int = 0) -> jax.Array:
    """The key of one use of randomness: 'init', 'order' (of the data), 'train' or 'sample'.

    Keys are derived, never stored: what a step draws follows from the seed and its number, and a
    run that went back to a checkpoint after diverging goes on with other draws.
    """
    key = jax.random.fold_in(jax.random.key(hparams["seed"]), _STREAMS.index(name))
    return jax.random.fold_in(key, restores)


def all_finite(state: GanState) -> jax.Array:
    """Whether every parameter and every optimizer number is finite: scalar bool."""
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in floats]))
