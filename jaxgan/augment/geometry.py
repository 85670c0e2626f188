"""The geometric transforms of StyleGAN2-ADA (arXiv:2006.06676): one affine map per image, between wavelet filters.

The map is given by its inverse, a matrix [3, 3] from the pixels of the result to those of the image, in homogeneous
coordinates (x to the right, y down, in pixels from the centre of the image). `resample` is linear in the image and
treats each image on its own: it reflects the image at its borders by a whole image less a pixel (the authors reflect by
as much as the minibatch needs, at most that; beyond it both show zeros), so that shapes are static and the result
depends neither on the minibatch nor on how it is sharded.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgan.augment.transforms import Moves, reflect

SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
MARGIN = len(SYM6) // 2  # pixels around the result at which the image is sampled, for the downsampling filter
PIXELS_AT_ONCE = 2**14  # of the minibatch: larger parts leave a CPU's cache, smaller ones leave a GPU idle


class Affine(NamedTuple):
    """Parameters of the general geometric transforms of one image, in the order in which they act on it."""

    scale: Array  # float32, of both axes
    rotation_before: Array  # float32, radians
    stretch: Array  # float32: the width times this, the height divided by it
    rotation_after: Array  # float32, radians
    shift: Array  # [2] float32: right, down, in pixels


def sample_affine(key: Array, p: Array, shape: tuple[int, ...]) -> Affine:
    """Each with probability p, else that of the identity; either rotation happens with probability p.

    Args:
      p: scalar float32, 0 or more.
      shape: [H, W, C] of the image.
    """
    decision_key, normal_key, angle_key = jax.random.split(key, 3)
    p_rotation = 1 - jnp.sqrt(jnp.clip(1 - p, 0.0, 1.0))
    happens = jax.random.uniform(decision_key, (5,)) < jnp.stack([p, p_rotation, p, p_rotation, p])
    normal = jax.random.normal(normal_key, (4,))
    angles = jnp.where(happens[1::2], jax.random.uniform(angle_key, (2,), minval=-math.pi, maxval=math.pi), 0.0)
    return Affine(
        scale=jnp.where(happens[0], jnp.exp2(0.2 * normal[0]), 1.0),
        rotation_before=angles[0],
        stretch=jnp.where(happens[2], jnp.exp2(0.2 * normal[1]), 1.0),
        rotation_after=angles[1],
        shift=jnp.where(happens[4], 0.125 * normal[2:] * jnp.asarray(shape[1::-1], normal.dtype), 0.0),
    )


def moves_inverse(moves: Moves) -> Array:
    """The inverse [3, 3] of a mirror image, quarter turns and a shift."""
    down, right = moves.shift.astype(jnp.float32)
    mirror = _scaling(jnp.where(moves.mirrored, -1.0, 1.0), jnp.ones(()))
    return compose(mirror, _rotation(math.pi / 2 * moves.turns.astype(jnp.float32)), _translation(-right, -down))


def affine_inverse(affine: Affine) -> Array:
    """The inverse [3, 3] of the general geometric transforms."""
    return compose(
        _scaling(1 / affine.scale, 1 / affine.scale),
        _rotation(affine.rotation_before),
        _scaling(1 / affine.stretch, affine.stretch),
        _rotation(affine.rotation_after),
        _translation(*-affine.shift),
    )


def compose(*matrices: Array) -> Array:
    """The product of matrices [3, 3]: of inverses in the order in which the maps act on an image."""
    return functools.reduce(functools.partial(jnp.matmul, precision="highest"), matrices)


def _scaling(x: Array, y: Array) -> Array:
    return jnp.diag(jnp.stack([x, y, jnp.ones_like(x)]))


def _rotation(angle: Array) -> Array:
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    zero, one = jnp.zeros_like(cos), jnp.ones_like(cos)
    return jnp.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one]).reshape(3, 3)


def _translation(x: Array, y: Array) -> Array:
    return jnp.eye(3, dtype=x.dtype).at[:2, 2].set(jnp.stack([x, y]))


def resample(images: Array, inverses: Array) -> Array:
    """Images under affine maps: doubled by SYM6, interpolated linearly at twice the resolution, halved by SYM6.

    Args:
      images: [n, H, W, C] float, 0 beyond the reflected borders.
      inverses: [n, 3, 3] float.

    Returns:
      [n, H, W, C]. The identity and shifts by whole pixels are exact up to rounding; mirror images and quarter turns
      are not, since SYM6 is not symmetric.
    """
    one = jax.checkpoint(_resample_one, prevent_cse=False)  # in the backward pass positions are computed again
    at_once = max(1, PIXELS_AT_ONCE // (images.shape[1] * images.shape[2]))
    return jax.lax.map(lambda pair: one(*pair), (images, inverses), batch_size=at_once)


def _resample_one(image: Array, inverse: Array) -> Array:
    height, width, _ = image.shape
    double = [jnp.asarray(upsampling_matrix(side), image.dtype) for side in (height, width)]
    halve = [jnp.asarray(downsampling_matrix(side), image.dtype) for side in (height, width)]
    large = jnp.einsum("ih,hwc,jw->ijc", double[0], image, double[1], precision="highest")
    samples = _interpolate(large, *_positions(inverse, height, width))
    return jnp.einsum("hi,ijc,wj->hwc", halve[0], samples, halve[1], precision="highest")


def _positions(inverse: Array, height: int, width: int) -> tuple[Array, Array]:
    """Rows and columns, [2 (H + 12), 2 (W + 12)] float, of the doubled image at which it is sampled."""
    y, x = (jnp.arange(2 * (side + MARGIN), dtype=inverse.dtype) - (side + MARGIN - 1) for side in (height, width))
    rows, columns = (inverse[i, 0] * x[None] + inverse[i, 1] * y[:, None] + 2 * inverse[i, 2] for i in (1, 0))
    return rows + (3 * height - 3), columns + (3 * width - 3)


def _interpolate(image: Array, rows: Array, columns: Array) -> Array:
    """Bilinear samples of an image whose first and last row and column are those outside of it."""
    limits = image.shape[0] - 1, image.shape[1] - 1
    low = [jnp.floor(position) for position in (rows, columns)]
    share_y, share_x = ((position - floor)[..., None] for position, floor in zip((rows, columns), low, strict=True))
    i, j = (floor.astype(jnp.int32) + 1 for floor in low)

    def at(down: int, right: int) -> Array:
        places = jnp.clip(i + down, 0, limits[0]), jnp.clip(j + right, 0, limits[1])
        return image.at[places].get(mode="promise_in_bounds")

    upper = (1 - share_x) * at(0, 0) + share_x * at(0, 1)
    lower = (1 - share_x) * at(1, 0) + share_x * at(1, 1)
    return (1 - share_y) * upper + share_y * lower


@functools.cache
def upsampling_matrix(size: int) -> np.ndarray:
    """Reflects `size` pixels to 3 size - 2 and doubles their number: [2 (3 size - 2) + 2, size] float64, zeros outside.

    Zeros between the pixels, convolved with SYM6 of sum 2.
    """
    taps = 2 * np.array(SYM6) / np.sum(SYM6)
    padded = 3 * size - 2
    matrix = np.zeros((2 * padded + 2, size))
    source = reflect(np.arange(padded) - (size - 1), size)
    for k, tap in enumerate(taps):
        rows = 2 * np.arange(padded) + k - 5
        inside = (rows >= 0) & (rows < 2 * padded)
        np.add.at(matrix, (rows[inside] + 1, source[inside]), tap)
    return matrix


@functools.cache
def downsampling_matrix(size: int) -> np.ndarray:
    """Halves 2 (size + 6) samples and drops the margins: [size, 2 (size + 6)] float64, a correlation with SYM6."""
    taps = np.array(SYM6) / np.sum(SYM6)
    matrix = np.zeros((size, 2 * (size + MARGIN)))
    for i in range(size):
        matrix[i, 2 * i + 1 : 2 * i + 1 + len(taps)] = taps
    return matrix
