"""DiffAugment (arXiv:2006.10738): color, translation, cutout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxgan.augment.protocol import NoAugment, check_bounded_images, in_unit_range, uniform
from jaxgan.networks.layers import check_one_of

PARTS = ("color", "translation", "cutout")


@dataclass(frozen=True)
class DiffAugment(NoAugment):
    """DiffAugment (arXiv:2006.10738), each part once per image, in the order given."""

    policy: Sequence[str] = PARTS  # of color, translation, cutout

    def check(self) -> None:
        for part in self.policy:
            check_one_of("augment.policy", part, PARTS)
        check_bounded_images("diffaugment", self.data)

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        parts = {"color": _color, "translation": _translate, "cutout": _cutout}

        def change(image: jax.Array, key: jax.Array) -> jax.Array:
            for i, part in enumerate(self.policy):
                image = parts[part](image, jax.random.fold_in(key, i))
            return image

        return in_unit_range(x, self.data, lambda images: jax.vmap(change)(images, keys))


def _color(image: jax.Array, key: jax.Array) -> jax.Array:
    """Brightness, then saturation, then contrast. [H, W, C] in [-1, 1]; the result may leave that range."""
    brightness, saturation, contrast = jax.random.split(key, 3)
    image = image + uniform(brightness, -0.5, 0.5)
    grey = jnp.mean(image, axis=2, keepdims=True)
    image = (image - grey) * uniform(saturation, 0.0, 2.0) + grey
    mean = jnp.mean(image)
    return (image - mean) * uniform(contrast, 0.5, 1.5) + mean


def _translate(image: jax.Array, key: jax.Array) -> jax.Array:
    """Shifts by up to an eighth of each side, padding with zeros (mid-grey)."""
    margins = [int(side / 8 + 0.5) for side in image.shape[:2]]
    padded = jnp.pad(image, [*((m, m) for m in margins), (0, 0)])
    starts = [jax.random.randint(k, (), 0, 2 * m + 1) for k, m in zip(jax.random.split(key), margins, strict=True)]
    return jax.lax.dynamic_slice(padded, (*starts, 0), image.shape)


def _cutout(image: jax.Array, key: jax.Array) -> jax.Array:
    """Zeros a rectangle of half the height and width, centred anywhere in the image."""
    keep = []
    for axis, k in enumerate(jax.random.split(key)):
        side = image.shape[axis]
        size = int(side / 2 + 0.5)
        start = jax.random.randint(k, (), 0, side + (1 - size % 2)) - size // 2
        at = jnp.arange(side)
        keep.append((at < start) | (at >= start + size))
    return jnp.where((keep[0][:, None] | keep[1][None])[..., None], image, 0.0)
