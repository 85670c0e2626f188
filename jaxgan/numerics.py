"""Pins the global JAX settings that affect random numbers and dtypes to their defaults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from jaxgan.errors import UserError


@contextmanager
def pinned() -> Iterator[None]:
    """Uses JAX's defaults in this block and thread, whatever the program has set. Also a decorator: `@pinned()`.

    `jax_enable_x64`, `jax_threefry_partitionable` and `jax_default_prng_impl` change the random numbers of a key or
    their dtype: a run resumed under other settings would continue differently, and G would sample from other z.

    Raises:
      UserError: `jax_random_seed_offset` is not 0; JAX cannot set it per block.
    """
    if offset := jax.config.jax_random_seed_offset:  # type: ignore[attr-defined]
        raise UserError(
            f"jax_random_seed_offset={offset} changes every random number; set it to 0, and set --config.seed instead."
        )
    with jax.enable_x64(False), jax.threefry_partitionable(True), jax.default_prng_impl("threefry2x32"):
        yield
