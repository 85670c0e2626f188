"""Pixels as features: the simplest space, and the only one without labels or weights."""

from __future__ import annotations

import numpy as np
from jax.typing import ArrayLike

from jaxgan.errors import UserError


def features(images: ArrayLike) -> np.ndarray:
    """[n, ...] numbers -> [n, d] float32, flattened.

    Raises:
      UserError: fewer than two dimensions.
    """
    images = np.asarray(images, np.float32)
    if images.ndim < 2:
        raise UserError(f"images of shape {images.shape} are not a batch; pass [n, ...].")
    return images.reshape(len(images), -1)
