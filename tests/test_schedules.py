"""Schedules against their formulas, with traced numbers as the step has them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import default, update
from jaxgan.errors import UserError
from jaxgan.gan import player_optimizer
from jaxgan.hparams import traced
from jaxgan.schedules import SCHEDULES

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
    with pytest.raises(UserError, match=rf"{next(iter(fields))}"):
        SCHEDULES[name](**fields).check()
