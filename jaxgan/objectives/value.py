"""Equation (1) of arXiv:1406.2661: the value of the two-player minimax game."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan.arrays import AnyArray


def value(real_logits: Float[AnyArray, " n"], fake_logits: Float[AnyArray, " m"]) -> Float[Array, ""]:
    """V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))], which D ascends and G descends.

    Written with log sigmoid, so that it is exact where D itself would round to 0 or 1.

    Args:
      real_logits: D = sigmoid(logits) on examples of p_data.
      fake_logits: the same on samples of p_g.

    Returns:
      V in nats, at most 0; -log 4 where D = 1/2 everywhere.
    """
    return jnp.mean(jax.nn.log_sigmoid(real_logits)) + jnp.mean(jax.nn.log_sigmoid(-fake_logits))
