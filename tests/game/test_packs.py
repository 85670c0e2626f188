"""Penalties of packs of examples: a pack is one point, with one norm and one coefficient of interpolation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.game.batches import Frame, d_batch, iteration_source
from jaxgan.game.step import discriminator_gradient, into_packs
from jaxgan.objectives.penalties import PENALTIES, Penalty, interpolates
from tests.helpers.zoo_games import compiled

PACKS = {"discriminator.packing": 2, "objective.loss": "wasserstein", "objective.penalties.gradient_penalty": 10.0}


def penalties(game, penalty=None):
    """D's metrics on its first minibatch, the penalties among them."""
    gan, hparams, state, data = game
    objective = gan.objective if penalty is None else gan.objective._replace(penalties=(("gradient_penalty", penalty),))
    frame = Frame(gan._replace(objective=objective), hparams)
    batch = d_batch(frame, iteration_source(hparams, state, data), 0)
    return compiled(lambda: discriminator_gradient(frame, state.generator, state.discriminator, batch)[2])()


def test_the_norm_of_a_linear_d_is_that_of_all_its_weights(game):
    """D(a, b) = w . (a, b) in packs of two: its gradient has the norm of w everywhere."""
    linear = game(**PACKS, **{"discriminator.hidden": (), "objective.penalties.r1": 1.0})
    norm = jnp.linalg.norm(jax.tree.leaves(linear.state.discriminator.params)[-1])
    found = penalties(linear)
    assert float(found["gradient_penalty"]) == pytest.approx(float(norm - 1) ** 2, rel=1e-4)
    assert norm > 0


def test_a_pack_has_one_coefficient(game):
    def coefficients(D, x, fake, key, *, axis_name=None):
        assert x.shape[:2] == (4, 2) and D(x).shape == key.shape == (4,)
        a = interpolates(jnp.ones_like(x), jnp.zeros_like(fake), key).reshape(4, -1)
        return jnp.ptp(a, axis=1) + jnp.where(jnp.ptp(a[:, 0]) == 0, 1.0, 0.0)  # within a pack, and between packs

    assert float(penalties(game(**PACKS), Penalty(coefficients))["gradient_penalty"]) == 0


@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty_of_packs_is_finite(game, name):
    one = game(**{"discriminator.packing": 4, f"objective.penalties.{name}": 1.0, "conditional": "half_mask"})
    metrics = penalties(one)
    assert np.isfinite(metrics[name])
    assert metrics[name] > 0 or name.endswith("one_sided")


def test_packs_are_of_consecutive_examples():
    x = jnp.arange(6.0).reshape(6, 1)
    np.testing.assert_array_equal(into_packs(x, 3)[..., 0], [[0, 1, 2], [3, 4, 5]])
    assert into_packs(x, 1) is x
