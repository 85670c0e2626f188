"""Spectral normalization (arXiv:1802.05957): divides a kernel by an estimate of its largest singular value.

A kernel is viewed as a matrix [inputs, units]. The estimate comes from power iteration, whose vector is stored in the
Flax collection `spectral`. It is updated once per update of its player, in the forward pass in which the collection is
mutable, and never in the other player's step or in a penalty. Gradients flow through the kernel but not the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

SPECTRAL = "spectral"
EPSILON = 1e-12


def spectral_normalize(module: nn.Module, kernel: jax.Array) -> jax.Array:
    """Divides a kernel [..., units] by its spectral norm. Call it in a compact module, at most once."""
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
    """The kernels of a network as its layers use them, as matrices [inputs, units], by the path of the layer.

    Spectrally normalized kernels are divided by their estimates. The matrix of a transposed convolution, whose kernel
    has the inputs last, is the transpose; that of a grouped convolution has all groups side by side.

    Args:
      params: of the network.
      stats: its statistics, including the collection `spectral` if it has one.
    """
    matrices = {}
    vectors = _leaves(stats.get(SPECTRAL, {}))
    for path, kernel in _leaves(params).items():
        layer, _, name = path.rpartition(".")
        if not name.endswith("kernel"):
            continue
        matrix = kernel.reshape(-1, kernel.shape[-1])
        if (u := vectors.get(f"{layer}.u")) is not None:
            matrix = matrix / jnp.maximum(_unit(matrix @ u) @ matrix @ u, EPSILON)
        matrices[layer] = matrix
    return matrices


def _leaves(tree: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Flattens nested dictionaries of arrays, joining keys by dots."""
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
        y = x @ (spectral_normalize(self, kernel) if self.spectral else kernel)
        if not self.use_bias:
            return y
        return y + self.param("bias", self.bias_init, (self.features,))[None]
