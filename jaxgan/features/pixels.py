"""Pixels as features: the simplest space, and the only one without labels or weights."""

from __future__ import annotations

import math

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.features.protocol import FeatureSpace, SpaceType


def features(images: AnyArray) -> np.ndarray:
    """[n, ...] numbers -> [n, d] float32, flattened.

    Raises:
      UserError: fewer than two dimensions.
    """
    images = np.asarray(images, np.float32)
    if images.ndim < 2:
        raise UserError(f"images of shape {images.shape} are not a batch; pass [n, ...].")
    return images.reshape(len(images), -1)


def clip_pixels(x: np.ndarray) -> np.ndarray:
    """Clips pixels to [0, 1], the range of image files.

    Raises:
      UserError: values that are not finite.
    """
    if not np.all(np.isfinite(x)):
        raise UserError(f"{np.sum(~np.isfinite(x))} of {x.size} pixels are not finite; they have no features.")
    return np.clip(x, 0, 1)


def to_bytes(x: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8, as 255 x + 1/2 truncated: for images in [-1, 1] this is the usual 127.5 x + 128.

    Raises:
      UserError: values that are not finite.
    """
    return (255 * clip_pixels(x).astype(np.float64) + 0.5).astype(np.uint8)


SPACE = SpaceType(
    load=lambda argument, dataset: FeatureSpace("pixels", lambda x: (features(x), None), {"name": "pixels"}),
    dimensions=lambda dataset: math.prod(dataset.shape),
)
