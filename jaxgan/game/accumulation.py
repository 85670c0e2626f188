"""Gradient accumulation, `train.accumulate`: microbatches are processed one at a time to save memory, and make one
update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.game.batches import Batch
from jaxgan.objectives.section import couplings


def check(config: ConfigDict) -> None:
    """Raises UserError if a minibatch cannot be divided, or if its gradient needs the whole minibatch at once."""
    n, packing = config.train.accumulate, config.discriminator.packing
    if n == 1:
        return
    for key in ("batch_size", "g_batch_size"):
        if config.train[key] % (n * packing):
            raise UserError(
                f"train.accumulate={n} parts do not divide train.{key}={config.train[key]} (in packs of {packing}); "
                f"make it a multiple of {n * packing}."
            )
    for what in couplings(config.objective):
        raise coupled_examples_error(n, what)


def coupled_examples_error(parts: int, what: str) -> UserError:
    """The error for something that needs the whole minibatch at once."""
    return UserError(
        f"train.accumulate={parts} splits minibatches, but their examples are coupled by {what}; set "
        f"train.accumulate=1."
    )


def accumulate_gradients(n: int, gradient_of: Callable, batch: Batch) -> tuple[Any, Any, Any]:
    """Gradient accumulation: `gradient_of` of n micro-batches in turn, averaged; the same gradient in less memory.

    Args:
      gradient_of: micro-batch -> (means over its examples, statistics of the player, per-example outputs).
      batch: arrays [m, ...], m a multiple of n.

    Returns:
      The means over all m examples; the statistics after the last micro-batch (each starts from those of the
      minibatch, since what moves here, spectral vectors, does not depend on the examples); per-example outputs.
    """
    if n == 1:
        return gradient_of(batch)
    parts = jax.tree.map(lambda a: a.reshape(n, -1, *a.shape[1:]), batch._replace(count=()))
    compute = lambda part: gradient_of(part._replace(count=batch.count))  # noqa: E731
    shapes = jax.eval_shape(compute, jax.tree.map(lambda a: a[0], parts))[:2]

    def add(carry, part):
        means, stats, per_example = compute(part)
        return (jax.tree.map(jnp.add, carry[0], means), stats), per_example

    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    (sums, stats), per_example = jax.lax.scan(add, zeros, parts)
    merged = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), per_example)
    return jax.tree.map(lambda a: a / n, sums), stats, merged
