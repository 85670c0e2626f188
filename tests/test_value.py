"""Equation (1) and the losses against values worked out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.objectives.losses import (
    GENERATOR_LOSSES,
    discriminator_loss,
    generator_loss,
    minimax,
    non_saturating,
)
from jaxgan.objectives.value import value


def test_value_is_minus_log_4_where_d_is_one_half():
    assert value(jnp.zeros(7), jnp.zeros(3)) == pytest.approx(-math.log(4), rel=1e-6)


def test_value_by_hand():
    # D(x) = 0.8, 0.5 and D(G(z)) = 0.25: V = (log .8 + log .5) / 2 + log .75
    logit = lambda p: math.log(p / (1 - p))  # noqa: E731
    v = value(jnp.array([logit(0.8), logit(0.5)]), jnp.array([logit(0.25)]))
    assert v == pytest.approx((math.log(0.8) + math.log(0.5)) / 2 + math.log(0.75), rel=1e-6)


def test_losses_by_hand():
    logit = jnp.array([math.log(0.2 / 0.8)])  # D = 0.2
    assert minimax(logit)[0] == pytest.approx(math.log(0.8), rel=1e-6)
    assert non_saturating(logit)[0] == pytest.approx(-math.log(0.2), rel=1e-6)
    assert discriminator_loss(logit, logit)[0] == pytest.approx(-(math.log(0.2) + math.log(0.8)) / 2, rel=1e-6)


def test_the_discriminators_loss_is_minus_half_the_value():
    real, fake = jax.random.normal(jax.random.key(0), (2, 50))
    assert jnp.mean(discriminator_loss(real, fake)) == pytest.approx(-float(value(real, fake)) / 2, rel=1e-6)


def test_gradients_by_hand():
    # d/da log(1 - sigmoid(a)) = -D; d/da -log sigmoid(a) = D - 1: minimax saturates at D -> 0, section 3.
    a = jnp.float32(math.log(0.01 / 0.99))
    assert jax.grad(minimax)(a) == pytest.approx(-0.01, rel=1e-4)
    assert jax.grad(non_saturating)(a) == pytest.approx(-0.99, rel=1e-4)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_exact_at_extreme_logits_in_value_and_gradient(logit):
    a = np.float64(logit)
    softplus = lambda t: max(t, 0) + math.log1p(math.exp(-abs(t)))  # noqa: E731
    sigmoid = lambda t: math.exp(min(t, 0)) / (1 + math.exp(-abs(t)))  # noqa: E731
    x = jnp.float32(logit)
    assert minimax(x) == pytest.approx(-softplus(a), rel=1e-6, abs=1e-30)
    assert non_saturating(x) == pytest.approx(softplus(-a), rel=1e-6, abs=1e-30)
    assert discriminator_loss(x, x) == pytest.approx((softplus(-a) + softplus(a)) / 2, rel=1e-6)
    assert value(x[None], x[None]) == pytest.approx(-softplus(-a) - softplus(a), rel=1e-6)
    assert jax.grad(minimax)(x) == pytest.approx(-sigmoid(a), rel=1e-5, abs=1e-30)
    assert jax.grad(non_saturating)(x) == pytest.approx(-sigmoid(-a), rel=1e-5, abs=1e-30)


def test_a_traced_choice_is_the_named_loss():
    logits = jnp.linspace(-3, 3, 11)
    for index, loss in enumerate(GENERATOR_LOSSES.values()):
        np.testing.assert_array_equal(generator_loss(jnp.int32(index), logits), loss(logits))
