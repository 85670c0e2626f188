"""The paper's multilayer perceptrons (section 5): ReLU and sigmoid units in G, maxout and dropout in D."""

from __future__ import annotations

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.networks.layers import ACTIVATIONS, dropout, maxout, uniform_init


class Generator(nn.Module):
    """G(z; theta_g): z [n, d] float32 -> x [n, *shape] float32."""

    shape: tuple[int, ...]  # of one example
    hidden: Sequence[int]
    activations: Sequence[str]
    output: str
    irange: float
    output_irange: float
    output_bias_init: nn.initializers.Initializer  # [math.prod(shape)]

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        h = z
        for units, activation in zip(self.hidden, self.activations, strict=True):
            h = ACTIVATIONS[activation](nn.Dense(units, kernel_init=uniform_init(self.irange))(h))
        x = nn.Dense(
            math.prod(self.shape),
            kernel_init=uniform_init(self.output_irange),
            bias_init=self.output_bias_init,
            name="output",
        )(h)
        return ACTIVATIONS[self.output](x).reshape(-1, *self.shape)


class Discriminator(nn.Module):
    """D(x; theta_d): x [n, ...] float32 -> logits [n] float32, D = sigmoid(logits)."""

    hidden: Sequence[int]
    activation: str
    pieces: int
    irange: float
    input_keep: float
    hidden_keep: float

    @nn.compact
    def __call__(self, x: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """keys: [n] typed PRNG keys of the dropout masks; None switches dropout off."""
        h = x.reshape(x.shape[0], -1)
        for i, units in enumerate(self.hidden):
            h = dropout(h, self.input_keep if i == 0 else self.hidden_keep, keys, i)
            if self.activation == "maxout":
                h = maxout(nn.Dense(units * self.pieces, kernel_init=uniform_init(self.irange))(h), self.pieces)
            else:
                h = ACTIVATIONS[self.activation](nn.Dense(units, kernel_init=uniform_init(self.irange))(h))
        h = dropout(h, self.hidden_keep if self.hidden else self.input_keep, keys, len(self.hidden))
        return jnp.squeeze(nn.Dense(1, kernel_init=uniform_init(self.irange), name="output")(h), -1)
