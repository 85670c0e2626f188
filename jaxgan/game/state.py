"""The training state (arrays only), and the PRNG keys that are derived from the seed and the step."""

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
    # Non-trainable state that a forward pass updates: batch statistics, spectral vectors, LeCam's moving averages,
    # ADA's probability; {} if none.
    stats: Any
    opt_state: optax.OptState


class GanState(NamedTuple):
    step: jax.Array  # uint32, iterations of Algorithm 1 completed
    restores: jax.Array  # uint32, rollbacks to a checkpoint after divergence
    generator: Player
    discriminator: Player
    averages: tuple[optax.Params, ...] = ()  # EMAs of theta_g, in the order of `gan.averages.rules`
    slow: tuple[optax.Params, ...] = ()  # slow weights (theta_g, theta_d) of `train.lookahead`; () without it


# Append only: a stream's place in this list is part of its key.
_STREAMS = ("init", "order", "train", "sample", "evaluate", "user", "fresh", "statistics", "condition", "labelled")


def stream(seed: jax.Array | int, name: str, restores: jax.Array | int = 0) -> jax.Array:
    """The key of one use of randomness.

    'init' (parameters), 'order' (data order in D's updates), 'train' (noise, dropout, augmentation), 'sample' (the
    run's sample grids), 'evaluate' (samples that are scored), 'user' (`gan.sample(seed=...)`), 'fresh' (data order in
    G's updates), 'statistics' (standing batch statistics), 'condition' (conditions of held-out examples), 'labelled'
    (order of the labelled examples).

    Keys are derived, never stored: the random numbers of a step follow from the seed and the step's number, and a run
    that was rolled back after divergence resumes with different ones.
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
