"""Latent optimization (LOGAN, arXiv:1912.00953): both players' losses use z after a step that increases D(G(z)).

Near the equilibrium of a small game, it damps the dynamics as R1 with weight rate / damping does
(`experiments.damping`), or with half that weight if gradients do not flow through the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jax import Array

from jaxgan.fields import TRACED, Weight, above, within

USE = 3  # folded into an example's term key; the terms of the losses use smaller numbers


@dataclass(frozen=True)
class LatentOptimization:
    """Both players' losses use z moved up the gradient of D(G(z)) (LOGAN, arXiv:1912.00953); sampling uses z itself."""

    rate: Weight = 0.0  # alpha, scale of the step in z; .9 in the paper, 0 = off
    damping: Annotated[float, TRACED, above(0)] = 5.0  # beta; the step is divided by beta + |gradient|^2
    share: Annotated[float, TRACED, within(0, 1)] = 1.0  # fraction of the examples whose z moves, chosen at random
    differentiate: bool = True  # whether the gradients of both players pass through the step

    def __call__(self, logits: Callable[[Array], Array], z: Array, keys: Array) -> Array:
        """z + rate * u / (damping + |u|^2) with u the gradient of D(G(z)) in z, for a random `share` of the examples.

        Args:
          logits: z [n, d] -> D(G(z)), one per example or pack.
          z: [n, d] float32.
          keys: [n], one per example.

        Returns:
          [n, d] float32, not limited to the support of the prior.
        """
        u = jax.grad(lambda z: jnp.sum(logits(z)))(z)
        step = self.rate * u / (self.damping + jnp.sum(u * u, axis=1, keepdims=True))
        moved = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, USE), self.share))(keys)
        step = jnp.where(moved[:, None], step, 0.0)
        return z + (step if self.differentiate else jax.lax.stop_gradient(step))
