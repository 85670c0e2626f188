"""TensorFlow 1's bilinear resize, which FID depends on (arXiv:2104.11222 shows by how much)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def tensorflow1_bilinear(images: jax.Array, size: tuple[int, int]) -> jax.Array:
    """tf.image.resize_bilinear with align_corners=False and no half-pixel centers, in its order of operations.

    Output i is at position i * (in / out) of the input and interpolated between the pixels floor and floor + 1 (the
    last one is repeated), first in x, then in y, without antialiasing or rounding.

    Args:
      images: [n, H, W, C] uint8, or float32 in [0, 255].
      size: height and width of the output.

    Returns:
      [n, *size, C] float32 in [0, 255], bit-identical with and without jit.
    """
    x = images.astype(jnp.float32)
    for axis, out in ((2, size[1]), (1, size[0])):
        low, high, fraction = _neighbours(x.shape[axis], out)
        left, right = jnp.take(x, low, axis=axis), jnp.take(x, high, axis=axis)
        step = (right - left) * jnp.asarray(fraction).reshape([-1 if i == axis else 1 for i in range(4)])
        # The clamp changes nothing, but keeps the compiler from fusing product and sum, which rounds differently.
        x = left + jax.lax.clamp(-255.0, step, 255.0)
    return x


def _neighbours(n: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `out` points, the indices of its two pixels among n (int32) and its distance from the first."""
    position = np.arange(out, dtype=np.float32) * np.float32(n / out)
    low = position.astype(np.int32)
    return low, np.minimum(low + 1, n - 1), position - low.astype(np.float32)
