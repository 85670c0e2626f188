"""Spectral normalization (arXiv:1802.05957): a kernel divided by an estimate of its largest singular value.

A kernel counts as the matrix [inputs, units]. The estimate is a power iteration whose vector is state, in the Flax
collection `spectral`: it moves once per update of its player, in the pass in which the collection is mutable, and never
in the other player's step or in a penalty. Gradients flow through the kernel, not through the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def kernels(params: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Every kernel of a network as its layer uses it, as a matrix [inputs, units], by the path of the layer.

    A kernel that is spectrally normalized is divided by its estimate. Of a transposed convolution, whose kernel has its
    inputs last, it is the transpose; of a convolution in groups, that of all groups side by side.

    Args:
      params: of the network.
      stats: its statistics, the collection `spectral` among them where it has one.
    """
    found = {}
    vectors = _leaves(stats.get(SPECTRAL, {}))
    for path, kernel in _leaves(params).items():
        layer, _, name = path.rpartition(".")
        if not name.endswith("kernel"):
            continue
        matrix = kernel.reshape(-1, kernel.shape[-1])
        if (u := vectors.get(f"{layer}.u")) is not None:
            matrix = matrix / jnp.maximum(_unit(matrix @ u) @ matrix @ u, EPSILON)
        found[layer] = matrix
    return found


def _leaves(tree: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The arrays of nested dictionaries by their keys, joined by dots."""
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join(str(key.key) for key in path): leaf for path, leaf in flat}


def _unit(x: jax.Array) -> jax.Array:
    return x / (jnp.linalg.norm(x) + EPSILON)


class Dense(nn.Module):
    """A linear layer: parameters `kernel` [inputs, features] and `bias` [features]."""

    features: int
    use_bias: bool = True
    spectral: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, inputs] float32 -> [n, features]."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = x @ (normalized(self, kernel) if self.spectral else kernel)
        if not self.use_bias:
            return y
        return y + self.param("bias", self.bias_init, (self.features,))[None]
