"""Instance noise (arXiv:1610.04490)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from jaxgan.augment.protocol import NoAugment
from jaxgan.fields import TRACED, above
from jaxgan.schedules import check_interpolation, interpolate


@dataclass(frozen=True)
class InstanceNoise(NoAugment):
    """Gaussian noise whose standard deviation decays to 0 (arXiv:1610.04490); the state counts updates of D."""

    deviation: Annotated[float, TRACED] = 0.1  # initial standard deviation, in the data's units
    steps: Annotated[float, TRACED, above(0)] = 10_000.0  # updates of D until it is `final`
    final: Annotated[float, TRACED] = 0.0
    shape: str = "linear"  # of the way there: constant | linear | cosine | exponential

    def check(self) -> None:
        check_interpolation("augment", self.shape, self.deviation, self.final)

    def init(self) -> jax.Array:
        return jnp.zeros((), jnp.uint32)

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        deviation = interpolate(self.shape, self.deviation, self.final, progress=state.astype(jnp.float32) / self.steps)
        noise = jax.vmap(lambda key: jax.random.normal(key, x.shape[1:]))(keys)
        return x + deviation * noise

    def update(self, state: Any, real_logits: jax.Array) -> jax.Array:
        return state + 1
