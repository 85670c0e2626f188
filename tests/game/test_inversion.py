"""Inversion of G by gradient descent on z, where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan.errors import UserError
from jaxgan.game.inversion import invert
from jaxgan.game.prior import PRIORS, project_onto_prior
from jaxgan.train import train


def found(G, x, starts, *, steps=400, project=lambda z: z):
    return jax.jit(lambda x, z: invert(G, x, z, steps=jnp.int32(steps), scale=jnp.float32(1), project=project))(
        jnp.asarray(x, jnp.float32), jnp.asarray(starts, jnp.float32)
    )


def test_a_linear_g_is_inverted_by_its_pseudo_inverse():
    rng = np.random.default_rng(0)
    A, x = np.linalg.qr(rng.normal(size=(5, 3)))[0] * [0.8, 1.0, 1.2], rng.normal(size=(4, 5))
    result = found(lambda z: z @ jnp.asarray(A.T, jnp.float32), x, rng.normal(size=(2, 4, 3)))
    z = x @ np.linalg.pinv(A).T
    np.testing.assert_allclose(result.z, z, atol=2e-3)
    np.testing.assert_allclose(result.error, np.mean((z @ A.T - x) ** 2, axis=1), rtol=1e-4)


def test_the_best_start_of_each_example_is_kept():
    """(z^2 - 1)^2 + z / 2 has a minimum on either side of 0; the lower one is on the left."""
    G = lambda z: jnp.concatenate([z**2 - 1, jnp.sqrt(jnp.abs(z / 2 + 2))], axis=1)  # noqa: E731
    x, left, right = np.zeros((2, 2)), np.full((2, 1), -0.9), np.full((2, 1), 0.9)
    apart = [found(G, x, [start]) for start in (left, right)]
    assert np.all(apart[0].z < -0.5) and np.all(apart[1].z > 0.5)
    assert np.all(apart[0].error < apart[1].error)
    crossed = np.stack([np.vstack([left[:1], right[:1]]), np.vstack([right[:1], left[:1]])])
    np.testing.assert_allclose(found(G, x, crossed).z, apart[0].z, atol=1e-5)


@pytest.mark.parametrize("name", ["uniform", "sphere", "truncated"])
def test_z_stays_where_the_prior_is_positive(name):
    prior = {"name": name, "scale": 2.0, "threshold": 2.0}
    drawn = 2 * jax.vmap(lambda key: PRIORS[name].sample(key, 4))(jax.random.split(jax.random.key(0), 50))
    np.testing.assert_allclose(project_onto_prior(prior, drawn), drawn, rtol=1e-5)
    far = found(lambda z: z, np.full((3, 4), 9.0), np.zeros((1, 3, 4)) + 0.1,
                project=lambda z: project_onto_prior(prior, z)).z  # fmt: skip
    expected = {"uniform": 2 * np.sqrt(3), "sphere": 2.0, "truncated": 2 * 2 / 0.879626}[name]
    np.testing.assert_allclose(far, np.full((3, 4), expected), rtol=1e-5)


def test_a_trained_g_finds_the_z_of_its_own_samples(tiny_config, tmp_path):
    config = tiny_config(**{"prior.size": 2, "prior.name": "uniform", "generator.irange": 1.0, "train.steps": 2,
                            "generator.output_irange": 1.0, "evaluate.metrics": ()})  # fmt: skip
    assert train(config, tmp_path / "work") == 0
    gan = jaxgan.load(tmp_path / "work")
    z = gan.noise(20, seed=5)
    x = gan.generate(z)
    again = gan.invert(x, steps=300, starts=6)
    assert again.shape == z.shape and again.dtype == np.float32
    distance = np.sqrt(np.mean((again - z) ** 2, axis=1))
    assert np.mean(distance < 0.05) >= 0.8
    np.testing.assert_allclose(gan.invert(x, steps=1, starts=z), z, atol=0.06)  # one step of .05
    for arguments, message in (({"steps": 0}, "steps must be 1 or more, not 0"), ({"starts": 0}, "n of 1 or more"),
                               ({"starts": z[:3]}, r"z of shape \(20, 2\), not \(3, 2\)")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            gan.invert(x, **arguments)
