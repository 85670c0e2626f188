"""The paper's multilayer perceptrons (section 5): ReLU and sigmoid units in G, maxout and dropout in D."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import UserError
from jaxgan.networks.layers import (
    ACTIVATIONS,
    DataSpec,
    check_keep_prob,
    check_one_of,
    check_output,
    check_units,
    dropout,
    maxout,
    one_hot,
    output_bias,
    sparse_init,
    squeeze_output,
    uniform_init,
)
from jaxgan.networks.norms import BatchNorm
from jaxgan.networks.spectral import Dense


class Generator(nn.Module):
    """G(z; theta_g): z [n, d] float32 -> x [n, *shape] float32; classes join z as a row of 0 and 1."""

    data: DataSpec | None = None
    hidden: Sequence[int] = (256, 256)  # units per hidden layer
    activations: Sequence[str] = ("relu", "relu")  # of each hidden layer: relu | leaky_relu | sigmoid | tanh | linear
    output: str = "sigmoid"  # of the last layer: sigmoid | tanh | linear
    irange: float = 0.05  # hidden weights start uniform in [-irange, irange]
    output_irange: float = 0.05  # the same for the last layer
    output_sparse: int = 0  # n: each output unit starts with n weights from normal(0, 1), the others 0
    output_bias: bool = True  # start the output at the training set's mean
    sigmoid_bias: float = 0.0  # hidden sigmoid units start with this bias
    # none | batch: before each hidden activation (arXiv:1502.03167), then without other biases | spectral: of every
    # layer, so that G's Lipschitz constant is at most 1
    norm: str = "none"

    def check(self) -> None:
        check_hidden(self.hidden, self.activations)
        check_output(self.output, self.data)
        check_one_of("generator.norm", self.norm, ("none", "batch", "spectral"))
        if self.output_sparse and self.hidden and self.output_sparse > self.hidden[-1]:
            raise UserError(
                f"generator.output_sparse={self.output_sparse} weights for each output unit, but the "
                f"layer below has {self.hidden[-1]} units; make it smaller."
            )
        for name in ("irange", "output_irange", "output_sparse"):
            if getattr(self, name) < 0:
                raise UserError(f"generator.{name} must be 0 or more, not {getattr(self, name)}.")

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
    """D(x; theta_d): x [n, ...] float32 -> logits [n] float32; classes join x as a row of 0 and 1."""

    data: DataSpec | None = None
    hidden: Sequence[int] = (256, 256)  # units per hidden layer
    activation: str = "leaky_relu"  # of the hidden layers: maxout | relu | leaky_relu | sigmoid | tanh | linear
    pieces: int = 5  # linear pieces of a maxout unit
    irange: float = 0.05  # weights start uniform in [-irange, irange]
    input_keep: float = 1.0  # dropout: probability to keep an input; 1 = no dropout
    hidden_keep: float = 1.0  # the same for the input of every later layer
    norm: str = "none"  # none | spectral: of every layer, so that without dropout D's Lipschitz constant is at most 1

    def check(self) -> None:
        check_units("discriminator.hidden", self.hidden)
        if self.activation != "maxout" and self.activation not in ACTIVATIONS:
            names = ", ".join(["maxout", *ACTIVATIONS])
            raise UserError(f"discriminator.activation must be one of {names}, not {self.activation!r}.")
        if self.pieces < 1:
            raise UserError(f"discriminator.pieces must be above 0, not {self.pieces}.")
        if self.irange < 0:
            raise UserError(f"discriminator.irange must be 0 or more, not {self.irange}.")
        check_one_of("discriminator.norm", self.norm, ("none", "spectral"))
        check_keep_prob("discriminator.input_keep", self.input_keep)
        check_keep_prob("discriminator.hidden_keep", self.hidden_keep)

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        y: jax.Array | None = None,
        keys: jax.Array | None = None,
        *,
        axis_name: str | None = None,
    ) -> jax.Array:
        del axis_name  # examples are apart
        h = jnp.concatenate([x.reshape(x.shape[0], -1), *one_hot(y, self.data)], axis=1)
        keeps = [self.input_keep] + [self.hidden_keep] * len(self.hidden)
        return logits(self, h, keys, activation=self.activation, keeps=keeps, layer=dense(self.norm))


def check_hidden(hidden: Sequence[int], activations: Sequence[str]) -> None:
    """Raises UserError where a generator's hidden layers and their activations do not fit."""
    check_units("generator.hidden", hidden)
    if len(activations) != len(hidden):
        raise UserError(
            f"generator.activations names {len(activations)} activations for the {len(hidden)} layers of "
            f"generator.hidden; give one each."
        )
    for name in activations:
        if name not in ACTIVATIONS:
            raise UserError(f"generator.activations may hold {', '.join(ACTIVATIONS)}, not {name!r}.")


def dense(norm: str) -> Callable[..., nn.Module]:
    """The linear layer, (units, **initializers) -> module, spectrally normalized where `norm` says so."""
    return partial(Dense, spectral=True) if norm == "spectral" else nn.Dense


def hidden_layers(
    h: jax.Array,
    units: Sequence[int],
    activations: Sequence[str],
    irange: float,
    sigmoid_bias: float,
    *,
    norm: Callable[[jax.Array], jax.Array] | None = None,
    layer: Callable[..., nn.Module] = nn.Dense,
) -> jax.Array:
    """The hidden layers of a generator: [n, d] -> [n, units[-1]]. To be called in a Flax module.

    Args:
      norm: of what the activations get. It has biases of its own; so the layers have none.
      layer: the linear layer (`dense`).
    """
    for n, activation in zip(units, activations, strict=True):
        bias = nn.initializers.constant(sigmoid_bias if activation == "sigmoid" else 0.0)
        h = layer(n, use_bias=norm is None, kernel_init=uniform_init(irange), bias_init=bias)(h)
        h = ACTIVATIONS[activation](h if norm is None else norm(h))
    return h


def logits(
    discriminator: nn.Module,
    h: jax.Array,
    keys: jax.Array | None,
    *,
    activation: str,
    keeps: Sequence[float],
    first: int = 0,
    layer: Callable[..., nn.Module] = nn.Dense,
) -> jax.Array:
    """The dense layers of a discriminator: [n, d] -> [n], or [n, outputs]. To be called in its `__call__`.

    Args:
      discriminator: a module with the fields `hidden`, `pieces`, `irange` and `data`.
      keys: [n] of the dropout masks, or None.
      keeps: the keep probability of the input of each layer, one more than `hidden`.
      first: the number of layers below, which makes the keys of the masks differ.
      layer: the linear layer (`dense`).
    """
    units, pieces = discriminator.hidden, discriminator.pieces
    init = uniform_init(discriminator.irange)
    for i, (n, keep) in enumerate(zip([*units, discriminator.data.outputs], keeps, strict=True)):
        h = dropout(h, keep, keys, first + i)
        if i == len(units):
            h = layer(n, kernel_init=init, name="output")(h)
        elif activation == "maxout":
            h = maxout(layer(n * pieces, kernel_init=init)(h), pieces)
        else:
            h = ACTIVATIONS[activation](layer(n, kernel_init=init)(h))
    return squeeze_output(h)
