"""SNDCGAN (arXiv:1802.05957, table 3): DCGAN's G, and a D of paired, spectrally normalized convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

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
    one_hot,
)
from jaxgan.networks.norms import BatchNorm
from jaxgan.networks.spectral import Dense

INIT = nn.initializers.normal(0.02)


class Generator(nn.Module):
    """G(z; theta_g): z [n, d] float32 -> x [n, H, W, C] float32; labels are concatenated to z as one-hot vectors."""

    data: DataSpec | None = None
    widths: Sequence[int] = (512, 256, 128, 64)  # channels per resolution, from the lowest to the image's
    output: str = "tanh"  # of the last layer: tanh | sigmoid | linear

    def check(self) -> None:
        check_units("generator.widths", self.widths)
        check_output(self.output, self.data)
        check_images("generator.name=sndcgan", self.data)

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None = None, *, axis_name: str | None = None) -> jax.Array:
        height, width, channels = self.data.shape
        grids = list(zip(*(downsampled_sizes(side, len(self.widths) - 1) for side in (height, width)), strict=True))[
            ::-1
        ]
        h = jnp.concatenate([z, *one_hot(y, self.data)], axis=1)
        h = Dense(math.prod(grids[0]) * self.widths[0], kernel_init=INIT)(h).reshape(-1, *grids[0], self.widths[0])
        h = nn.relu(BatchNorm()(h, axis_name=axis_name))
        for features, (rows, columns) in zip(self.widths[1:], grids[1:], strict=True):
            h = ConvTranspose(features, (4, 4), (2, 2), kernel_init=INIT)(h)[:, :rows, :columns]
            h = nn.relu(BatchNorm()(h, axis_name=axis_name))
        return ACTIVATIONS[self.output](Conv(channels, (3, 3), kernel_init=INIT)(h))


class Discriminator(nn.Module):
    """D(x; theta_d): x [n, H, W, C] float32 -> logits [n] float32; labels are concatenated to x as one-hot channels."""

    data: DataSpec | None = None
    widths: Sequence[int] = (64, 128, 256, 512)  # channels per resolution, from the image's to the lowest
    slope: float = 0.1  # of leaky ReLU
    spectral: bool = True  # spectral normalization of every layer

    def check(self) -> None:
        check_units("discriminator.widths", self.widths)
        check_images("discriminator.name=sndcgan", self.data)

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
        del keys, axis_name  # no dropout; no cross-example layers
        h = append_label_channels(x, y, self.data)

        def conv(h: jax.Array, channels: int, kernel: int, stride: int) -> jax.Array:
            layer = Conv(channels, (kernel,) * 2, (stride,) * 2, spectral=self.spectral, kernel_init=INIT)
            return nn.leaky_relu(layer(h), self.slope)

        for channels in self.widths[:-1]:
            h = conv(conv(h, channels, 3, 1), channels, 4, 2)
        h = conv(h, self.widths[-1], 3, 1)
        h = h.reshape(h.shape[0], -1)
        outputs = Dense(self.data.outputs, spectral=self.spectral, kernel_init=INIT)(h)
        return d_output(outputs, h if features else None, self.data)
