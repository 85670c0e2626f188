"""Pixels as features: the simplest space, and the only one that needs neither labels nor weights."""

from __future__ import annotations

import math

import numpy as np
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.features.protocol import Space, SpaceType


def features(images: ArrayLike) -> np.ndarray:
    """[n, ...] numbers -> [n, d] float32, as they are.

    Raises:
      UserError: no rows of numbers.
    """
    images = np.asarray(images, np.float32)
    if images.ndim < 2:
        raise UserError(f"images of shape {images.shape} are not rows of numbers; give [n, ...].")
    return images.reshape(len(images), -1)


def clipped(x: np.ndarray) -> np.ndarray:
    """Pixels as a file would hold them: [0, 1].

    Raises:
      UserError: numbers that are not finite.
    """
    if not np.all(np.isfinite(x)):
        raise UserError(f"{np.sum(~np.isfinite(x))} of {x.size} pixels are not finite; they have no features.")
    return np.clip(x, 0, 1)


def to_bytes(x: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8: 255 x + 1/2 truncated, which for images in [-1, 1] is the field's 127.5 x + 128.

    Raises:
      UserError: numbers that are not finite.
    """
    return (255 * clipped(x).astype(np.float64) + 0.5).astype(np.uint8)


SPACE = SpaceType(
    load=lambda argument, dataset: Space("pixels", lambda x: (features(x), None), {"name": "pixels"}),
    dimensions=lambda dataset: math.prod(dataset.shape),
)
