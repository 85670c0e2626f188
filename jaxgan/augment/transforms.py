"""The other transforms of StyleGAN2-ADA (arXiv:2006.06676) of one image [H, W, C], with values around [-1, 1].

Each is applied with probability p, a scalar float32 of 0 or more, and else leaves the image as it is.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgan.augment.protocol import uniform

SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # expected share of an image's power in each band of `filter_bank`


def bernoulli(key: Array, p: Array) -> Array:
    return jax.random.uniform(key) < p


def reflect(index: np.ndarray, size: int) -> np.ndarray:
    """Indices of the pixels that reflected borders show, however far; the pixel at the border is not repeated."""
    index = np.abs(index) % max(2 * (size - 1), 1)
    return np.minimum(index, 2 * (size - 1) - index)


class Moves(NamedTuple):
    """Pixel blitting of one image, in the order in which its parts act."""

    mirrored: Array  # bool
    turns: Array  # int32, quarter turns counterclockwise
    shift: Array  # [2] int32: down, right, in pixels


def sample_moves(key: Array, p: Array, shape: tuple[int, ...]) -> Moves:
    """A mirror image (a fair coin, with probability p), quarter turns, shifts of up to an eighth of each side."""
    keys = jax.random.split(key, 7)
    mirrored = bernoulli(keys[0], p) & bernoulli(keys[1], jnp.asarray(0.5))
    turns = jnp.where(bernoulli(keys[2], p), jax.random.randint(keys[3], (), 0, 4), 0)
    shifted = bernoulli(keys[4], p)
    shifts = [
        jnp.where(shifted, jnp.round(uniform(k, -0.125, 0.125) * side), 0.0).astype(jnp.int32)
        for k, side in zip(keys[5:], shape, strict=False)
    ]
    return Moves(mirrored, turns, jnp.stack(shifts))


def blit(image: Array, key: Array, p: Array) -> Array:
    """A mirror image, quarter turns and a shift, as an exact map of pixels with reflected borders; H = W."""
    moves = sample_moves(key, p, image.shape)
    image = jnp.where(moves.mirrored, image[:, ::-1], image)
    image = jax.lax.select_n(moves.turns, *(jnp.rot90(image, k) for k in range(4)))
    for axis, shift in enumerate(moves.shift):
        side = image.shape[axis]
        at = jnp.abs(jnp.arange(side) - shift)  # reflected at the first pixel, then at the last
        image = jnp.take(image, jnp.where(at >= side, 2 * (side - 1) - at, at), axis=axis)
    return image


def color(image: Array, key: Array, p: Array) -> Array:
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


def filter_image(image: Array, key: Array, p: Array) -> Array:
    """Amplifies each of four bands of frequencies, with probability p by 2^N(0, 1), and normalizes the power."""
    decisions, normals = (jax.random.split(k, len(POWER)) for k in jax.random.split(key))
    amplify = jax.vmap(lambda decision, k: jnp.where(bernoulli(decision, p), jnp.exp2(jax.random.normal(k)), 1.0))
    gains = band_gains(amplify(decisions, normals)).astype(image.dtype)
    rows, columns = (jnp.tensordot(gains, jnp.asarray(band_matrices(side), image.dtype), 1, precision="highest")
                     for side in image.shape[:2])  # fmt: skip
    return jnp.einsum("ih,hwc,jw->ijc", rows, image, columns, precision="highest")


def band_gains(amplification: Array) -> Array:
    """[4] gains of all bands: the product over bands of the amplification of each alone, with the power normalized."""
    alone = jnp.ones((len(POWER), len(POWER))) + jnp.diag(amplification - 1)
    power = jnp.sum(jnp.asarray(POWER)[None] * jnp.square(alone), axis=1, keepdims=True)
    return jnp.prod(alone * jax.lax.rsqrt(power), axis=0)


@functools.cache
def filter_bank() -> np.ndarray:
    """[4, 43] float64: symmetric band-pass filters of an octave each, from low to high, whose sum is the identity."""
    low = np.array(SYM2)
    high = low * (-1) ** np.arange(len(low))
    low, high = (np.convolve(taps, taps[::-1]) / 2 for taps in (low, high))
    bank = np.eye(len(POWER), 1)
    for band in range(1, len(bank)):
        spread = np.zeros((len(bank), 2 * bank.shape[1] - 1))
        spread[:, ::2] = bank
        bank = np.stack([np.convolve(taps, low) for taps in spread])
        start = (bank.shape[1] - len(high)) // 2
        bank[band, start : start + len(high)] += high
    return bank


@functools.cache
def band_matrices(size: int) -> np.ndarray:
    """The filters of `filter_bank` along an axis with reflected borders: [4, size, size] float64."""
    bank = filter_bank()
    matrices = np.zeros((len(bank), size, size))
    for k in range(bank.shape[1]):
        source = reflect(np.arange(size) + k - bank.shape[1] // 2, size)
        matrices[:, np.arange(size), source] += bank[:, k, None]
    return matrices


def noise(image: Array, key: Array, p: Array) -> Array:
    """Adds Gaussian noise, whose standard deviation is .1 |N(0, 1)|."""
    decision, deviation, values = jax.random.split(key, 3)
    deviation = jnp.where(bernoulli(decision, p), 0.1 * jnp.abs(jax.random.normal(deviation)), 0.0)
    return image + deviation.astype(image.dtype) * jax.random.normal(values, image.shape, image.dtype)


def cutout(image: Array, key: Array, p: Array) -> Array:
    """Sets a rectangle of half of each side, centred anywhere in the image, to 0."""
    decision, *centres = jax.random.split(key, 3)
    near = []
    for side, k in zip(image.shape, centres, strict=False):
        near.append(jnp.abs((jnp.arange(side, dtype=jnp.float32) + 0.5) / side - jax.random.uniform(k)) < 0.25)
    hole = near[0][:, None] & near[1][None] & bernoulli(decision, p)
    return jnp.where(hole[..., None], 0.0, image)
