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
    sigmoid_bias: float
    output_init: nn.initializers.Initializer  # of the last layer's weights
    output_bias_init: nn.initializers.Initializer  # [math.prod(shape)]

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        h = hidden_layers(z, self.hidden, self.activations, self.irange, self.sigmoid_bias)
        units = math.prod(self.shape)
        x = nn.Dense(units, kernel_init=self.output_init, bias_init=self.output_bias_init, name="output")(h)
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
        keeps = [self.input_keep] + [self.hidden_keep] * len(self.hidden)
        return logits(x, keys, 0, self.hidden, self.activation, self.pieces, self.irange, keeps)


def hidden_layers(
    h: jax.Array, units: Sequence[int], activations: Sequence[str], irange: float, sigmoid_bias: float
) -> jax.Array:
    """The hidden layers of a generator: [n, d] -> [n, units[-1]]. To be called in a Flax module."""
    for n, activation in zip(units, activations, strict=True):
        bias = nn.initializers.constant(sigmoid_bias if activation == "sigmoid" else 0.0)
        h = ACTIVATIONS[activation](nn.Dense(n, kernel_init=uniform_init(irange), bias_init=bias)(h))
    return h


def logits(
    h: jax.Array,
    keys: jax.Array | None,
    first: int,
    units: Sequence[int],
    activation: str,
    pieces: int,
    irange: float,
    keeps: Sequence[float],
) -> jax.Array:
    """The dense layers of a discriminator: [n, ...] -> [n]. To be called in a Flax module.

    Args:
      keys: [n] of the dropout masks, or None.
      first: the number of layers below, which tells the masks apart.
      units: a hidden layer each; `activation`, `pieces` and `irange` are theirs.
      keeps: the share of inputs that each layer keeps, one more than `units`.
    """
    h = h.reshape(h.shape[0], -1)
    for i, (n, keep) in enumerate(zip([*units, 1], keeps, strict=True)):
        h = dropout(h, keep, keys, first + i)
        init = uniform_init(irange)
        if i == len(units):
            h = nn.Dense(1, kernel_init=init, name="output")(h)
        elif activation == "maxout":
            h = maxout(nn.Dense(n * pieces, kernel_init=init)(h), pieces)
        else:
            h = ACTIVATIONS[activation](nn.Dense(n, kernel_init=init)(h))
    return jnp.squeeze(h, -1)
