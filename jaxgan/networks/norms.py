"""Normalizations. Statistics of a minibatch are those of the global minibatch, on any number of devices."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

STATISTICS = "batch_stats"  # the Flax collection of running means and variances
MOMENTUM = 0.9  # decay of the running statistics (momentum .1 in PyTorch's convention)


class BatchNorm(nn.Module):
    """Batch normalization over all axes but the last (arXiv:1502.03167).

    In training (mutable `batch_stats`) it normalizes by the minibatch's statistics and updates the running ones;
    otherwise by the running ones. Both use the biased variance (divisor n).
    """

    eps: float = 1e-5
    scale_init: nn.initializers.Initializer = nn.initializers.ones_init()
    classes: int = 0  # above 0: a scale and a bias per class (conditional batch norm, arXiv:1610.07629)

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None = None, axis_name: str | None = None) -> jax.Array:
        """x: [n, ..., C] float32; y: [n] int32 classes; axis_name: the axis that the minibatch is sharded over."""
        channels = x.shape[-1]
        running_mean = self.variable(STATISTICS, "mean", jnp.zeros, (channels,))
        running_variance = self.variable(STATISTICS, "variance", jnp.ones, (channels,))
        shape = (self.classes, channels) if self.classes else (channels,)
        scale = self.param("scale", self.scale_init, shape)
        bias = self.param("bias", nn.initializers.zeros_init(), shape)
        if self.is_mutable_collection(STATISTICS):
            mean, variance = moments(x, axis_name)
            if not self.is_initializing():
                running_mean.value = MOMENTUM * running_mean.value + (1 - MOMENTUM) * mean
                running_variance.value = MOMENTUM * running_variance.value + (1 - MOMENTUM) * variance
        else:
            mean, variance = running_mean.value, running_variance.value
        scale, bias = (scale[y], bias[y]) if self.classes else (scale[None], bias[None])  # [n or 1, C]
        factor = scale * jax.lax.rsqrt(variance + self.eps)[None]
        shift = bias - mean[None] * factor
        return x * _broadcast_to(factor, x) + _broadcast_to(shift, x)


def _broadcast_to(a: jax.Array, x: jax.Array) -> jax.Array:
    """[n or 1, C] -> [n or 1, 1, ..., 1, C], to broadcast against x [n, ..., C]."""
    return a.reshape(a.shape[0], *(1,) * (x.ndim - 2), a.shape[1])


def moments(x: jax.Array, axis_name: str | None) -> tuple[jax.Array, jax.Array]:
    """Mean and variance per channel over the global minibatch: [n, ..., C] -> [C], [C]."""
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(x, axes)
    mean = mean if axis_name is None else jax.lax.pmean(mean, axis_name)
    variance = jnp.mean(jnp.square(x - mean.reshape((1,) * (x.ndim - 1) + (-1,))), axes)
    return mean, variance if axis_name is None else jax.lax.pmean(variance, axis_name)
