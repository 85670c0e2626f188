"""From the bytes that stay on the device to the numbers that the players see."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np


def decode(x: jax.Array, gcn: float, low: float = 0.0) -> jax.Array:
    """Pixels in [low, 1], or images of equal contrast.

    Global contrast normalization is the 2014 code's (pylearn2 `global_contrast_normalize`): each image
    loses its own mean over all pixels and channels, is divided by its L2 norm and multiplied by
    `gcn` (55 for the paper's CIFAR-10). An image with a norm below 1e-8 becomes 0.

    Args:
      x: [n, H, W, C] uint8; float32 of any shape passes through.
      gcn: 0 for pixels in [low, 1], or the norm that each image gets.
      low: what black becomes, 0 or -1.

    Returns:
      float32 of the same shape.
    """
    if x.dtype == jnp.float32:
        return x
    if gcn == 0:
        pixels = x.astype(jnp.float32) / 255
        return pixels if low == 0 else pixels * (1 - low) + low
    pixels = x.astype(jnp.float32)
    # A shift changes nothing below, but a constant image is then exactly 0, however its mean rounds.
    pixels = pixels - pixels[:, :1, :1, :1]
    pixels = pixels - jnp.mean(pixels, axis=(1, 2, 3), keepdims=True)
    norm = jnp.sqrt(jnp.sum(pixels**2, axis=(1, 2, 3), keepdims=True))
    return pixels * (gcn / jnp.where(norm < 1e-8, 1, norm))


def encode(x: np.ndarray, gcn: float, low: float = 0.0) -> np.ndarray:
    """The inverse of `decode`, as far as there is one, for pictures.

    Images of equal contrast have lost their mean and norm: +-2.5 standard deviations fill the range.

    Args:
      x: [n, H, W, C] float32 in the range of G.

    Returns:
      uint8 of the same shape.
    """
    if gcn != 0:
        deviation = gcn / math.sqrt(math.prod(x.shape[1:]))
        x = 0.5 + x / (5 * deviation)
    elif low != 0:
        x = (x - low) / (1 - low)
    return np.round(255 * np.clip(x, 0, 1)).astype(np.uint8)
