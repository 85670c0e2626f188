"""What every augmentation has: a state, and its effect on a minibatch with a key per example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from jaxgan.errors import UserError
from jaxgan.networks.layers import DataSpec, check_images


@dataclass(frozen=True)
class NoAugment:
    """No augmentation; the base class of the others."""

    data: DataSpec | None = None

    def init(self) -> Any:
        return ()

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        """x: [n, *shape] float32; keys: [n] typed PRNG keys, one per example; state: of `init` or `update`."""
        return x

    def update(self, state: Any, real_logits: jax.Array) -> Any:
        """The state after an update of D. real_logits: [m] float32 of the global minibatch."""
        return state


def uniform(key: jax.Array, low: float, high: float) -> jax.Array:
    return jax.random.uniform(key, minval=low, maxval=high)


def in_unit_range(x: jax.Array, data: DataSpec, change: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """`change` of the images, which are mapped from their range to [-1, 1] and back."""
    assert data.bounds is not None  # `check_bounded_images`
    low, high = data.bounds
    half = (high - low) / 2
    return (change((x - low) / half - 1) + 1) * half + low


def check_bounded_images(name: str, data: DataSpec | None) -> None:
    check_images(f"augment.name={name}", data)
    if data is not None and data.bounds is None:
        raise UserError(f"augment.name={name} is for images in a known range; set data.gcn=0, or augment.name=flip.")
