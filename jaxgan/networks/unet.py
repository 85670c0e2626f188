"""U-Net (arXiv:1505.04597) as G of an image given another, as in pix2pix (arXiv:1611.07004); G only.

An encoder of strided convolutions and a decoder of transposed ones, in which each layer of the decoder also gets the
output of the encoder's layer of its size. Each level halves the sides, rounded up; excess rows and columns of the
decoder are cropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import UserError
from jaxgan.fields import above, one_of
from jaxgan.networks.convolution import Conv, ConvTranspose
from jaxgan.networks.layers import (
    ACTIVATIONS,
    DataSpec,
    check_images,
    check_output,
    check_units,
    on_grid,
    one_hot,
)
from jaxgan.networks.spectral import Dense


class Generator(nn.Module):
    """G(z, c; theta_g): z [n, d] float32 concatenated with the condition -> x [n, H, W, C] float32.

    Images and masks of the condition are channels of the encoder's input; vectors and one-hot labels are joined to z.
    """

    data: DataSpec | None = None
    widths: Sequence[int] = (32, 64, 128)  # channels of each level of the encoder
    kernel: Annotated[int, above(0)] = 4  # pixels
    # normalization of all layers but the outermost and the encoder's last: layer (over the pixels and channels of an
    # example) | none
    norm: Annotated[str, one_of("layer", "none")] = "layer"
    # where z enters: as maps at the bottleneck, by a linear layer | as constant channels of the encoder's input
    noise: Annotated[str, one_of("bottleneck", "input")] = "bottleneck"
    deviation: float = 0.02  # standard deviation of the initial weights, which are normal
    output: str = "sigmoid"  # activation of the last layer: sigmoid | tanh | linear

    def check(self) -> None:
        check_units("generator.widths", self.widths)
        check_output(self.output, self.data)
        check_images("generator.name=unet", self.data)
        if self.data is not None and self.noise == "bottleneck" and not any(len(s) == 3 for s in self.data.given):
            raise UserError(
                "generator.name=unet encodes the image or the mask of a condition, and the players have none; set "
                "condition.name, such as low_resolution, or generator.noise=input."
            )

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None = None, *, axis_name: str | None = None) -> jax.Array:
        del axis_name  # no cross-example layers
        height, width, channels = self.data.shape
        init = nn.initializers.normal(self.deviation)
        z, *leaves = split_rows(z, self.data.given)
        maps = [on_grid(leaf, (height, width)) for leaf in leaves if leaf.ndim == 4]
        z = jnp.concatenate([z, *(leaf for leaf in leaves if leaf.ndim == 2), *one_hot(y, self.data)], axis=1)
        maps += [on_grid(z, (height, width))] if self.noise == "input" else []
        h = jnp.concatenate(maps, axis=-1)
        skips = []
        for i, features in enumerate(self.widths):
            plain = self.norm == "none" or i in (0, len(self.widths) - 1)
            h = Conv(features, (self.kernel,) * 2, (2, 2), use_bias=plain, kernel_init=init)(h)
            h = h if plain else layer_norm()(h)
            skips.append(h)
            h = nn.leaky_relu(h, 0.2)
        h = skips.pop()
        if self.noise == "bottleneck":
            h = jnp.concatenate([h, Dense(math.prod(h.shape[1:]), kernel_init=init)(z).reshape(h.shape)], axis=-1)
        while skips:
            skip, plain = skips.pop(), self.norm == "none"
            deconv = ConvTranspose(skip.shape[-1], (self.kernel,) * 2, (2, 2), use_bias=plain, kernel_init=init)
            h = deconv(nn.relu(h))[:, : skip.shape[1], : skip.shape[2]]
            h = jnp.concatenate([h if plain else layer_norm()(h), skip], axis=-1)
        h = ConvTranspose(channels, (self.kernel,) * 2, (2, 2), kernel_init=init)(nn.relu(h))
        return ACTIVATIONS[self.output](h[:, :height, :width])


def layer_norm() -> nn.LayerNorm:
    """Normalizes over the pixels and channels of an example, with a scale and a bias per channel."""
    return nn.LayerNorm(reduction_axes=(1, 2, 3), feature_axes=-1)


def split_rows(rows: jax.Array, shapes: Sequence[tuple[int, ...]]) -> list[jax.Array]:
    """Undoes the joining of z and the leaves of a condition: [n, d + entries] -> z [n, d] and each leaf [n, *shape]."""
    sizes = [math.prod(shape) for shape in shapes]
    places = [rows.shape[1] - sum(sizes[i:]) for i in range(len(sizes))]
    z, *leaves = jnp.split(rows, places, axis=1)
    return [z, *(leaf.reshape(-1, *shape) for leaf, shape in zip(leaves, shapes, strict=True))]
