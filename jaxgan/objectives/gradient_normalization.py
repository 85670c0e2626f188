"""Normalization of the gradient between D and G (adversarial flow models): its size does not depend on D's scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import jax.numpy as jnp
from jax import Array

from jaxgan.fields import TRACED, Weight, within

EPS = 1e-8
STATE = "gradient_normalization"  # key of the running mean of squares in G's statistics


@dataclass(frozen=True)
class GradientNormalization:
    """G's adversarial loss is divided by a running root mean square of its gradient with respect to the fakes."""

    # norm of that gradient in units of 1 / sqrt(elements of a minibatch), 1 in adversarial flow models; 0 = off
    target: Weight = 0.0
    decay: Annotated[float, TRACED, within(0, 1, "[)")] = 0.9  # of the running mean of squares, which starts from 0

    def __call__(self, mean_square: Array, gradient_square: Array, elements: int) -> tuple[Array, Array]:
        """The factor of the adversarial loss, and the updated mean of squares.

        Without a bias correction, as published: the first factor is 1 / sqrt(1 - decay) times too large.

        Args:
          mean_square: the running mean, scalar.
          gradient_square: the squared norm of the gradient with respect to the global minibatch of fakes.
          elements: of that minibatch.
        """
        mean_square = self.decay * mean_square + (1 - self.decay) * gradient_square * elements
        return self.target / (jnp.sqrt(mean_square) + EPS), mean_square
