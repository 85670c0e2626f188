"""Reconstruction in G's loss: a conditional sample is near the example that its condition is of (arXiv:1611.07004).

Least at the conditional median (L1) or mean (L2), so either pulls the dispersion of G over z towards 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import Weight
from jaxgan.objectives.terms.protocol import GTermInputs, Part


def paired_l1(term: Paired, inputs: GTermInputs) -> Array:
    return jnp.mean(mean_of_hidden(jnp.abs(_errors(inputs)), inputs.mask))


def paired_l2(term: Paired, inputs: GTermInputs) -> Array:
    return jnp.mean(mean_of_hidden(jnp.square(_errors(inputs)), inputs.mask))


def _errors(inputs: GTermInputs) -> Array:
    assert inputs.x is not None  # `check`
    return inputs.fake - inputs.x


@dataclass(frozen=True)
class Paired:
    """G's samples are near the examples that their conditions are of (pix2pix, arXiv:1611.07004)."""

    l1: Weight = 0.0  # weight of the mean absolute error; 100 for values in [-1, 1], so 200 in [0, 1]
    l2: Weight = 0.0  # weight of the mean squared error

    D_PARTS: ClassVar = ()
    G_PARTS: ClassVar = (
        Part("paired_l1", "L1 to the example, weighted", "l1", paired_l1),
        Part("paired_l2", "L2 to the example, weighted", "l2", paired_l2),
    )


def mean_of_hidden(errors: Array, mask: Array | None) -> Array:
    """The mean over the entries of each example that a mask hides; over all without a mask, and 0 if it hides none.

    Args:
      errors: [n, *shape].
      mask: 1 where an entry is observed, broadcastable to errors.

    Returns:
      [n].
    """
    axes = tuple(range(1, errors.ndim))
    if mask is None:
        return jnp.mean(errors, axis=axes)
    hidden = jnp.broadcast_to(1 - mask, errors.shape)
    return jnp.sum(hidden * errors, axis=axes) / jnp.maximum(jnp.sum(hidden, axis=axes), 1)


def check(config: ConfigDict) -> None:
    """Checks the term against the condition."""
    if any(config.objective.paired.values()) and config.conditional == "none":
        raise UserError("objective.paired compares samples with the examples of their conditions; set condition.name.")
