"""Optimal transport in G's loss (adversarial flow models): of all maps of z to the data, the one that moves z least."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import Weight
from jaxgan.objectives.terms.protocol import GTermInputs, Part


def transport_cost(term: Transport, inputs: GTermInputs) -> Array:
    """The mean of (G(z) - z)^2 over samples and their elements."""
    return jnp.mean(jnp.square(inputs.fake - inputs.z.reshape(inputs.fake.shape)))


@dataclass(frozen=True)
class Transport:
    """G(z) is near z, as in optimal transport with a quadratic cost; a large weight takes mass from the outer modes."""

    weight: Weight = 0.0  # of the mean squared distance; .05 in one dimension, .005 to .2 for images

    D_PARTS: ClassVar = ()
    G_PARTS: ClassVar = (Part("transport", "transport cost, weighted", "weight", transport_cost),)


def check(config: ConfigDict, shape: tuple[int, ...]) -> None:
    """Raises UserError unless z has as many numbers as an example."""
    if config.objective.transport.weight and config.prior.size != math.prod(shape):
        raise UserError(
            f"objective.transport compares G(z) with z, which has prior.size={config.prior.size} numbers, and an "
            f"example {math.prod(shape)}; set prior.size={math.prod(shape)}."
        )
