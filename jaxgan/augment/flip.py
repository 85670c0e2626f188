"""Mirror images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from jaxgan.augment.protocol import NoAugment
from jaxgan.fields import TRACED, within
from jaxgan.networks.layers import check_images


@dataclass(frozen=True)
class Flip(NoAugment):
    """Horizontal mirror images."""

    probability: Annotated[float, TRACED, within(0, 1)] = 0.5

    def check(self) -> None:
        check_images("augment.name=flip", self.data)

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        flip = jax.vmap(lambda key: jax.random.uniform(key))(keys) < self.probability
        return jnp.where(flip[:, None, None, None], x[:, :, ::-1], x)
