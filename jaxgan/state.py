"""What training changes (arrays only), and the keys it derives from the seed and the step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import optax

from jaxgan.hparams import HParams


class Player(NamedTuple):
    """G or D."""

    params: optax.Params  # theta_g or theta_d
    opt_state: optax.OptState


class GanState(NamedTuple):
    step: jax.Array  # uint32, iterations of Algorithm 1 completed
    generator: Player
    discriminator: Player


_STREAMS = ("init", "order", "train", "sample")


def stream(hparams: HParams, name: str) -> jax.Array:
    """The key of one use of randomness: 'init', 'order' (of the data), 'train' or 'sample'.

    Keys are derived, never stored: what a step draws follows from the seed and its number.
    """
    return jax.random.fold_in(jax.random.key(hparams["seed"]), _STREAMS.index(name))
