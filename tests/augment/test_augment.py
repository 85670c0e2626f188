"""Augmentations: one law for data and fakes, in both steps and the penalties, and never outside of training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.augment import AUGMENTS
from jaxgan.conditions import UNCONDITIONAL
from jaxgan.errors import UserError
from jaxgan.game.batches import Batch, Frame
from jaxgan.game.build import build
from jaxgan.game.step import discriminator_step, generator_step
from jaxgan.networks.layers import DataSpec
from tests.conftest import IMAGES

FLIP = {"augment.name": "flip", "augment.probability": 0.25}


def test_flips_mirror_columns_at_their_rate():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 5, 2)), jnp.float32)
    many = jnp.broadcast_to(x, (4000, 3, 5, 2))
    out = np.asarray(AUGMENTS["flip"](probability=0.25)(many, jax.random.split(jax.random.key(0), 4000), ()))
    plain = (out == np.asarray(x)).all(axis=(1, 2, 3))
    flipped = (out == np.asarray(x)[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (plain ^ flipped).all()
    assert flipped.mean() == pytest.approx(0.25, abs=0.02)  # 3 standard errors
    keys = jax.random.split(jax.random.key(1), 4000)
    assert np.array_equal(AUGMENTS["flip"](probability=0.0)(many, keys, ()), many)
    assert np.array_equal(AUGMENTS["flip"](probability=1.0)(many, keys, ()), many[:, :, ::-1])


def test_data_and_fakes_go_through_one_law_in_both_steps_and_the_penalties(game):
    """In training, all inputs of D are augmented, and each example has its own random numbers."""
    g = game(**FLIP, **{"objective.loss": "relativistic", "objective.penalties.gradient_penalty": 1.0})
    seen = {"view": [], "D": []}

    class Marked:
        """The game's own augmentation, and a mark on what went through it."""

        def __init__(self, hparams):
            self.own, self.probability = g.gan.augment(hparams), float(hparams["augment.probability"])

        def __call__(self, x, keys, state):
            seen["view"].append((self.probability, jax.random.key_data(keys)))
            return self.own(x, keys, state) + 1000.0

    def D(theta, stats, x, *args, **kwargs):
        seen["D"].append(None if isinstance(x, jax.core.Tracer) else bool(jnp.all(x > 500)))
        return g.gan.D(theta, stats, x - 1000.0, *args, **kwargs)

    gan = g.gan._replace(augment=Marked, D=D)
    common = Frame(gan, g.hparams), g.state.generator, g.state.discriminator
    x = gan.decode(jnp.asarray(IMAGES[: gan.batch_size]))
    discriminator_step(*common, Batch(x, UNCONDITIONAL, g.noise(0)))
    in_d = len(seen["view"])
    generator_step(*common, Batch(x, UNCONDITIONAL, g.noise(1)))
    assert in_d == 2  # data with fakes, and the penalty's points
    assert len(seen["view"]) - in_d == 2  # data and fakes
    assert len(seen["view"]) == len(seen["D"])
    assert all(mark is not False for mark in seen["D"])
    assert {p for p, _ in seen["view"]} == {0.25}
    both = seen["view"][0][1]
    assert len(np.unique(both, axis=0)) == 2 * gan.batch_size  # data's are not the fakes'


def test_the_probability_is_traced(game):
    """One compiled program for all of its values: a flip that always happens is the step on mirrored images."""
    g = game(**FLIP)
    step = jax.jit(
        lambda h, D: discriminator_step(Frame(g.gan, h), g.state.generator, D, Batch(x, UNCONDITIONAL, noise))
    )
    x, noise = g.gan.decode(jnp.asarray(IMAGES[: g.gan.batch_size])), g.noise()
    results = {
        p: step(g.hparams | {"augment.probability": np.float32(p)}, g.state.discriminator)[1] for p in (0.0, 1.0)
    }
    assert step._cache_size() == 1
    assert float(results[0.0]["d_real"]) != float(results[1.0]["d_real"])


def test_what_the_data_cannot_go_through_is_refused_before_training(tiny_config):
    config = tiny_config(**FLIP, **{"generator.output": "linear"})
    with pytest.raises(UserError, match=r"augment.name=flip is for images, but the data are of shape \(2,\)"):
        build(config, DataSpec((2,)), 50)


def test_outside_of_training_nothing_is_augmented(game):
    """`gan.D` and `gan.G` know no augmentation."""
    a, b = game(), game(**FLIP | {"augment.probability": 1.0})
    x = a.gan.decode(jnp.asarray(IMAGES[:3]))
    D = a.state.discriminator
    assert np.array_equal(a.gan.D(D.params, {}, x)[0].logits, b.gan.D(D.params, {}, x)[0].logits)
