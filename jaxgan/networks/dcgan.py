"""DCGAN (arXiv:1511.06434) and its variants: strided (transposed) convolutions.

G's `widths` (512, 256, 128, 64), kernel 4 and 64x64 images give the networks of PyTorch's DCGAN example. The same
widths with kernel 5, `bias` and 28x28 images give the networks of compare_gan and PacGAN. `widths` (256, 128, 64) with
kernel 5, `bias`, norm 'none' and 28x28 images give the MNIST networks of the WGAN-GP authors. The height and width of
G's first feature map are those of the image, halved once per entry of `widths` and rounded up; excess rows and columns
are cropped after each layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import UserError
from jaxgan.fields import above, at_least, one_of
from jaxgan.networks.convolution import Conv, ConvTranspose
from jaxgan.networks.layers import (
    ACTIVATIONS,
    DataSpec,
    DOutput,
    append_label_channels,
    check_images,
    check_output,
    check_units,
    d_output,
    downsampled_sizes,
    minibatch_deviation,
    one_hot,
)
from jaxgan.networks.norms import BatchNorm
from jaxgan.networks.spectral import Dense


def scale_init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """Samples the initial scales of batch normalization from N(1, .02^2)."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class Generator(nn.Module):
    """G(z; theta_g): z [n, d] float32 -> x [n, H, W, C] float32; labels are concatenated to z as one-hot vectors."""

    data: DataSpec | None = None
    widths: Sequence[int] = (128, 64)  # input channels of each transposed convolution of stride 2
    kernel: Annotated[int, above(0)] = 4  # pixels
    # normalization of every layer but the last: batch | conditional_batch | none
    norm: Annotated[str, one_of("batch", "conditional_batch", "none")] = "batch"
    bias: bool = False
    deviation: float = 0.02  # standard deviation of the initial weights, which are normal
    output: str = "tanh"  # activation of the last layer: tanh | sigmoid | linear

    def check(self) -> None:
        check_units("generator.widths", self.widths)
        check_output(self.output, self.data)
        check_images("generator.name=dcgan", self.data)
        if self.data is not None and self.norm == "conditional_batch" and not self.data.classes:
            raise UserError("generator.norm=conditional_batch needs classes; set conditional=label, or norm=batch.")

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None = None, *, axis_name: str | None = None) -> jax.Array:
        height, width, channels = self.data.shape
        sizes = list(zip(*(downsampled_sizes(side, len(self.widths)) for side in (height, width)), strict=True))[::-1]
        init = nn.initializers.normal(self.deviation)
        labels = [] if self.norm == "conditional_batch" else one_hot(y, self.data)
        h = jnp.concatenate([z, *labels], axis=1)
        h = Dense(math.prod(sizes[0]) * self.widths[0], use_bias=self.bias, kernel_init=init)(h)
        h = h.reshape(-1, *sizes[0], self.widths[0])
        for features, (rows, columns) in zip([*self.widths[1:], channels], sizes[1:], strict=True):
            h = nn.relu(self.normalize(h, y, axis_name))
            deconv = ConvTranspose(features, (self.kernel,) * 2, (2, 2), "SAME", self.bias, kernel_init=init)
            h = deconv(h)[:, :rows, :columns]
        return ACTIVATIONS[self.output](h)

    def normalize(self, h: jax.Array, y: jax.Array | None, axis_name: str | None) -> jax.Array:
        if self.norm == "none":
            return h
        classes = self.data.classes if self.norm == "conditional_batch" else 0
        return BatchNorm(scale_init=scale_init, classes=classes)(h, y, axis_name=axis_name)


class Discriminator(nn.Module):
    """D(x; theta_d): x [n, H, W, C] float32 -> logits [n] float32; labels are concatenated to x as one-hot channels."""

    data: DataSpec | None = None
    widths: Sequence[int] = (64, 128)  # output channels of each convolution of stride 2
    kernel: Annotated[int, above(0)] = 4  # pixels
    # normalization of every layer but the first and the last: batch | layer | spectral (all layers) | none
    norm: Annotated[str, one_of("batch", "layer", "spectral", "none")] = "batch"
    bias: bool = False
    slope: float = 0.2  # of leaky ReLU
    deviation: float = 0.02  # standard deviation of the initial weights, which are normal
    # group size, in examples, of the minibatch standard deviation layer; 0 = no such layer
    minibatch_deviation: Annotated[int, at_least(0)] = 0

    def check(self) -> None:
        check_units("discriminator.widths", self.widths)
        check_images("discriminator.name=dcgan", self.data)

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
        del keys  # no dropout
        init, spectral = nn.initializers.normal(self.deviation), self.norm == "spectral"
        h = append_label_channels(x, y, self.data)
        for i, channels in enumerate(self.widths):
            conv = Conv(channels, (self.kernel,) * 2, (2, 2), "SAME", 1, self.bias, spectral, kernel_init=init)
            h = conv(h)
            if i and self.norm == "batch":
                h = BatchNorm(scale_init=scale_init)(h, axis_name=axis_name)
            elif i and self.norm == "layer":
                h = nn.LayerNorm(reduction_axes=(1, 2, 3), feature_axes=-1)(h)
            h = nn.leaky_relu(h, self.slope)
        if self.minibatch_deviation:
            h = minibatch_deviation(h, self.minibatch_deviation)
        h = h.reshape(h.shape[0], -1)
        outputs = Dense(self.data.outputs, use_bias=self.bias, spectral=spectral, kernel_init=init)(h)
        return d_output(outputs, h if features else None, self.data)
