"""Losses of the patches of an image; penalties, readings and terms of its mean logit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import update
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.game.batches import Frame, d_batch, g_batch, iteration_source
from jaxgan.game.build import build
from jaxgan.game.step import discriminator_gradient, generator_gradient
from jaxgan.networks.layers import DataSpec
from tests.helpers.zoo_games import compiled

PATCH = {"discriminator.name": "patch", "discriminator.widths": (3,), "objective.penalties.r1": 1.0,
         "discriminator.deviation": 0.5}  # fmt: skip
WITHOUT = ("discriminator.hidden",)


def metrics(one):
    """The metrics of the first step of both players, and D's output on its data and fakes and G's fakes."""
    frame, players = Frame(one.gan, one.hparams), (one.state.generator, one.state.discriminator)
    source = iteration_source(one.hparams, one.state, one.data)
    d, g = d_batch(frame, source, 0), g_batch(frame, source, 1)
    G, D = players

    def judged(x):
        return one.gan.D(D.params, D.stats, x, d.condition, train=True)[0]

    def steps():
        fakes = [one.gan.G(G.params, G.stats, batch.noise.z, batch.condition, train=True)[0] for batch in (d, g)]
        slope = jax.grad(lambda x: jnp.sum(judged(x).logits))(d.x)
        found = discriminator_gradient(frame, *players, d)[2] | generator_gradient(frame, *players, g)[2]
        return found, [judged(x) for x in (d.x, *fakes)], 0.5 * jnp.mean(jnp.sum(slope**2, axis=(1, 2, 3)))

    return compiled(steps)()


softplus = lambda x: np.logaddexp(0, np.asarray(x, np.float64))  # noqa: E731


def test_losses_are_means_over_patches_and_penalties_of_the_mean_logit(game):
    found, (real, fake, other), r1 = metrics(game(WITHOUT, **PATCH, **{"discriminator.judged": "patch"}))
    assert real.patches.shape[1] > 1 and np.ptp(real.patches) > 0.1
    np.testing.assert_allclose(real.logits, np.mean(real.patches, axis=1), rtol=1e-5)
    d_loss = np.mean(softplus(-real.patches)) + np.mean(softplus(fake.patches))
    np.testing.assert_allclose(found["d_loss"], d_loss, rtol=1e-5)
    np.testing.assert_allclose(found["g_loss"], np.mean(softplus(-other.patches)), rtol=1e-5)
    np.testing.assert_allclose(found["r1"], r1, rtol=1e-4)
    np.testing.assert_allclose(found["d_real"], np.mean(1 / (1 + np.exp(-np.asarray(real.logits)))), rtol=1e-5)


def test_a_patch_d_may_judge_examples(game):
    found, (real, fake, _), _ = metrics(game(WITHOUT, **PATCH))
    assert real.patches is None
    np.testing.assert_allclose(
        found["d_loss"], np.mean(softplus(-real.logits)) + np.mean(softplus(fake.logits)), rtol=1e-5
    )


@pytest.mark.parametrize(("changes", "message"), [
    ({"discriminator.judged": "patch"}, "name=mlp has one logit per example; set discriminator.judged=example"),
    ({"discriminator.name": "patch", "discriminator.widths": (4, 4, 4)}, "leaves nothing of images of 8x8 pixels"),
])  # fmt: skip
def test_what_is_refused(tiny_config, changes, message):
    without = WITHOUT if "discriminator.name" in changes else ()
    config = tiny_config(without, **({} if without else changes))
    config = update(config, changes) if without else config
    with pytest.raises(UserError, match=message):
        build(config, DataSpec((8, 8, 1), bounds=(0.0, 1.0)), 40).init(traced(config))
