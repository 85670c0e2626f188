"""InfoGAN's code: its error by hand, the bound on mutual information, and the game that infers it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan.config import validate
from jaxgan.errors import UserError
from jaxgan.game.batches import d_batch, iteration_source
from jaxgan.objectives.terms.code import code_error, with_category
from jaxgan.train import train

CODE = {"objective.code.weight": 0.5, "objective.code.categories": 3, "objective.code.continuous": 2}


def test_the_error_by_hand():
    z = jnp.asarray([[0.0, 1.0, 0.5, -1.0, 9.0]])  # a category of two, two numbers, and what is no code
    latents = jnp.asarray([[0.0, np.log(3.0), 0.0, 1.0]])
    assert code_error(latents, z, 2)[0] == pytest.approx(-np.log(3 / 4) + (0.5**2 + 2**2) / 2, rel=1e-6)
    assert code_error(latents[:, 2:], z[:, 2:], 0)[0] == pytest.approx((0.5**2 + 2**2) / 2, rel=1e-6)


def test_log_k_minus_the_error_is_a_bound_on_information():
    """I(c; x) of a joint distribution of 4 categories, equally likely, and 6 values of x: attained by the posterior."""
    rng = np.random.default_rng(0)
    p_x_of_c = rng.dirichlet(np.full(6, 0.4), size=4)
    joint = p_x_of_c / 4
    information = np.sum(joint * np.log(joint / (joint.sum(axis=0) / 4)))

    def bound(logits):  # of Q(c | x), [6, 4]
        latents = jnp.repeat(jnp.asarray(logits, jnp.float32), 4, axis=0)
        errors = code_error(latents, jnp.tile(jnp.eye(4), (6, 1)), 4)
        return np.log(4) - float(np.sum(joint.T.reshape(-1) * np.asarray(errors)))

    assert bound(np.log(joint / joint.sum(axis=0)).T) == pytest.approx(information, abs=1e-5)
    assert information < np.log(4)
    for _ in range(5):
        assert bound(rng.normal(size=(6, 4))) < information
    certain = np.log(np.eye(4)[[0, 1, 2, 3, 0, 1]] + 1e-9)
    joint = np.eye(4, 6) / 4  # x tells c: log K, no more
    assert bound(certain) == pytest.approx(np.log(4), abs=1e-5)


def test_categories_are_one_hot_and_equally_likely():
    z = jax.random.normal(jax.random.key(0), (4000, 5))
    coded = jax.vmap(lambda z: with_category(z, 3))(z)
    np.testing.assert_array_equal(jnp.sort(coded[:, :3], axis=1), jnp.tile(jnp.asarray([[0.0, 0.0, 1.0]]), (4000, 1)))
    np.testing.assert_allclose(coded[:, :3].mean(axis=0), np.full(3, 1 / 3), atol=0.03)  # four standard errors
    np.testing.assert_array_equal(coded[:, 3:], z[:, 3:])
    np.testing.assert_array_equal(with_category(z[0], 0), z[0])


def test_both_players_descend_the_error_of_the_samples(game):
    g = game(**CODE)
    batch = d_batch(g.frame, iteration_source(g.hparams, g.state, g.data), 0)
    np.testing.assert_array_equal(jnp.sum(batch.noise.z[:, :3], axis=1), np.ones(8))
    output, _ = g.gan.D(g.state.discriminator.params, {}, g.gan.G(g.state.generator.params, {}, batch.noise.z)[0])
    assert output.latents.shape == (8, 5) and output.classes is None
    expected = 0.5 * float(jnp.mean(code_error(output.latents, batch.noise.z, 3)))
    after, metrics = g.steps(1)
    assert metrics["code_discriminator"] == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(metrics["code_generator"])
    kernel = lambda state: state.discriminator.params["output"]["kernel"][:, 1:]  # noqa: E731
    assert jnp.all(jnp.any(kernel(after) != kernel(g.state), axis=0))


@pytest.mark.slow
def test_the_code_is_inferred(tiny_config, tmp_path):
    assert train(tiny_config(**CODE | {"evaluate.metrics": (), "train.steps": 2}), tmp_path / "work") == 0
    gan = jaxgan.load(tmp_path / "work")
    code = gan.infer(gan.sample(4))
    assert code.shape == (4, 5)
    np.testing.assert_allclose(code[:, :3].sum(axis=1), np.ones(4), rtol=1e-5)
    with pytest.raises(UserError, match=r"to which there is no descent; use gan\.infer"):
        gan.invert(gan.sample(2))


@pytest.mark.parametrize(("changes", "message"), [
    ({"objective.code.weight": 1.0}, "needs a weight and a code"),
    ({"objective.code.categories": 3}, "needs a weight and a code"),
    (CODE | {"objective.code.categories": 1}, "of 2 categories or more"),
    (CODE | {"objective.code.categories": 7}, "has 9 entries, and z only prior.size=8"),
    (CODE | {"discriminator.packing": 2}, "needs the code of single examples"),
    (CODE | {"objective.latent_optimization.rate": 0.9}, "which objective.latent_optimization.rate takes as numbers"),
    (CODE | {"encoder.name": "mlp", "objective.regression.weight": 1.0}, "which encoder.name takes as numbers"),
    (CODE | {"objective.latent.generator": 1.0}, "which objective.latent takes as numbers"),
])  # fmt: skip
def test_what_does_not_fit_a_code_is_refused(tiny_config, changes, message):
    with pytest.raises(UserError, match=message):
        validate(tiny_config(**changes))


def test_a_d_without_outputs_for_a_code_is_refused(game):
    with pytest.raises(UserError, match=r"discriminator\.name=toy has no outputs for a code"):
        game(("discriminator.hidden",), **CODE | {"discriminator.name": "toy"})
