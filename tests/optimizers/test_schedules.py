"""Schedules against their formulas, with traced numbers as the step has them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.augment.ada import Ada, AdaSchedule, AdaState
from jaxgan.augment.instance_noise import InstanceNoise
from jaxgan.conditions import UNCONDITIONAL
from jaxgan.config import default, update, validate
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.game.batches import Batch, Frame
from jaxgan.game.build import player_optimizer
from jaxgan.game.step import discriminator_gradient
from jaxgan.networks.layers import DataSpec
from jaxgan.schedules import interpolate
from tests.helpers import zoo_games as zoo

FORMULAS = {
    "constant": ({}, lambda t: 0.2),
    "exponential": ({"decay": 1.01, "minimum": 0.15}, lambda t: max(0.2 / 1.01**t, 0.15)),
    "linear": (
        {"start": 10.0, "steps": 50.0, "final": 0.05},
        lambda t: 0.2 + (0.05 - 0.2) * min(max((t - 10) / 40, 0), 1),
    ),
    "cosine": (
        {"steps": 40.0, "final": 0.02},
        lambda t: 0.02 + (0.2 - 0.02) * (1 + math.cos(math.pi * min(t / 40, 1))) / 2,
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_learning_rate_follows_its_schedule(name):
    """The step that SGD makes at a gradient of 1, update by update."""
    fields, formula = FORMULAS[name]
    path = "optimizer.generator"
    changes = {f"{path}.name": "sgd", f"{path}.learning_rate": 0.2, f"{path}.schedule.name": name}
    config = update(default(), changes | {f"{path}.schedule.{field}": value for field, value in fields.items()})

    def walk(hparams):
        optimizer = player_optimizer(config, 1000, "generator", hparams)
        state = optimizer.init(jnp.zeros(()))
        return jax.lax.scan(lambda s, _: tuple(reversed(optimizer.update(jnp.ones(()), s))), state, None, length=60)[1]

    rates = -np.asarray(jax.jit(walk)(traced(config)))
    np.testing.assert_allclose(rates, [formula(t) for t in range(60)], rtol=1e-5)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_b2_follows_its_schedule(name):
    """Adam's second moment and its bias correction both with the b2 of the update, as R3GAN's (arXiv:2501.05441)."""
    path = "optimizer.discriminator"
    fields = {"learning_rate": 0.1, "b1": 0.0, "b2": 0.5, "b2_schedule.name": name}
    fields |= {"b2_schedule.steps": 8.0, "b2_schedule.final": 0.9}
    config = update(default(), {f"{path}.{field}": value for field, value in fields.items()})
    validate(config)
    gradients = np.random.default_rng(0).normal(size=12)

    def walk(hparams):
        optimizer = player_optimizer(config, 1000, "discriminator", hparams)
        state = optimizer.init(jnp.zeros(()))
        step = lambda state, g: tuple(reversed(optimizer.update(g, state)))  # noqa: E731
        return jax.lax.scan(step, state, jnp.asarray(gradients, jnp.float32))[1]

    found, v = np.asarray(jax.jit(walk)(traced(config))), 0.0
    for t, g in enumerate(gradients):
        done = min(t / 8, 1)
        b2 = 0.5 + 0.4 * (done if name == "linear" else (1 - math.cos(math.pi * done)) / 2)
        v = b2 * v + (1 - b2) * g**2
        assert found[t] == pytest.approx(-0.1 * g / (math.sqrt(v / (1 - b2 ** (t + 1))) + 1e-8), rel=1e-4)


def test_a_schedule_of_b2_takes_up_a_state_without_one():
    """A run of constant b2 may be compared with, and its state stepped by, one that moves."""
    plain, moved = default(), update(default(), {"optimizer.generator.b2_schedule.name": "cosine"})
    constant, falling = (player_optimizer(c, 9, "generator", traced(c)) for c in (plain, moved))
    w = jnp.ones(3)
    _, state = constant.update(w, constant.init(w), w)
    updates, after = falling.update(w, state, w)
    assert jax.tree.structure(after) == jax.tree.structure(state) and np.all(np.isfinite(updates))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "sgd", "b2_schedule.name": "linear"}, "which optimizer.generator.name=sgd does not have"),
        ({"b2_schedule.name": "cosine", "b2_schedule.final": 1.0}, r"b2_schedule.final must be in \[0, 1\), not 1.0"),
        ({"b2_schedule.name": "exponential", "b2_schedule.minimum": 2.0}, "b2_schedule.minimum must be in"),
    ],
)
def test_schedules_of_b2_that_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        validate(update(default(), {f"optimizer.generator.{key}": value for key, value in changes.items()}))


def test_a_schedule_of_the_penalties_scales_their_weights(game):
    """The step of D before which `count` were made is that of the scaled weight; the metric stays unweighted."""
    weights = {"objective.penalties.r1": 2.0, "objective.penalties.r2": 0.5}
    path = "objective.penalty_schedule"
    falling = game(**weights, **{f"{path}.name": "linear", f"{path}.steps": 10.0, f"{path}.final": 0.1})
    plain = game(**weights)
    x = plain.gan.decode(plain.data.x[: plain.gan.batch_size])

    def gradient(g):
        players = g.state.generator, g.state.discriminator

        def found(hparams, count):
            batch = Batch(x, UNCONDITIONAL, g.noise(), count)
            theta, _, metrics = discriminator_gradient(Frame(g.gan, hparams), *players, batch)
            return theta, {name: metrics[name] for name in ("r1", "d_loss")}

        return jax.jit(found)

    moving, fixed = gradient(falling), gradient(plain)
    for count, factor in ((0, 1.0), (5, 0.55), (40, 0.1)):
        scaled = {f"objective.penalties.{name}": np.float32(factor * weights[f"objective.penalties.{name}"])
                  for name in ("r1", "r2")}  # fmt: skip
        count = jnp.uint32(count)
        pair = moving(falling.hparams, count), fixed(plain.hparams | scaled, count)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), *pair)


@pytest.mark.parametrize(
    ("shape", "way"),
    [
        ("constant", lambda u: 0.8),
        ("linear", lambda u: 0.8 - 0.6 * u),
        ("cosine", lambda u: 0.2 + 0.6 * (1 + math.cos(math.pi * u)) / 2),
        ("exponential", lambda u: 0.8 * 0.25**u),
    ],
)
def test_noise_follows_its_shape(shape, way):
    augment = InstanceNoise(deviation=0.8, final=0.2, steps=10.0, shape=shape)
    zeros, keys = jnp.zeros((1, 70, 70, 1)), jax.random.split(jax.random.key(0), 1)
    noise = zoo.compiled(lambda t: jnp.std(augment(zeros, keys, t)))
    for t in (0, 5, 10, 30):
        expected = way(min(t / 10, 1))
        assert float(interpolate(shape, 0.8, 0.2, progress=jnp.float32(t / 10))) == pytest.approx(expected, rel=1e-5)
        assert float(noise(jnp.uint32(t))) == pytest.approx(expected, rel=0.03)


def test_adas_strength_follows_its_shape():
    """Its changes are those of `Ada` with the same p."""
    data = DataSpec((8, 8, 1), bounds=(0.0, 1.0))
    schedule = AdaSchedule(data, sets=("color",), start=0.8, final=0.2, steps=10.0, shape="exponential")
    images, keys = jax.random.uniform(jax.random.key(1), (40, 8, 8, 1)), jax.random.split(jax.random.key(0), 40)
    state = AdaState(jnp.float32(0.4), jnp.float32(0), jnp.uint32(5))  # half way, .8 / 2
    same = zoo.compiled(Ada(data, sets=("color",)))(images, keys, state)
    np.testing.assert_allclose(zoo.compiled(schedule)(images, keys, state.count), same, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shape": "round"}, "shape must be one of constant, linear, cosine, exponential, not 'round'"),
        ({"shape": "exponential"}, "from 0.1 to 0.0, which must be above 0 if the shape is exponential"),
        ({"final": -1.0}, "from 0.1 to -1.0, which must be 0 or more"),
        ({"steps": 0.0}, "steps must be above 0, not 0.0"),
    ],
)
def test_ways_of_the_noise_that_are_refused(fields, words):
    changes = {"augment.name": "instance_noise"} | {f"augment.{name}": x for name, x in fields.items()}
    with pytest.raises(UserError, match=words):
        validate(update(default(), changes))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("exponential", {"decay": 0.99}),
        ("linear", {"start": 5.0, "steps": 5.0}),
        ("linear", {"start": -1.0}),
        ("cosine", {"steps": 0.0}),
    ],
)
def test_numbers_that_make_no_schedule(name, fields):
    section = "optimizer.generator.schedule"
    changes = {f"{section}.name": name} | {f"{section}.{field}": x for field, x in fields.items()}
    with pytest.raises(UserError, match=next(iter(fields))):
        validate(update(default(), changes))
