"""PatchGAN (arXiv:1611.07004): a D whose output is a map of logits, one for each of the overlapping patches; D only.

The side of a patch, the receptive field of a logit, is 16, 34, 70, 142 for 1 to 4 strided layers of kernel 4.
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
from jaxgan.networks.convolution import Conv
from jaxgan.networks.dcgan import scale_init
from jaxgan.networks.layers import DataSpec, DOutput, append_label_channels, check_images, check_units
from jaxgan.networks.mixed_precision import bfloat16_above
from jaxgan.networks.norms import BatchNorm


class Discriminator(nn.Module):
    """D(x; theta_d): x [n, H, W, C] float32 -> logits of patches [n, P] float32, and their mean [n]."""

    data: DataSpec | None = None
    # output channels of the hidden convolutions: all but the last have stride 2, the last and the output have stride 1
    widths: Sequence[int] = (64, 128)
    kernel: Annotated[int, above(0)] = 4  # pixels
    # normalization of every layer but the first and the last: batch | layer | spectral (all layers) | none
    norm: Annotated[str, one_of("batch", "layer", "spectral", "none")] = "none"
    slope: float = 0.2  # of leaky ReLU
    deviation: float = 0.02  # standard deviation of the initial weights, which are normal

    def check(self) -> None:
        check_units("discriminator.widths", self.widths)
        check_images("discriminator.name=patch", self.data)
        if self.data is None:
            return
        height, width = self.data.shape[:2]
        strides = [2] * (len(self.widths) - 1) + [1, 1]
        for stride in strides:
            height, width = ((side + 2 * self.padding - self.kernel) // stride + 1 for side in (height, width))
        if min(height, width) < 1:
            raise UserError(
                f"discriminator.name=patch with {len(strides)} layers of kernel {self.kernel} leaves nothing of images "
                f"of {self.data.shape[0]}x{self.data.shape[1]} pixels; take fewer discriminator.widths."
            )

    @property
    def padding(self) -> int:
        """Zeros on every side: one for kernel 4, as published."""
        return (self.kernel - 1) // 2

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
        pads = ((self.padding,) * 2,) * 2
        h = append_label_channels(x, y, self.data)
        for i, channels in enumerate(self.widths):
            stride = (1, 1) if i == len(self.widths) - 1 else (2, 2)
            plain = i == 0 or self.norm not in ("batch", "layer")
            h = Conv(channels, (self.kernel,) * 2, stride, pads, 1, plain, spectral, kernel_init=init)(h)
            if not plain and self.norm == "batch":
                h = BatchNorm(scale_init=scale_init)(h, axis_name=axis_name)
            elif not plain:
                h = nn.LayerNorm(reduction_axes=(1, 2, 3), feature_axes=-1)(h)
            h = nn.leaky_relu(h, self.slope)
        with bfloat16_above(math.inf):  # logits are float32
            logits = Conv(1, (self.kernel,) * 2, (1, 1), pads, 1, True, spectral, kernel_init=init)(h)
        patches = logits.reshape(len(x), -1)
        hidden = h.reshape(len(x), -1) if features else None
        return DOutput(jnp.mean(patches, axis=1), features=hidden, patches=patches)
