"""R3GAN (arXiv:2501.05441): residual blocks of grouped convolutions without normalization, biases only in activations.

The defaults are the networks of the CIFAR-10 recipe (unconditional, 32x32 images); smaller variants differ only in
`widths`, `blocks` and `groups`. Resampling uses the low-pass filter [1, 3, 3, 1] in each direction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.errors import UserError
from jaxgan.networks.convolution import Conv, conv, conv_transpose
from jaxgan.networks.layers import DataSpec, DOutput, check_images, check_units, d_output, one_hot
from jaxgan.networks.spectral import Dense

EXPANSION = 2  # ratio of the channels inside a block to those between blocks
SLOPE = 0.2  # of leaky ReLU
EMBEDDING = 64  # size of G's class embedding
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64.0


def normal_init(gain: float) -> nn.initializers.Initializer:
    """normal(0, gain / sqrt(fan_in))."""
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal") if gain else nn.initializers.zeros_init()


class Activation(nn.Module):
    """A bias per channel, then leaky ReLU."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[-1],))
        return nn.leaky_relu(x + bias.reshape(1, 1, 1, -1), SLOPE)


class Block(nn.Module):
    """x + conv1x1(act(conv3x3 in groups(act(conv1x1(x))))): [n, H, W, C] -> the same shape."""

    groups: int
    total: int  # blocks in the whole network, which the initial weights depend on

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inner = EXPANSION * x.shape[-1]
        init = normal_init(math.sqrt(2 / (1 + SLOPE**2)) * self.total**-0.25)
        h = Activation()(Conv(inner, (1, 1), use_bias=False, kernel_init=init)(x))
        h = Conv(inner, (3, 3), feature_group_count=self.groups, use_bias=False, kernel_init=init)(h)
        return x + Conv(x.shape[-1], (1, 1), use_bias=False, kernel_init=normal_init(0))(Activation()(h))


def upsample(x: jax.Array) -> jax.Array:
    """Upsamples each channel by 2: zeros between the pixels, then the filter times 4."""
    n, height, width, channels = x.shape
    flat = x.transpose(0, 3, 1, 2).reshape(n * channels, height, width, 1)
    kernel = jnp.asarray(4 * FILTER, x.dtype)[:, :, None, None]
    y = conv_transpose(flat, kernel, strides=(2, 2), padding=((1, 1), (1, 1)))
    return y.reshape(n, channels, 2 * height, 2 * width).transpose(0, 2, 3, 1)


def downsample(x: jax.Array) -> jax.Array:
    """Downsamples each channel by 2: the filter at every other pixel."""
    n, height, width, channels = x.shape
    flat = x.transpose(0, 3, 1, 2).reshape(n * channels, height, width, 1)
    kernel = jnp.asarray(FILTER, x.dtype)[:, :, None, None]
    y = conv(flat, kernel, strides=(2, 2), padding=((1, 1), (1, 1)))
    return y.reshape(n, channels, *y.shape[1:3]).transpose(0, 2, 3, 1)


def match_channels(x: jax.Array, channels: int) -> jax.Array:
    """A 1x1 convolution if the number of channels changes. Call it in a compact module."""
    if x.shape[-1] == channels:
        return x
    return Conv(channels, (1, 1), use_bias=False, kernel_init=normal_init(1.0))(x)


def check_stages(who: str, network, data: DataSpec | None) -> None:
    """Raises UserError if the stages of a network are incompatible with each other or with the images."""
    n = len(network.widths)
    if not len(network.blocks) == len(network.groups) == n:
        raise UserError(f"{who}.widths, {who}.blocks and {who}.groups give one number per stage each.")
    for name in ("widths", "blocks", "groups"):
        check_units(f"{who}.{name}", getattr(network, name))
    for width, groups in zip(network.widths, network.groups, strict=True):
        if EXPANSION * width % groups:
            raise UserError(f"{who}.groups={groups} does not divide {EXPANSION} * {width} channels.")
    check_images(f"{who}.name=r3gan", data)
    if data is not None and any(side != data.shape[0] or side % 2 ** (n - 1) for side in data.shape[:2]):
        raise UserError(
            f"{who}.name=r3gan with {n} stages needs square images whose side is a multiple of {2 ** (n - 1)}, not "
            f"{data.shape[0]}x{data.shape[1]}; change the number of stages, or pad the images (data.pad)."
        )


class Generator(nn.Module):
    """G(z; theta_g): z [n, d] float32 -> x [n, H, W, C] float32; an embedding of the class is concatenated to z."""

    data: DataSpec | None = None
    widths: Sequence[int] = (768, 768, 768, 768)  # channels per stage, from the lowest resolution up
    blocks: Sequence[int] = (2, 2, 2, 2)  # residual blocks per stage
    groups: Sequence[int] = (96, 96, 96, 96)  # of the 3x3 convolutions, per stage

    def check(self) -> None:
        check_stages("generator", self, self.data)

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None = None, *, axis_name: str | None = None) -> jax.Array:
        del axis_name  # no cross-example layers
        embed = Dense(EMBEDDING, use_bias=False, kernel_init=normal_init(1.0), name="embed")
        z = jnp.concatenate([z, *(embed(row) for row in one_hot(y, self.data))], axis=1)
        side = self.data.shape[0] // 2 ** (len(self.widths) - 1)
        basis = self.param("basis", nn.initializers.normal(1.0), (side, side, self.widths[0]))
        weights = Dense(self.widths[0], use_bias=False, kernel_init=normal_init(1.0), name="weights")(z)
        x = basis[None] * weights[:, None, None]
        for stage, (width, blocks, groups) in enumerate(zip(self.widths, self.blocks, self.groups, strict=True)):
            x = upsample(match_channels(x, width)) if stage else x
            for _ in range(blocks):
                x = Block(groups, sum(self.blocks))(x)
        return Conv(self.data.shape[2], (1, 1), use_bias=False, kernel_init=normal_init(1.0))(x)


class Discriminator(nn.Module):
    """D(x; theta_d): x [n, H, W, C] float32 -> logits [n] float32; classes by projection."""

    data: DataSpec | None = None
    widths: Sequence[int] = (768, 768, 768, 768)  # channels per stage, from the image down
    blocks: Sequence[int] = (2, 2, 2, 2)  # residual blocks per stage
    groups: Sequence[int] = (96, 96, 96, 96)  # of the 3x3 convolutions, per stage

    def check(self) -> None:
        check_stages("discriminator", self, self.data)

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
        x = Conv(self.widths[0], (1, 1), use_bias=False, kernel_init=normal_init(1.0))(x)
        for stage, (width, blocks, groups) in enumerate(zip(self.widths, self.blocks, self.groups, strict=True)):
            x = match_channels(downsample(x), width) if stage else x
            for _ in range(blocks):
                x = Block(groups, sum(self.blocks))(x)
        # A depthwise convolution over the whole last feature map: one weight per pixel and channel.
        fan_in = math.prod(x.shape[1:3])
        kernel = self.param("grid", nn.initializers.normal(1 / math.sqrt(fan_in)), x.shape[1:])
        h = jnp.sum(x * kernel[None], axis=(1, 2))
        if not self.data.classes:
            outputs = Dense(self.data.outputs, use_bias=False, kernel_init=normal_init(1.0))(h)
            return d_output(outputs, h if features else None, self.data)
        joined = Dense(h.shape[1], use_bias=False, kernel_init=normal_init(1.0))(h)
        gain = normal_init(1 / math.sqrt(h.shape[1]))
        table = Dense(h.shape[1], use_bias=False, kernel_init=gain, name="embed")(one_hot(y, self.data)[0])
        return DOutput(jnp.sum(joined * table, axis=1), None, h if features else None)
