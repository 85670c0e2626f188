"""Equation (1) against values worked out by hand."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.objectives.value import value


def test_value_is_minus_log_4_where_d_is_one_half():
    assert value(jnp.zeros(7), jnp.zeros(3)) == pytest.approx(-math.log(4), rel=1e-6)


def test_value_by_hand():
    # D(x) = 0.8, 0.5 and D(G(z)) = 0.25: V = (log .8 + log .5) / 2 + log .75
    logit = lambda p: math.log(p / (1 - p))  # noqa: E731
    v = value(jnp.array([logit(0.8), logit(0.5)]), jnp.array([logit(0.25)]))
    assert v == pytest.approx((math.log(0.8) + math.log(0.5)) / 2 + math.log(0.75), rel=1e-6)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_exact_at_extreme_logits(logit):
    softplus = lambda t: max(t, 0) + math.log1p(math.exp(-abs(t)))  # noqa: E731
    x = jnp.full(1, np.float32(logit))
    assert value(x, x) == pytest.approx(-softplus(-logit) - softplus(logit), rel=1e-6)
