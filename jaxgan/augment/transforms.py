"""The transforms of StyleGAN2-ADA (arXiv:2006.06676) of one image in [-1, 1], each applied with a probability p."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jaxgan.augment.protocol import uniform


def bernoulli(key: jax.Array, p: jax.Array) -> jax.Array:
    return jax.random.uniform(key) < p


def blit(image: jax.Array, key: jax.Array, p: jax.Array) -> jax.Array:
    """Mirror image (a fair coin, with probability p), quarter turns, shifts of up to an eighth of each side."""
    keys = jax.random.split(key, 7)
    image = jnp.where(bernoulli(keys[0], p) & bernoulli(keys[1], jnp.asarray(0.5)), image[:, ::-1], image)
    turns = jnp.where(bernoulli(keys[2], p), jax.random.randint(keys[3], (), 0, 4), 0)
    image = jax.lax.select_n(turns, *(jnp.rot90(image, k) for k in range(4)))
    shifted = bernoulli(keys[4], p)
    for axis, k in enumerate(keys[5:]):
        side = image.shape[axis]
        shift = jnp.where(shifted, jnp.round(uniform(k, -0.125, 0.125) * side), 0.0).astype(jnp.int32)
        at = jnp.abs(jnp.arange(side) - shift)  # reflected at the first pixel, then at the last
        image = jnp.take(image, jnp.where(at >= side, 2 * (side - 1) - at, at), axis=axis)
    return image


def color(image: jax.Array, key: jax.Array, p: jax.Array) -> jax.Array:
    """Brightness, contrast, luma flip, hue and saturation, as one affine map of the channels."""
    keys = jax.random.split(key, 10)
    normal = lambda i: jax.random.normal(keys[i])  # noqa: E731
    brightness = jnp.where(bernoulli(keys[0], p), 0.2 * normal(1), 0.0)
    contrast = jnp.where(bernoulli(keys[2], p), jnp.exp2(0.5 * normal(3)), 1.0)
    flipped = bernoulli(keys[4], p) & bernoulli(keys[5], jnp.asarray(0.5))
    luma = jnp.where(flipped, -1.0, 1.0)  # eigenvalue of the grey axis (1, 1, 1) / sqrt 3
    if image.shape[2] == 1:
        return luma * contrast * (image + brightness)
    angle = jnp.where(bernoulli(keys[6], p), uniform(keys[7], -math.pi, math.pi), 0.0)
    saturation = jnp.where(bernoulli(keys[8], p), jnp.exp2(normal(9)), 1.0)
    axis = jnp.full((3, 3), 1 / 3)
    cross = jnp.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    around = (jnp.eye(3) - axis) * jnp.cos(angle) + cross * jnp.sin(angle)  # rotates the chroma plane
    matrix = contrast * (luma * axis + saturation * around)
    return jnp.einsum("hwc,dc->hwd", image + brightness, matrix, precision="highest")
