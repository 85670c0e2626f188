"""The players' optimizers, on optax: the 2014 code's SGD, and Adam.

A learning rate and its kin are traced (`hparams.py`), so an optimizer is built inside the step.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.hparams import HParams


class PaperSGDState(NamedTuple):
    count: jax.Array  # uint32, updates made
    velocity: optax.Params


def decaying(learning_rate: jax.Array, log_decay: jax.Array, minimum: jax.Array) -> optax.Schedule:
    """In update t (from 0), max(learning_rate / decay^t, minimum), as in goodfeli/adversarial.

    Args:
      learning_rate, log_decay, minimum: float32 scalars; log_decay = log(decay).
    """
    return lambda t: jnp.maximum(learning_rate * jnp.exp(-log_decay * t.astype(jnp.float32)), minimum)


def paper_sgd(
    learning_rate: optax.Schedule,
    momentum: jax.Array,
    final_momentum: jax.Array,
    momentum_epochs: jax.Array,
    examples_per_update: int,
    examples: int,
) -> optax.GradientTransformation:
    """Classical momentum as in goodfeli/adversarial: inc = m inc - lr g; p += inc.

    In epoch e (from 1), m rises linearly from `momentum` at e = 1 to `final_momentum` at `momentum_epochs`.

    Args:
      momentum, final_momentum, momentum_epochs: float32 scalars.
      examples_per_update: real examples that D sees for one update of this player.
      examples: training examples, so that an epoch is one pass of D over them.
    """

    def init(params: optax.Params) -> PaperSGDState:
        return PaperSGDState(jnp.zeros((), jnp.uint32), jax.tree.map(jnp.zeros_like, params))

    def update(gradients, state, params=None):
        del params
        # config.validate keeps this product below 2^32.
        epochs = (state.count * jnp.uint32(examples_per_update)) // jnp.uint32(examples)
        ramp = epochs.astype(jnp.float32) / jnp.maximum(momentum_epochs - 1.0, 1.0)
        ramp = jnp.where(momentum_epochs <= 1, 1.0, jnp.minimum(ramp, 1.0))
        m = momentum + (final_momentum - momentum) * ramp
        lr = learning_rate(state.count)
        velocity = jax.tree.map(lambda v, g: m * v - lr * g, state.velocity, gradients)
        return velocity, PaperSGDState(state.count + 1, velocity)

    return optax.GradientTransformation(init, update)


def adam(learning_rate: optax.Schedule, b1: jax.Array, b2: jax.Array, eps: jax.Array) -> optax.GradientTransformation:
    """optax.adam, which with traced b1 and b2 mixes dtypes inside."""
    original = optax.adam(learning_rate, b1, b2, eps)

    def update(gradients, state, params=None):
        with jax.numpy_dtype_promotion("standard"):
            return original.update(gradients, state, params)

    return optax.GradientTransformation(original.init, update)


def limit_column_norm(limit: float) -> optax.GradientTransformation:
    """Keeps the norm of every unit's incoming weights at most `limit` (pylearn2's max_col_norm).

    Comes last in a chain: shortens the update so that the weights it leads to obey. Weights are
    parameters of rank 2 or more, whose last axis is the units; biases are left alone.
    """

    def update(updates, state, params):
        def project(u, p):
            if p.ndim < 2:
                return u
            w = p + u
            norm = jnp.sqrt(jnp.sum(w * w, axis=tuple(range(p.ndim - 1)), keepdims=True))
            return jnp.where(norm > limit, w * (limit / jnp.maximum(norm, limit)) - p, u)

        return jax.tree.map(project, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def build(player: str, config: ConfigDict, hparams: HParams, examples: int) -> optax.GradientTransformation:
    """The optimizer of 'generator' or 'discriminator'.

    Args:
      config: the whole configuration; reads the untraced fields.
      hparams: the traced ones, scalars.
      examples: training examples, the length of an epoch.
    """
    o = config.optimizer[player]

    def h(field: str) -> jax.Array:
        return jnp.asarray(hparams[f"optimizer.{player}.{field}"])

    learning_rate = decaying(h("learning_rate"), h("decay"), h("minimum_learning_rate"))
    if o.name == "adam":
        optimizer = adam(learning_rate, h("b1"), h("b2"), h("eps"))
    else:
        per_update = config.train.batch_size * (config.train.d_steps if player == "generator" else 1)
        optimizer = paper_sgd(
            learning_rate,
            h("momentum"),
            h("final_momentum"),
            h("momentum_epochs"),
            per_update,
            examples,
        )
    if o.max_column_norm:
        optimizer = optax.chain(optimizer, limit_column_norm(o.max_column_norm))
    return optimizer
