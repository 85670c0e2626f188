"""Spectral normalization (arXiv:1802.05957): a kernel divided by an estimate of its largest singular value.

A kernel counts as the matrix [inputs, units]. The estimate is a power iteration whose vector is state, in the Flax
collection `spectral`: it moves once per update of D, in the pass in which the collection is mutable, and never in G's
step or in a penalty. Gradients flow through the kernel, not through the vectors.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

SPECTRAL = "spectral"
EPSILON = 1e-12


def normalized(module: nn.Module, kernel: jax.Array) -> jax.Array:
    """The kernel [..., units] over its spectral norm; to be called in a compact module, once per module."""
    matrix = kernel.reshape(-1, kernel.shape[-1])

    def start() -> jax.Array:
        return _unit(jax.random.normal(module.make_rng("params"), (matrix.shape[1],)))

    stored = module.variable(SPECTRAL, "u", start)
    fixed = jax.lax.stop_gradient(matrix)
    u = stored.value
    v = _unit(fixed @ u)
    if module.is_mutable_collection(SPECTRAL) and not module.is_initializing():
        u = _unit(v @ fixed)
        stored.value = u
    return kernel / jnp.maximum(v @ matrix @ u, EPSILON)


def _unit(x: jax.Array) -> jax.Array:
    return x / (jnp.linalg.norm(x) + EPSILON)


class Dense(nn.Module):
    """A linear layer: parameters `kernel` [inputs, features] and `bias` [features]."""

    features: int
    use_bias: bool = True
    spectral: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, inputs] float32 -> [n, features]."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = x @ (normalized(self, kernel) if self.spectral else kernel)
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros_init(), (self.features,))[None]
