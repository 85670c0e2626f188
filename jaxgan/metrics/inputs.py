"""Shared validation of feature arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError


def features(a: AnyArray | Sequence, name: str, min_examples: int, metric: str) -> Float[np.ndarray, "n d"]:
    """A set of features as a NumPy array, at least `min_examples` rows; [n, ...] is flattened.

    Raises:
      UserError: not an array of rows, too few, constant, or not finite.
    """
    a = np.asarray(a)
    if not np.issubdtype(a.dtype, np.floating):  # integers, and bfloat16, which NumPy doesn't count as floating
        a = a.astype(np.float32 if a.dtype.itemsize <= 2 else np.float64)
    if a.ndim < 2 or (a[:1].size == 0 and len(a)):
        raise UserError(f"{name} of shape {a.shape} are not rows of numbers; {metric} takes [n, d].")
    if len(a) < min_examples:
        raise UserError(f"{metric} needs at least {min_examples} {name}, not {len(a)}; give more.")
    a = a.reshape(len(a), -1)
    low, high = a.min(axis=0), a.max(axis=0)  # both propagate NaN
    bad = ~(np.isfinite(low) & np.isfinite(high))
    if bad.any():
        raise UserError(f"{name} are not finite in {bad.sum()} of {a.shape[1]} dimensions; {metric} can't use them.")
    if np.array_equal(low, high):
        raise UserError(f"all {len(a)} {name} are equal; {metric} can't be estimated from one point.")
    return a


def pair(
    real: AnyArray | Sequence, fake: AnyArray | Sequence, min_examples: int, metric: str
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]:
    """Real and fake features as NumPy arrays; see `features`.

    Raises:
      UserError: as `features`, or of different dimensions.
    """
    real, fake = (
        features(real, "real features", min_examples, metric),
        features(fake, "fake features", min_examples, metric),
    )
    if real.shape[1] != fake.shape[1]:
        raise UserError(
            f"real features have {real.shape[1]} dimensions and fake features {fake.shape[1]}; "
            f"{metric} needs the same features of both."
        )
    return real, fake
