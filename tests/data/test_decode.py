"""Images as the players see them: scaled, contrast-normalized, or as they are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data.decode import decode, encode
from tests.helpers.image_files import random_images


def test_pixels_are_scaled_to_the_unit_interval():
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    y = jax.jit(decode, static_argnums=1)(x, 0.0)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, x / 255.0, rtol=1e-6)
    assert y[0, 0, 0, 0] == 0 and y[0, -1, -1, 0] == 1


def test_pixels_from_minus_one_to_one():
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    y = decode(jnp.asarray(x), 0.0, -1.0)
    np.testing.assert_allclose(y, x / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(encode(np.asarray(y), 0.0, -1.0), x)


def test_contrast_normalization_is_the_2014_codes():
    x = random_images(5, 32, 32, 3)
    flat = x.reshape(5, -1).astype(np.float64)
    centred = flat - flat.mean(axis=1, keepdims=True)
    expected = 55 * centred / np.linalg.norm(centred, axis=1, keepdims=True)
    y = np.asarray(jax.jit(decode, static_argnums=1)(x, 55.0)).reshape(5, -1)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), 55, rtol=1e-5)


@pytest.mark.parametrize("level", [0, 1, 73, 255])
def test_a_constant_image_has_no_contrast_to_normalize(level):
    x = np.full((1, 31, 37, 3), level, np.uint8)
    np.testing.assert_array_equal(decode(jnp.asarray(x), 55.0), 0)


def test_gcn_is_what_the_argument_is_called():
    x = random_images(2, 4, 4, 1)
    np.testing.assert_array_equal(encode(np.asarray(decode(x=jnp.asarray(x), gcn=0.0)), gcn=0.0), x)


def test_points_pass_through():
    x = jnp.asarray([[-3.0, 2.0]], jnp.float32)
    assert decode(x, 0.0) is x and decode(x, 55.0) is x
