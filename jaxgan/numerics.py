"""JAX's global settings that random numbers and dtypes depend on, held at their defaults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from jaxgan.errors import UserError


@contextmanager
def pinned() -> Iterator[None]:
    """Computes in this block, and in this thread alone, as JAX does by default, whatever a program has set.

    `jax_enable_x64`, `jax_threefry_partitionable` and `jax_default_prng_impl` change which random numbers a key gives,
    or their dtype: with others than at its beginning a run would resume differently, and G would draw from another z.
    Also a decorator: `@pinned()`.

    Raises:
      UserError: `jax_random_seed_offset` is not 0; it can't be set for a block.
    """
    if offset := jax.config.jax_random_seed_offset:  # type: ignore[attr-defined]
        raise UserError(
            f"jax_random_seed_offset={offset} changes every random number; set it to 0, and set --config.seed instead."
        )
    with jax.enable_x64(False), jax.threefry_partitionable(True), jax.default_prng_impl("threefry2x32"):
        yield
