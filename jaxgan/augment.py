"""What x and G(z) go through on their way to D: the same law for both, in D's step, G's step and the penalties.

Each augmentation is a function of one example and one key. D never sees an example that has not gone through it
while it trains; `discriminate` and the metrics see examples as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxgan.errors import UserError


@dataclass(frozen=True)
class Nothing:
    """Examples as they are."""

    def __call__(self, x: jax.Array, keys: jax.Array) -> jax.Array:
        """x: [n, *shape] float32; keys: [n] typed PRNG keys, one per example."""
        del keys
        return x


@dataclass(frozen=True)
class Flip:
    """Horizontal mirror images, with probability `probability`."""

    probability: float = 0.5

    def check(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UserError(f"augment.probability must be in [0, 1], not {self.probability}.")

    def __call__(self, x: jax.Array, keys: jax.Array) -> jax.Array:
        """x: [n, H, W, C] float32; keys: [n] typed PRNG keys, one per example."""
        if x.ndim != 4:
            raise UserError(f"augment.name=flip takes images, but the data are of shape {x.shape[1:]}.")
        flip = jax.vmap(lambda key: jax.random.uniform(key))(keys) < self.probability
        return jnp.where(flip[:, None, None, None], x[:, :, ::-1], x)


AUGMENTS = {"none": Nothing, "flip": Flip}
