"""bfloat16 products of float32 arrays: operands and results are rounded where they are used, all else is float32.

Large convolutions and hidden linear layers multiply in bfloat16. Parameters, normalizations, activations, logits,
losses, penalties and statistics stay float32, and so do gradients, since the transpose of a cast is a cast.
Convolutions of small grids and D's last layer are float32 throughout.

XLA may keep more digits than a bfloat16 has inside of a fusion (`xla_allow_excess_precision`), which would make results
depend on what is fused. Explicit roundings, which it may not drop, prevent that without a flag.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Precision(NamedTuple):
    """The precision of a network's matrix products."""

    name: str | None  # of `jax.default_matmul_precision`; None for JAX's default
    float32_grid: float = math.inf  # convolutions of larger grids, and hidden linear layers, are bfloat16


_float32_grid = ContextVar("float32_grid", default=math.inf)


@contextmanager
def bfloat16_above(grid: float) -> Iterator[None]:
    """Has `product` take bfloat16 operands in this block, except on grids of at most `grid` rows or columns."""
    token = _float32_grid.set(grid)
    try:
        yield
    finally:
        _float32_grid.reset(token)


def product(
    multiply: Callable[[jax.Array, jax.Array], jax.Array], a: jax.Array, b: jax.Array, grid: float = math.inf
) -> jax.Array:
    """multiply(a, b), bilinear and in the dtype of its arguments, with bfloat16 arguments inside `bfloat16_above`.

    Args:
      a, b: float32.
      grid: the smallest side of the images or features that it multiplies; infinite if there is none.

    Returns:
      float32.
    """
    if grid <= _float32_grid.get():
        return multiply(a, b)
    return _rounded(multiply(_rounded(a).astype(jnp.bfloat16), _rounded(b).astype(jnp.bfloat16)).astype(jnp.float32))


def dot_general(
    a: jax.Array, b: jax.Array, dimension_numbers: lax.DotDimensionNumbers, precision: lax.PrecisionLike = None
) -> jax.Array:
    """`lax.dot_general` by `product`, as Flax's Dense takes it."""
    return product(lambda a, b: lax.dot_general(a, b, dimension_numbers, precision=precision), a, b)


def _rounded(x: jax.Array) -> jax.Array:
    """Rounds float32 to the digits of a bfloat16."""
    return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
