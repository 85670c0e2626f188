"""Checks of the numbers and arrays that users pass to a trained GAN."""

from __future__ import annotations

import operator
from typing import Any

import jax
import numpy as np

from jaxgan.errors import UserError
from jaxgan.game.state import stream


def user_stream(n: int, seed: int) -> jax.Array:
    """The PRNG key of a user's samples; raises UserError unless n and seed are valid whole numbers."""
    try:
        n, seed = operator.index(n), operator.index(seed)
    except TypeError:
        raise UserError(f"samples take whole numbers n and seed, not n={n!r}, seed={seed!r}.") from None
    if n < 1 or not 0 <= seed < 2**32:
        raise UserError(f"samples take n of 1 or more and a seed from 0 to 2**32 - 1, not n={n}, seed={seed}.")
    return stream(seed, "user")


def finite_array(values: Any, name: str) -> np.ndarray:
    """`values` as an array of their own dtype; raises UserError unless all are real and finite in float32."""
    try:
        array = np.asarray(values)
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32, casting="same_kind"))
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} must be an array of numbers ({error}).") from None
    if not array.size:
        raise UserError(f"{name} of shape {array.shape} is empty; pass at least one example.")
    if not finite.all():
        raise UserError(f"{np.sum(~finite)} of the {finite.size} numbers of {name} are not finite in float32.")
    return array
