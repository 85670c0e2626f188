"""What training changes (arrays only), and the keys it derives from the seed and the step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan.game.hparams import HParams

PRNG = "threefry2x32"  # of every key, whatever JAX's default is set to: a run's numbers depend on it


class Player(NamedTuple):
    """G or D."""

    params: optax.Params  # theta_g or theta_d
    stats: Any  # what a look at examples updates: batch statistics, spectral vectors, LeCam's anchors; {} without any
    opt_state: optax.OptState


class GanState(NamedTuple):
    step: jax.Array  # uint32, iterations of Algorithm 1 completed
    restores: jax.Array  # uint32, times the run went back to a checkpoint after diverging
    generator: Player
    discriminator: Player
    averages: tuple[optax.Params, ...] = ()  # of theta_g, those of `generator.ema` in their order
    slow: tuple[optax.Params, ...] = ()  # theta_g and theta_d that `train.lookahead` goes back to; () without it


# Append only: a stream's place in this list is part of its key.
_STREAMS = ("init", "order", "train", "sample", "evaluate", "user", "fresh", "statistics")


def stream(seed: jax.Array | int, name: str, restores: jax.Array | int = 0) -> jax.Array:
    """The key of one use of randomness.

    'init' (parameters), 'order' (of the data), 'train' (noise and masks), 'sample' (the run's own pictures),
    'evaluate' (what its scores are measured on), 'user' (`gan.sample(seed=...)`), 'fresh' (order of the real examples
    in G's step), 'statistics' (of batch normalization, for sampling).

    Keys are derived, never stored: what a step draws follows from the seed and its number, and a
    run that went back to a checkpoint after diverging resumes with different random numbers.
    """
    key = jax.random.fold_in(jax.random.key(seed, impl=PRNG), _STREAMS.index(name))
    return jax.random.fold_in(key, restores)


def run_stream(hparams: HParams, name: str, restores: jax.Array | int = 0) -> jax.Array:
    """`stream` of a run's seed."""
    return stream(hparams["seed"], name, restores)


def all_finite(tree: Any) -> jax.Array:
    """Whether every floating-point number of the tree is finite: scalar bool."""
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in floats]))
