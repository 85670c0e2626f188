"""The paper's multilayer perceptrons (section 5): ReLU and sigmoid units in G, maxout and dropout in D."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import UserError
from jaxgan.fields import above, at_least, one_of
from jaxgan.networks.layers import (
    ACTIVATIONS,
    DataSpec,
    DOutput,
    check_keep_prob,
    check_output,
    check_units,
    d_output,
    dropout,
    gaussian_noise,
    maxout,
    one_hot,
    output_bias,
    sparse_init,
    uniform_init,
)
from jaxgan.networks.mixed_precision import bfloat16_above, dot_general
from jaxgan.networks.norms import BatchNorm
from jaxgan.networks.spectral import Dense

HIDDEN = partial(nn.Dense, dot_general=dot_general)


class Generator(nn.Module):
    """G(z; theta_g): z [n, d] float32 -> x [n, *shape] float32; labels are concatenated to z as one-hot vectors."""

    data: DataSpec | None = None
    hidden: Sequence[int] = (256, 256)  # units per hidden layer
    activations: Sequence[str] = ("relu", "relu")  # of each hidden layer: relu | leaky_relu | sigmoid | tanh | linear
    output: str = "sigmoid"  # of the last layer: sigmoid | tanh | linear
    irange: Annotated[float, at_least(0)] = 0.05  # initial hidden weights are uniform in [-irange, irange]
    output_irange: Annotated[float, at_least(0)] = 0.05  # the same for the last layer
    # n > 0: each output unit has n initial weights from normal(0, 1), the others 0
    output_sparse: Annotated[int, at_least(0)] = 0
    output_bias: bool = True  # initialize the output bias so that samples equal the mean of the training set
    sigmoid_bias: float = 0.0  # initial bias of hidden sigmoid units
    # none | batch: before each hidden activation, which has no other bias (arXiv:1502.03167) | spectral: of every
    # layer, so that G's Lipschitz constant is at most 1
    norm: Annotated[str, one_of("none", "batch", "spectral")] = "none"

    def check(self) -> None:
        check_hidden(self.hidden, self.activations)
        check_output(self.output, self.data)
        if self.output_sparse and self.hidden and self.output_sparse > self.hidden[-1]:
            raise UserError(
                f"generator.output_sparse={self.output_sparse} weights for each output unit, but the "
                f"layer below has {self.hidden[-1]} units; make it smaller."
            )

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None = None, *, axis_name: str | None = None) -> jax.Array:
        h = jnp.concatenate([z, *one_hot(y, self.data)], axis=1)
        norm = (lambda h: BatchNorm()(h, axis_name=axis_name)) if self.norm == "batch" else None
        layer = dense(self.norm)
        h = hidden_layers(h, self.hidden, self.activations, self.irange, self.sigmoid_bias, norm=norm, layer=layer)
        units = math.prod(self.data.shape)
        bias = output_bias(self.data.mean if self.output_bias else None, self.output, units)
        kernel_init = sparse_init(self.output_sparse) if self.output_sparse else uniform_init(self.output_irange)
        x = layer(units, kernel_init=kernel_init, bias_init=lambda *_: jnp.asarray(bias), name="output")(h)
        return ACTIVATIONS[self.output](x).reshape(-1, *self.data.shape)


class Discriminator(nn.Module):
    """D(x; theta_d): x [n, ...] float32 -> logits [n] float32; labels are concatenated to x as one-hot vectors."""

    data: DataSpec | None = None
    hidden: Sequence[int] = (256, 256)  # units per hidden layer
    # of the hidden layers: maxout | relu | leaky_relu | sigmoid | tanh | linear
    activation: Annotated[str, one_of("maxout", *ACTIVATIONS)] = "leaky_relu"
    pieces: Annotated[int, above(0)] = 5  # linear pieces of a maxout unit
    irange: Annotated[float, at_least(0)] = 0.05  # initial weights are uniform in [-irange, irange]
    input_keep: float = 1.0  # dropout: probability of keeping an input; 1 = no dropout
    hidden_keep: float = 1.0  # the same for the inputs of all later layers
    input_noise: Annotated[float, at_least(0)] = 0.0  # standard deviation of Gaussian noise added to the input
    hidden_noise: Annotated[float, at_least(0)] = 0.0  # the same for the inputs of all later layers
    # none | spectral: of every layer, so that without dropout D's Lipschitz constant is at most 1
    norm: Annotated[str, one_of("none", "spectral")] = "none"

    def check(self) -> None:
        check_units("discriminator.hidden", self.hidden)
        check_keep_prob("discriminator.input_keep", self.input_keep)
        check_keep_prob("discriminator.hidden_keep", self.hidden_keep)

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        y: jax.Array | None = None,
        keys: jax.Array | None = None,
        *,
        features: bool = False,
        axis_name: str | None = None,
    ) -> DOutput:
        del axis_name  # no cross-example layers
        h = jnp.concatenate([x.reshape(x.shape[0], -1), *one_hot(y, self.data)], axis=1)
        keep_probs = [self.input_keep] + [self.hidden_keep] * len(self.hidden)
        h = gaussian_noise(h, self.input_noise, keys, 0)
        output = dense_layers(self, h, keys, activation=self.activation, keep_probs=keep_probs, layer=dense(self.norm))
        return output if features else output._replace(features=None)


def check_hidden(hidden: Sequence[int], activations: Sequence[str]) -> None:
    """Raises UserError if a generator's hidden layers and their activations do not match."""
    check_units("generator.hidden", hidden)
    if len(activations) != len(hidden):
        raise UserError(
            f"generator.activations names {len(activations)} activations for the {len(hidden)} layers of "
            f"generator.hidden; give one per layer."
        )
    for name in activations:
        if name not in ACTIVATIONS:
            raise UserError(f"generator.activations may hold {', '.join(ACTIVATIONS)}, not {name!r}.")


def dense(norm: str) -> Callable[..., nn.Module]:
    """The linear layer, (units, **initializers) -> module; spectrally normalized if `norm` is 'spectral'."""
    return partial(Dense, spectral=True) if norm == "spectral" else HIDDEN


def hidden_layers(
    h: jax.Array,
    units: Sequence[int],
    activations: Sequence[str],
    irange: float,
    sigmoid_bias: float,
    *,
    norm: Callable[[jax.Array], jax.Array] | None = None,
    layer: Callable[..., nn.Module] = HIDDEN,
) -> jax.Array:
    """The hidden layers of a generator: [n, d] -> [n, units[-1]]. Call it in a compact module.

    Args:
      norm: normalization before each activation, if any; it has biases, so the layers have none.
      layer: the linear layer (`dense`).
    """
    for n, activation in zip(units, activations, strict=True):
        bias = nn.initializers.constant(sigmoid_bias if activation == "sigmoid" else 0.0)
        h = layer(n, use_bias=norm is None, kernel_init=uniform_init(irange), bias_init=bias)(h)
        h = ACTIVATIONS[activation](h if norm is None else norm(h))
    return h


def dense_layers(
    discriminator: nn.Module,
    h: jax.Array,
    keys: jax.Array | None,
    *,
    activation: str,
    keep_probs: Sequence[float],
    mask_offset: int = 0,
    layer: Callable[..., nn.Module] = HIDDEN,
) -> DOutput:
    """The dense layers of a discriminator, from [n, d]. Call it in its `__call__`.

    Features are taken before dropout and noise.

    Args:
      discriminator: a module with the fields `hidden`, `pieces`, `irange`, `data` and, if its hidden layers have
        Gaussian noise, its standard deviation `hidden_noise`.
      keys: [n] PRNG keys of the dropout masks, or None for no dropout.
      keep_probs: the keep probability of each layer's input, one more than `hidden`.
      mask_offset: the number of layers below, so that all masks have different keys.
      layer: the linear layer (`dense`).
    """
    units, pieces, features = discriminator.hidden, discriminator.pieces, h
    deviation = getattr(discriminator, "hidden_noise", 0.0)
    init, last = uniform_init(discriminator.irange), len(units)
    for i, n in enumerate(units):
        h = dropout(h, keep_probs[i], keys, mask_offset + i)
        if activation == "maxout":
            h = maxout(layer(n * pieces, kernel_init=init)(h), pieces)
        else:
            h = ACTIVATIONS[activation](layer(n, kernel_init=init)(h))
        features, h = h, gaussian_noise(h, deviation, keys, mask_offset + i + 1)
    dropped = dropout(h, keep_probs[last], keys, mask_offset + last)
    with bfloat16_above(math.inf):  # logits are float32
        outputs = layer(discriminator.data.outputs, kernel_init=init, name="output")(dropped)
    return d_output(outputs, features, discriminator.data)
