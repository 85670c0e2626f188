"""Feature matching: samples have the mean features of the data, of D's last hidden layer (arXiv:1606.03498, 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from jaxgan.fields import Weight
from jaxgan.objectives.terms.protocol import GTermInputs, Part


def matching(term: FeatureMatching, inputs: GTermInputs) -> Array:
    assert inputs.real_features is not None and inputs.fake_features is not None
    return feature_matching(inputs.real_features, inputs.fake_features)


@dataclass(frozen=True)
class FeatureMatching:
    """Samples have the mean features of the data, of D's last hidden layer (arXiv:1606.03498)."""

    weight: Weight = 0.0  # in G's loss; 1, with objective.g_scale=0

    D_PARTS: ClassVar = ()
    G_PARTS: ClassVar = (
        Part("matching", "feature matching, weighted", "weight", matching, features=True, couples_examples=True),
    )


def feature_matching(real: Array, fake: Array) -> Array:
    """The mean over features of the squared difference of their means over both minibatches.

    Args:
      real, fake: [n, d] and [m, d] float, D's features of the GLOBAL minibatches.
    """
    return jnp.mean(jnp.square(jnp.mean(real, axis=0) - jnp.mean(fake, axis=0)))
