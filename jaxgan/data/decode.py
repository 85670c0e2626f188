"""Decodes stored uint8 examples to the float32 range the networks use, and encodes samples back."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from jaxgan.arrays import AnyArray


def decode(x: AnyArray, gcn: float, low: float = 0.0) -> AnyArray:
    """Decodes pixels to [low, 1], or to images with global contrast normalization (GCN).

    GCN is that of the 2014 code (pylearn2 `global_contrast_normalize`): the mean over all pixels and channels of an
    image is subtracted, and the result scaled to the L2 norm `gcn` (55 for the paper's CIFAR-10). An image with a norm
    below 1e-8 becomes 0.

    Args:
      x: [n, H, W, C] uint8; float32 of any shape is returned unchanged.
      gcn: the L2 norm of every image with GCN; 0 = no GCN.
      low: the value of black without GCN, 0 or -1.

    Returns:
      float32 of the same shape.
    """
    if x.dtype == jnp.float32:
        return x
    if gcn == 0:
        pixels = x.astype(jnp.float32) / 255
        return pixels if low == 0 else pixels * (1 - low) + low
    pixels = x.astype(jnp.float32)
    # The shift makes a constant image exactly 0 despite rounding of its mean; the result is the same otherwise.
    pixels = pixels - pixels[:, :1, :1, :1]
    pixels = pixels - jnp.mean(pixels, axis=(1, 2, 3), keepdims=True)
    norm = jnp.sqrt(jnp.sum(pixels**2, axis=(1, 2, 3), keepdims=True))
    return pixels * (gcn / jnp.where(norm < 1e-8, 1, norm))


def encode(x: np.ndarray, gcn: float, low: float = 0.0) -> np.ndarray:
    """Converts decoded images to pixels for display; inverts `decode` unless GCN is used.

    GCN discards an image's mean and norm: +-2.5 standard deviations are mapped to the full range.

    Args:
      x: [n, H, W, C] float32 in the range of `decode`.

    Returns:
      uint8 of the same shape.
    """
    if gcn != 0:
        std = gcn / math.sqrt(math.prod(x.shape[1:]))
        x = 0.5 + x / (5 * std)
    elif low != 0:
        x = (x - low) / (1 - low)
    return np.round(255 * np.clip(x, 0, 1)).astype(np.uint8)
