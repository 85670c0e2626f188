"""Centering of D's logits (adversarial flow models): losses of differences of logits leave their mean free to drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from jaxgan.fields import Weight
from jaxgan.objectives.terms.protocol import DTermInputs, Part


def squared_sums(term: Centering, inputs: DTermInputs) -> Array:
    """The mean of (D(x) + D(G(z)))^2 over the pairs of the minibatch: its gradient moves only their common level."""
    return jnp.mean(jnp.square(inputs.real_logits + inputs.fake_logits))


@dataclass(frozen=True)
class Centering:
    """The mean of D's logits on an example and a sample stays near 0, which a relativistic loss leaves free."""

    weight: Weight = 0.0  # .01 in adversarial flow models

    D_PARTS: ClassVar = (Part("centering", "logit centering, weighted", "weight", squared_sums),)
    G_PARTS: ClassVar = ()
