"""The prior p_z."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp

from jaxgan.fields import TRACED, above, one_of


@dataclass(frozen=True)
class PriorSection:
    """The distribution of z."""

    # uniform(-sqrt 3, sqrt 3) | normal | sphere (normal / its RMS)
    name: Annotated[str, one_of("uniform", "normal", "sphere")] = "normal"
    size: Annotated[int, above(0)] = 64  # dimensions of z
    scale: Annotated[float, TRACED, above(0)] = 1.0  # z is multiplied by this


def prior(name: str, size: int) -> Callable[[jax.Array], jax.Array]:
    """p_z: key -> z [size] float32, with mean 0 and variance 1 in each dimension.

    'uniform' on [-sqrt 3, sqrt 3] (the 2014 code's MNIST), 'normal', or 'sphere': a normal sample
    divided by its root mean square.
    """

    def sample(key: jax.Array) -> jax.Array:
        if name == "uniform":
            return jax.random.uniform(key, (size,), minval=-math.sqrt(3), maxval=math.sqrt(3))
        z = jax.random.normal(key, (size,))
        return z if name == "normal" else z * jax.lax.rsqrt(jnp.mean(z * z))

    return sample
