"""Auxiliary classifier (ACGAN, arXiv:1610.09585): D predicts the class instead of being conditioned on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import Weight
from jaxgan.objectives.terms.protocol import DTermInputs, GTermInputs, Part


def class_error_real(term: AuxiliaryClassifier, inputs: DTermInputs) -> Array:
    return jnp.mean(class_error(inputs.real_classes, inputs.y))


def class_error_fake(term: AuxiliaryClassifier, inputs: DTermInputs) -> Array:
    return jnp.mean(class_error(inputs.fake_classes, inputs.y))


def class_error_generator(term: AuxiliaryClassifier, inputs: GTermInputs) -> Array:
    return jnp.mean(class_error(inputs.classes, inputs.y))


@dataclass(frozen=True)
class AuxiliaryClassifier:
    """D predicts the class (ACGAN, arXiv:1610.09585)."""

    real: Weight = 0.0  # weight of the class error on data; 1
    fake: Weight = 0.0  # weight on samples of G, in D's loss; 1 in the paper, 0 in most code
    generator: Weight = 0.0  # weight in G's loss; .1 to 1

    D_PARTS: ClassVar = (
        Part("class_error_real", "class error of D on data, weighted", "real", class_error_real),
        Part("class_error_fake", "class error of D on samples, weighted", "fake", class_error_fake),
    )
    G_PARTS: ClassVar = (
        Part("class_error_generator", "class error in G's loss, weighted", "generator", class_error_generator),
    )


def class_error(logits: Array, y: Array) -> Array:
    """The cross-entropy -log p(y | x) of D's auxiliary classifier.

    It is part of D's loss on data (and, in the paper, on fakes) and of G's loss on fakes. D is not conditioned on the
    class it predicts. All weights are 1 in the paper; the authors of WGAN-GP use 1 on data, 0 on fakes in D's loss, and
    .1 in G's loss.

    Args:
      logits: [n, K] float.
      y: [n] int32, classes of the examples, or those G was conditioned on.

    Returns:
      [n] float, nats.
    """
    return jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]


def check(config: ConfigDict) -> None:
    """Raises UserError if the players have no classes to predict."""
    if any(config.objective.auxiliary.values()) and config.conditional != "label":
        raise UserError("objective.auxiliary needs a class-conditional G; set conditional=label.")
