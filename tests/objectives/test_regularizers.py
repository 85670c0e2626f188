"""LeCam and consistency against values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.objectives.terms.consistency import consistency, flip_and_shift
from jaxgan.objectives.terms.latent import latent_consistency_discriminator, latent_consistency_generator, perturb
from jaxgan.objectives.terms.lecam import initial_anchors, lecam, update_anchors

REAL, FAKE = jnp.float32([1.0, 3.0]), jnp.float32([-2.0, 0.5])


def test_lecam_by_hand():
    # anchors 2 and -1: (1 + 1)^2 + (2 + 2)^2, (3 + 1)^2 + (2 - .5)^2
    np.testing.assert_allclose(lecam(REAL, FAKE, 2.0, -1.0), [4 + 16, 16 + 2.25])
    # nothing where data are below the fakes' anchor and fakes above the data's
    np.testing.assert_array_equal(lecam(REAL, FAKE, jnp.float32(-3.0), jnp.float32(4.0)), [0, 0])


def test_gradients_of_lecam():
    total = lambda *arguments: jnp.sum(lecam(*arguments))  # noqa: E731
    real, fake, *anchors = jax.grad(total, (0, 1, 2, 3))(REAL, FAKE, jnp.float32(2.0), jnp.float32(-1.0))
    np.testing.assert_allclose(real, [4, 8])
    np.testing.assert_allclose(fake, [-8, -3])
    assert anchors == [0, 0]


def test_anchors_by_hand():
    # means 2 and -.75; before the start the means themselves, after it .9 of the old and .1 of the new
    follow = jax.jit(lambda a, r, f, step: update_anchors(a, r, f, step=step, start=2, decay=0.9))
    anchors = initial_anchors()
    for step, expected in enumerate([(2, -0.75), (2, -0.75), (1.9, -0.675), (1.81, -0.6075)]):
        logits = (REAL, FAKE) if step < 2 else (REAL - 1, FAKE + 0.75)
        anchors = follow(anchors, *logits, step)
        np.testing.assert_allclose(anchors, expected, rtol=1e-6)


def test_consistency_by_hand():
    D = lambda x: jnp.sum(x, axis=1) ** 2  # noqa: E731
    x = jnp.float32([[1.0, 2.0], [0.0, -1.0]])
    np.testing.assert_allclose(consistency(D, lambda x: x + 1, x), [(9 - 25) ** 2, (1 - 1) ** 2])
    np.testing.assert_array_equal(consistency(D, lambda x: x[:, ::-1], x), [0, 0])
    # D = a x, T(x) = x + 1: a^2 each, through both logits; with D(T(x)) constant the gradient were -2 a x
    slope = jax.grad(lambda a: jnp.sum(consistency(lambda x: a * x[:, 0], lambda x: x + 1, x)))(3.0)
    assert slope == pytest.approx(2 * 2 * 3.0)


def test_latent_consistency_by_hand():
    z = jnp.float32([[1.0, 2.0], [0.0, -1.0]])
    perturbed = z + jnp.float32([[0.5, 0.0], [0.0, 1.0]])
    G = lambda theta: lambda z: theta * z  # noqa: E731
    D = lambda theta: lambda x: theta * jnp.sum(x, axis=1)  # noqa: E731
    np.testing.assert_allclose(latent_consistency_discriminator(D(3.0), G(2.0), z, perturbed), [9, 36])
    np.testing.assert_allclose(latent_consistency_generator(G(2.0), z, perturbed), [-0.5, -2])
    total = lambda d, g: jnp.sum(latent_consistency_discriminator(D(d), G(g), z, perturbed))  # noqa: E731
    d, g = jax.grad(total, (0, 1))(3.0, 2.0)
    assert d == pytest.approx(2 * 45 / 3) and g == 0  # G is constant in D's step
    assert jax.grad(lambda g: jnp.sum(latent_consistency_generator(G(g), z, perturbed)))(2.0) == pytest.approx(-2.5)


def test_perturbation_has_its_radius_and_is_sampled_per_example():
    keys = jax.random.split(jax.random.key(0), 500)
    noise = perturb(jnp.ones((500, 20)), keys, 0.05) - 1
    assert jnp.std(noise) == pytest.approx(0.05, rel=0.03) and jnp.mean(noise) == pytest.approx(0, abs=0.003)
    np.testing.assert_array_equal(perturb(jnp.ones((3, 20)), keys[5:8], 0.05) - 1, noise[5:8])


def test_flip_and_shift_samples_every_change_equally():
    # 8 x 16: shifts in {-1, 0, 1} and {-2, ..., 2}, mirrored or not: 30 different images of one
    image = jnp.arange(8 * 16, dtype=jnp.float32).reshape(8, 16, 1)
    changed = jax.jit(flip_and_shift)(jnp.tile(image, (3000, 1, 1, 1)), jax.random.split(jax.random.key(0), 3000))
    found, counts = np.unique(np.asarray(changed), axis=0, return_counts=True)
    expected = set()
    for mirrored in (np.asarray(image), np.asarray(image)[:, ::-1]):
        padded = np.pad(mirrored, ((1, 1), (2, 2), (0, 0)), mode="reflect")
        expected |= {padded[i : i + 8, j : j + 16].tobytes() for i in range(3) for j in range(5)}
    assert len(expected) == 30 and {a.tobytes() for a in found} == expected
    chi_squared = np.sum((counts - 100) ** 2 / 100)
    assert chi_squared < 58  # 29 degrees of freedom: once in a thousand
