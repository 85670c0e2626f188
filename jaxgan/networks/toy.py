"""Games of one and two parameters, whose dynamics are known in closed form: the Dirac-GAN (arXiv:1801.04406)."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.networks.layers import DataSpec, DOutput


class Generator(nn.Module):
    """G(z) = theta, a constant: z [n, d] float32 -> x [n, *shape] float32."""

    data: DataSpec | None = None
    start: float = 1.0  # initial value of every coordinate of theta

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None = None, *, axis_name: str | None = None) -> jax.Array:
        del y, axis_name
        theta = self.param("theta", nn.initializers.constant(self.start), self.data.shape)
        return jnp.broadcast_to(theta, (z.shape[0], *self.data.shape))


class Discriminator(nn.Module):
    """D(x) = <psi, x>, a linear form: x [n, *shape] float32 -> logits [n] float32."""

    data: DataSpec | None = None
    start: float = 1.0  # initial value of every coordinate of psi

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
        del y, keys, axis_name
        psi = self.param("psi", nn.initializers.constant(self.start), x.shape[1:])
        logits = jnp.sum(x * psi[None], axis=tuple(range(1, x.ndim)))
        return DOutput(logits, None, x.reshape(x.shape[0], -1) if features else None)
