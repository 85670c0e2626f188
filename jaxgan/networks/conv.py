"""The paper's convolutional networks for CIFAR-10 (section 5): deconvolution in G, maxout convolutions in D.

Numbers of goodfeli/adversarial, cifar10_convolutional.yaml; the layers are its Deconv and pylearn2's
MaxoutConvC01B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.errors import UserError
from jaxgan.networks.convolution import Conv, ConvTranspose
from jaxgan.networks.layers import ACTIVATIONS, dropout, maxout, uniform_init
from jaxgan.networks.mlp import hidden_layers, logits


class Generator(nn.Module):
    """G(z; theta_g): z [n, d] float32 -> x [n, H, W, C] float32.

    The last hidden layer is read as a grid of feature vectors. The one in row r and column c, times a kernel
    that all share, is added to the pixels from (stride * r, stride * c) on. Each output has its own bias.
    """

    shape: tuple[int, ...]  # of one example
    hidden: Sequence[int]
    activations: Sequence[str]
    output: str
    irange: float
    sigmoid_bias: float
    output_init: nn.initializers.Initializer  # of the kernel
    output_bias_init: nn.initializers.Initializer  # [math.prod(shape)]
    grid: tuple[int, int, int]  # rows, columns, features
    kernel: int
    stride: int

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        sides = tuple(self.stride * (points - 1) + self.kernel for points in self.grid[:2])
        if len(self.shape) != 3 or sides != tuple(self.shape[:2]):
            raise UserError(
                f"generator.conv draws images of {sides[0]}x{sides[1]} pixels, but the data are of shape "
                f"{tuple(self.shape)}; make stride * (grid - 1) + kernel the images' height and width."
            )
        h = hidden_layers(z, self.hidden, self.activations, self.irange, self.sigmoid_bias)
        x = ConvTranspose(
            self.shape[2],
            (self.kernel, self.kernel),
            (self.stride, self.stride),
            padding="VALID",
            use_bias=False,
            kernel_init=self.output_init,
            name="output",
        )(h.reshape(-1, *self.grid))
        # Flat, as a parameter of rank 1: an optimizer that limits the norms of weights leaves it alone.
        bias = self.param("output_bias", self.output_bias_init, (math.prod(self.shape),))
        return ACTIVATIONS[self.output](x + bias.reshape(1, *self.shape))


class Discriminator(nn.Module):
    """D(x; theta_d): x [n, H, W, C] float32 -> logits [n] float32, D = sigmoid(logits).

    Maxout convolutions, whose points share their biases, each with max pooling; then maxout layers.
    """

    channels: Sequence[int]  # of each convolution, as are the next four
    kernels: Sequence[int]
    paddings: Sequence[int]
    pools: Sequence[int]
    strides: Sequence[int]
    conv_pieces: int
    hidden: Sequence[int]
    pieces: int
    irange: float
    input_keep: float
    hidden_keep: float

    @nn.compact
    def __call__(self, x: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """keys: [n] typed PRNG keys of the dropout masks; None switches dropout off."""
        if x.ndim != 4:
            raise UserError(f"discriminator.name=conv takes images, but the data are of shape {x.shape[1:]}.")
        layers = zip(self.channels, self.kernels, self.paddings, self.pools, self.strides, strict=True)
        for i, (channels, kernel, padding, pool, stride) in enumerate(layers):
            x = dropout(x, self.hidden_keep if i else self.input_keep, keys, i)
            init = uniform_init(self.irange)
            around = ((padding, padding), (padding, padding))
            x = Conv(channels * self.conv_pieces, (kernel, kernel), padding=around, kernel_init=init)(x)
            x = max_pool(maxout(x, self.conv_pieces), pool, stride)
        keeps = [self.hidden_keep if self.channels else self.input_keep] + [self.hidden_keep] * len(self.hidden)
        return logits(x, keys, len(self.channels), self.hidden, "maxout", self.pieces, self.irange, keeps)


def max_pool(x: jax.Array, window: int, stride: int) -> jax.Array:
    """Maxima over windows `stride` apart; the last one of a row or column may reach beyond the border.

    As in cuda-convnet, with which the 2014 code pools: s points give ceil((s - window) / stride) + 1 maxima.

    Args:
      x: [n, H, W, C] float.

    Raises:
      UserError: a window larger than the image.
    """
    sides = x.shape[1:3]
    if min(sides) < window:
        raise UserError(
            f"discriminator.conv.pools: a window of {window}x{window} does not fit into the "
            f"{sides[0]}x{sides[1]} points that the convolution leaves; use fewer layers, or larger paddings."
        )
    # Maxima of shifted slices rather than XLA's windowed maximum, whose gradient is slow on CPU.
    for axis, side in enumerate(sides, 1):
        points, beyond = -(-(side - window) // stride) + 1, -(side - window) % stride
        edges = [(0, beyond if i == axis else 0, 0) for i in range(x.ndim)]
        x = lax.pad(x, jnp.array(-jnp.inf, x.dtype), edges)
        last = stride * (points - 1) + 1
        x = reduce(jnp.maximum, [lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(window)])
    return x
