"""Residual networks for small images: those of SNGAN (arXiv:1802.05957) and of WGAN-GP (arXiv:1704.00028).

The defaults are SNGAN's G and D for 32x32 images; conditional=label gives its conditional form (projection,
arXiv:1802.05637). WGAN-GP uses generator.width=128, discriminator.pool=mean, discriminator.spectral=False. Public code
differs in `upsample`: nearest in the authors' (Chainer) and in WGAN-GP's, bilinear in mimicry.
"""

from __future__ import annotations

import math
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.fields import above, at_least, one_of
from jaxgan.networks.convolution import Conv
from jaxgan.networks.layers import (
    ACTIVATIONS,
    DataSpec,
    DOutput,
    check_images,
    check_output,
    d_output,
    downsampled_sizes,
)
from jaxgan.networks.norms import BatchNorm
from jaxgan.networks.spectral import Dense, spectral_normalize

CONV3_INIT = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # Glorot's, times the square root of 2
INIT = nn.initializers.glorot_uniform()


class Generator(nn.Module):
    """G(z; theta_g): z [n, d] float32 -> x [n, H, W, C] float32; classes select batch norm's scales and biases."""

    data: DataSpec | None = None
    width: Annotated[int, above(0)] = 256  # channels
    blocks: Annotated[int, above(0)] = 3  # each doubles the sides
    upsample: Annotated[str, one_of("nearest", "bilinear")] = "nearest"  # nearest | bilinear
    output: str = "tanh"  # of the last layer: tanh | sigmoid | linear

    def check(self) -> None:
        check_output(self.output, self.data)
        check_images("generator.name=resnet", self.data)

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None = None, *, axis_name: str | None = None) -> jax.Array:
        height, width, channels = self.data.shape
        grids = list(zip(*(downsampled_sizes(side, self.blocks) for side in (height, width)), strict=True))[::-1]
        h = Dense(math.prod(grids[0]) * self.width, kernel_init=INIT)(z).reshape(-1, *grids[0], self.width)

        def norm(h: jax.Array) -> jax.Array:
            return nn.relu(BatchNorm(classes=self.data.classes)(h, y, axis_name=axis_name))

        for rows, columns in grids[1:]:
            residual = self._upsample(norm(h), rows, columns)
            residual = norm(Conv(self.width, (3, 3), kernel_init=CONV3_INIT)(residual))
            residual = Conv(self.width, (3, 3), kernel_init=CONV3_INIT)(residual)
            h = residual + Conv(self.width, (1, 1), kernel_init=INIT)(self._upsample(h, rows, columns))
        h = nn.relu(BatchNorm()(h, axis_name=axis_name))
        return ACTIVATIONS[self.output](Conv(channels, (3, 3), kernel_init=INIT)(h))

    def _upsample(self, h: jax.Array, rows: int, columns: int) -> jax.Array:
        if self.upsample == "nearest":
            h = jnp.repeat(jnp.repeat(h, 2, axis=1), 2, axis=2)
        else:
            h = jax.image.resize(h, (h.shape[0], 2 * h.shape[1], 2 * h.shape[2], h.shape[3]), "bilinear")
        return h[:, :rows, :columns]


class Discriminator(nn.Module):
    """D(x; theta_d): x [n, H, W, C] float32 -> logits [n] float32; classes by projection (arXiv:1802.05637)."""

    data: DataSpec | None = None
    width: Annotated[int, above(0)] = 128  # channels
    down: Annotated[int, above(0)] = 2  # blocks that halve the sides
    plain: Annotated[int, at_least(0)] = 2  # blocks after them that do not
    pool: Annotated[str, one_of("sum", "mean")] = "sum"  # over the last grid: sum | mean
    spectral: bool = True  # spectral normalization of every layer

    def check(self) -> None:
        check_images("discriminator.name=resnet", self.data)

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
        conv3x3 = lambda h: Conv(self.width, (3, 3), spectral=self.spectral, kernel_init=CONV3_INIT)(h)  # noqa: E731
        conv1x1 = lambda h: Conv(self.width, (1, 1), spectral=self.spectral, kernel_init=INIT)(h)  # noqa: E731
        # The first block has no leading ReLU, and its shortcut pools before the convolution.
        h = downsample(conv3x3(nn.relu(conv3x3(x)))) + conv1x1(downsample(x))
        for block in range(1, self.down + self.plain):
            residual = conv3x3(nn.relu(conv3x3(nn.relu(h))))
            h = downsample(residual) + downsample(conv1x1(h)) if block < self.down else residual + h
        h = nn.relu(h)
        h = jnp.sum(h, axis=(1, 2)) if self.pool == "sum" else jnp.mean(h, axis=(1, 2))
        outputs = Dense(self.data.outputs, spectral=self.spectral, kernel_init=INIT)(h)
        output = d_output(outputs, h if features else None, self.data)
        if not self.data.classes:
            return output
        return output._replace(logits=output.logits + Projection(self.data.classes, self.spectral)(h, y))


class Projection(nn.Module):
    """<embedding(y), h>, the conditional part of a projection D."""

    classes: int
    spectral: bool

    @nn.compact
    def __call__(self, h: jax.Array, y: jax.Array) -> jax.Array:
        """h: [n, C] float32; y: [n] int32 -> [n]."""
        table = self.param("embedding", INIT, (self.classes, h.shape[1]))
        table = spectral_normalize(self, table) if self.spectral else table
        return jnp.sum(table[y] * h, axis=1)


def downsample(h: jax.Array) -> jax.Array:
    """2x2 average pooling, over fewer pixels in an odd last row or column: [n, H, W, C] -> [n, H/2, W/2, C]."""
    height, width = h.shape[1:3]
    if height % 2 or width % 2:
        return nn.avg_pool(h, (2, 2), (2, 2), [(0, height % 2), (0, width % 2)], count_include_pad=False)
    return jnp.mean(h.reshape(h.shape[0], height // 2, 2, width // 2, 2, h.shape[3]), axis=(2, 4))
