"""The paper's convolutional networks for CIFAR-10 (section 5): deconvolution in G, maxout convolutions in D.

The defaults are those of goodfeli/adversarial, cifar10_convolutional.yaml; the layers are its Deconv and pylearn2's
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
from jaxgan.networks.layers import (
    ACTIVATIONS,
    DataSpec,
    DOutput,
    check_keep_prob,
    check_output,
    check_units,
    dropout,
    maxout,
    one_hot,
    output_bias,
    uniform_init,
)
from jaxgan.networks.mlp import check_hidden, dense_layers, hidden_layers


class Generator(nn.Module):
    """G(z; theta_g): z [n, d] float32 -> x [n, H, W, C] float32.

    The last hidden layer is reshaped to a grid of feature vectors, followed by a transposed convolution to the image,
    without cropping. Each output pixel and channel has its own bias.
    """

    data: DataSpec | None = None
    hidden: Sequence[int] = (8000, 8000)  # units per hidden layer
    activations: Sequence[str] = ("relu", "sigmoid")  # of each hidden layer
    output: str = "linear"  # of the last layer: sigmoid | tanh | linear
    irange: float = 0.05  # initial hidden weights are uniform in [-irange, irange]
    output_irange: float = 0.05  # the same for the kernel of the last layer
    output_bias: bool = True  # initialize the output bias so that samples equal the mean of the training set
    sigmoid_bias: float = 0.0  # initial bias of hidden sigmoid units
    grid: Sequence[int] = (10, 10, 80)  # rows, columns and channels that the last hidden layer becomes
    kernel: int = 5  # pixels, of the transposed convolution to the image
    stride: int = 3  # pixels of the image from one grid point to the next

    def check(self) -> None:
        check_hidden(self.hidden, self.activations)
        check_output(self.output, self.data)
        units = list(self.hidden[-1:])
        if len(self.grid) != 3 or [math.prod(self.grid)] != units:
            raise UserError(
                f"generator.grid={tuple(self.grid)} is (rows, columns, channels), whose product is the number of "
                f"units of the last hidden layer, {units[0] if units else 'of which there is none'}."
            )
        if not 1 <= self.stride <= self.kernel:
            raise UserError(
                f"generator.stride={self.stride} must be from 1 to generator.kernel={self.kernel}: otherwise some "
                f"pixels would not be covered by any kernel."
            )
        sides = [self.stride * (points - 1) + self.kernel for points in self.grid[:2]]
        if self.data is not None and (len(self.data.shape) != 3 or sides != list(self.data.shape[:2])):
            raise UserError(
                f"generator.name=maxout_conv generates images of {sides[0]}x{sides[1]} pixels, but the data have "
                f"shape {tuple(self.data.shape)}; make stride * (grid - 1) + kernel the images' height and width."
            )

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None = None, *, axis_name: str | None = None) -> jax.Array:
        del axis_name  # no cross-example layers
        h = jnp.concatenate([z, *one_hot(y, self.data)], axis=1)
        h = hidden_layers(h, self.hidden, self.activations, self.irange, self.sigmoid_bias)
        x = ConvTranspose(
            self.data.shape[2],
            (self.kernel, self.kernel),
            (self.stride, self.stride),
            padding="VALID",
            use_bias=False,
            kernel_init=uniform_init(self.output_irange),
            name="output",
        )(h.reshape(-1, *self.grid))
        # Of rank 1, so that an optimizer with max-norm constraints on weights ignores it.
        size = math.prod(self.data.shape)
        start = output_bias(self.data.mean if self.output_bias else None, self.output, size)
        bias = self.param("output_bias", lambda *_: jnp.asarray(start))
        return ACTIVATIONS[self.output](x + bias.reshape(1, *self.data.shape))


class Discriminator(nn.Module):
    """D(x; theta_d): x [n, H, W, C] float32 -> logits [n] float32.

    Maxout convolutions with biases shared across positions, each followed by max pooling, then dense maxout layers, to
    whose input labels are concatenated as one-hot vectors.
    """

    data: DataSpec | None = None
    channels: Sequence[int] = (32, 32, 192)  # maxout channels, per convolution
    kernels: Sequence[int] = (8, 8, 5)  # pixels, per convolution
    paddings: Sequence[int] = (4, 3, 3)  # zeros on each side
    pools: Sequence[int] = (4, 4, 2)  # side of the pooling windows
    strides: Sequence[int] = (2, 2, 2)  # from one pooling window to the next
    conv_pieces: int = 2  # linear pieces of a convolutional maxout unit
    hidden: Sequence[int] = (500,)  # units per hidden layer above the convolutions
    pieces: int = 5  # linear pieces of their maxout units
    irange: float = 0.005  # initial weights are uniform in [-irange, irange]
    input_keep: float = 1.0  # dropout: probability of keeping an input; 1 = no dropout
    hidden_keep: float = 1.0  # the same for the inputs of all later layers

    def check(self) -> None:
        layers = {name: getattr(self, name) for name in ("channels", "kernels", "paddings", "pools", "strides")}
        if len({len(values) for values in layers.values()}) != 1:
            listed = ", ".join(f"{name}={tuple(values)}" for name, values in layers.items())
            raise UserError(f"these fields of discriminator give one number per convolution each, not {listed}.")
        for name, values in layers.items():
            for value in values:
                if not (isinstance(value, int) and value >= (0 if name == "paddings" else 1)):
                    raise UserError(f"discriminator.{name} holds whole numbers of pixels, not {value!r}.")
        if any(stride > pool for stride, pool in zip(self.strides, self.pools, strict=True)):
            raise UserError(
                f"discriminator.strides={tuple(self.strides)} must not exceed discriminator.pools="
                f"{tuple(self.pools)}: points between the windows would be lost."
            )
        check_units("discriminator.hidden", self.hidden)
        check_units("discriminator.pieces", [self.pieces, self.conv_pieces])
        check_keep_prob("discriminator.input_keep", self.input_keep)
        check_keep_prob("discriminator.hidden_keep", self.hidden_keep)
        if self.data is not None and len(self.data.shape) != 3:
            raise UserError(
                f"discriminator.name=maxout_conv takes images, but the data are of shape {tuple(self.data.shape)}."
            )

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
        layers = zip(self.channels, self.kernels, self.paddings, self.pools, self.strides, strict=True)
        for i, (channels, kernel, padding, pool, stride) in enumerate(layers):
            x = dropout(x, self.hidden_keep if i else self.input_keep, keys, i)
            init = uniform_init(self.irange)
            sides = ((padding, padding), (padding, padding))
            x = Conv(channels * self.conv_pieces, (kernel, kernel), padding=sides, kernel_init=init)(x)
            x = max_pool(maxout(x, self.conv_pieces), pool, stride)
        h = jnp.concatenate([x.reshape(x.shape[0], -1), *one_hot(y, self.data)], axis=1)
        keep_probs = [self.hidden_keep if self.channels else self.input_keep] + [self.hidden_keep] * len(self.hidden)
        output = dense_layers(self, h, keys, activation="maxout", keep_probs=keep_probs, mask_offset=len(self.channels))
        return output if features else output._replace(features=None)


def max_pool(x: jax.Array, window: int, stride: int) -> jax.Array:
    """Max pooling; the last window of a row or column may extend beyond the border.

    As in cuda-convnet, which the 2014 code uses: s points give ceil((s - window) / stride) + 1 maxima.

    Args:
      x: [n, H, W, C] float.

    Raises:
      UserError: a window larger than the image.
    """
    sides = x.shape[1:3]
    if min(sides) < window:
        raise UserError(
            f"discriminator.pools: a window of {window}x{window} does not fit into the "
            f"{sides[0]}x{sides[1]} points that the convolution leaves; use fewer layers, or larger paddings."
        )
    # Maxima of shifted slices: the gradient of XLA's windowed maximum is slow on CPU.
    for axis, side in enumerate(sides, 1):
        points, beyond = -(-(side - window) // stride) + 1, -(side - window) % stride
        edges = [(0, beyond if i == axis else 0, 0) for i in range(x.ndim)]
        x = lax.pad(x, jnp.array(-jnp.inf, x.dtype), edges)
        last = stride * (points - 1) + 1
        x = reduce(jnp.maximum, [lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(window)])
    return x
