"""A small batch-normalised pair of networks, for tests; `register()` makes it the family 'normalized'.

Layers before a norm have no bias: its gradient is 0 but for rounding, which Adam would blow up to steps of noise.
"""

from __future__ import annotations

import math

import flax.linen as nn

from jaxgan.networks import DISCRIMINATORS, GENERATORS
from jaxgan.networks.layers import DataSpec, d_output
from jaxgan.networks.norms import BatchNorm


class Generator(nn.Module):
    data: DataSpec | None = None
    width: int = 6

    @nn.compact
    def __call__(self, z, y=None, *, axis_name=None):
        h = nn.relu(BatchNorm()(nn.Dense(self.width, use_bias=False)(z), axis_name=axis_name))
        return nn.sigmoid(nn.Dense(math.prod(self.data.shape))(h)).reshape(-1, *self.data.shape)


class Discriminator(nn.Module):
    data: DataSpec | None = None
    width: int = 6

    @nn.compact
    def __call__(self, x, y=None, keys=None, *, features=False, axis_name=None):
        h = nn.Dense(self.width, use_bias=False)(x.reshape(x.shape[0], -1))
        h = nn.leaky_relu(BatchNorm()(h, axis_name=axis_name))
        return d_output(nn.Dense(1)(h), h if features else None, self.data)


NAMES = {"generator.name": "normalized", "discriminator.name": "normalized"}


def register() -> None:
    GENERATORS["normalized"], DISCRIMINATORS["normalized"] = Generator, Discriminator


def unregister() -> None:
    del GENERATORS["normalized"], DISCRIMINATORS["normalized"]
