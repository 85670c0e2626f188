"""D*, KL, JSD and C(G) against closed forms and float64 sums."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.objectives.theory import (
    generator_criterion,
    js_divergence,
    kl_divergence,
    optimal_discriminator,
)

X = np.linspace(-15, 15, 3001)
DX = X[1] - X[0]


def normal(mean: float, scale: float, x: np.ndarray = X) -> np.ndarray:
    return np.exp(-(((x - mean) / scale) ** 2) / 2) / (scale * math.sqrt(2 * math.pi))


# p_g (mean, scale) for p_data = N(0, 1): from the same to hardly any overlap.
FAMILY = [(0.0, 1.0), (0.01, 1.0), (0.5, 1.0), (2.0, 0.7), (0.0, 0.1), (-3.0, 2.0), (12.0, 0.3)]


def entropy_terms(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """p log(p / q) in float64, 0 where p is."""
    some = p > 0
    return np.where(some, p * (np.log(np.where(some, p, 1)) - np.log(np.where(some, q, 1))), 0)


def test_optimal_discriminator_by_hand():
    p_data = np.array([[0.3, 0.0, 0.2], [0.0, 1.0, 0.25]])
    p_g = np.array([[0.1, 0.4, 0.2], [0.0, 0.0, 0.75]])
    d_star = optimal_discriminator(p_data, p_g)
    np.testing.assert_allclose(d_star, [[0.75, 0.0, 0.5], [0.5, 1.0, 0.25]], rtol=1e-6)


def test_optimal_discriminator_keeps_its_digits_at_both_ends_of_float32():
    p_data = np.array([3e38, 2e38, 2e-38, 1e-30, 3e38, 1.0], np.float32)
    p_g = np.array([3e38, 3e38, 6e-38, 1e-10, 2e-38, 1e-30], np.float32)
    want = p_data.astype(np.float64) / (p_data.astype(np.float64) + p_g)
    np.testing.assert_allclose(optimal_discriminator(p_data, p_g), want, rtol=1e-6)


def test_optimal_discriminator_is_optimal():
    """Proposition 1: moving D off D* anywhere lowers V."""
    p_data, p_g = normal(0, 1), normal(1, 0.5)

    def v(d: np.ndarray) -> float:
        return float(np.sum(p_data * np.log(d) + p_g * np.log1p(-d)) * DX)

    d_star = np.clip(np.asarray(optimal_discriminator(p_data, p_g), np.float64), 1e-7, 1 - 1e-7)
    best = v(d_star)
    assert best == pytest.approx(float(generator_criterion(p_data, p_g, DX)), abs=1e-5)
    for seed in range(5):
        factor = np.exp(np.random.default_rng(seed).normal(0, 0.1, X.shape))
        odds = factor * d_star / (1 - d_star)
        assert v(np.clip(odds / (1 + odds), 1e-7, 1 - 1e-7)) < best - 1e-4


@pytest.mark.parametrize("mean, scale", [(0.0, 1.0), (0.5, 1.0), (2.0, 1.5), (-1.0, 0.6)])
def test_kl_between_gaussians(mean: float, scale: float):
    want = math.log(scale) + (1 + mean**2) / (2 * scale**2) - 1 / 2
    got = kl_divergence(normal(0, 1), normal(mean, scale), DX)
    assert float(got) == pytest.approx(want, abs=2e-6)


def test_kl_in_two_dimensions_adds_up():
    x = np.linspace(-8, 8, 321)
    dx = x[1] - x[0]
    p, q = normal(0, 1, x)[:, None] * normal(0, 1, x), normal(1, 1, x)[:, None] * normal(-0.5, 1, x)
    assert float(kl_divergence(p, q, dx**2)) == pytest.approx((1 + 0.25) / 2, abs=2e-6)


def test_kl_where_a_density_is_zero():
    p, q = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.25, 0.5, 0.25, 0.0])
    assert float(kl_divergence(p, q, 1.0)) == pytest.approx(0.5 * math.log(2))  # 0 log 0 = 0
    assert float(kl_divergence(q, p, 1.0)) == math.inf


def test_kl_of_extreme_densities():
    p = np.array([2e38, 1e-37], np.float32)
    q = np.array([1e38, 2e38], np.float32)
    want = entropy_terms(p.astype(np.float64), q.astype(np.float64)).sum() * 2e-38
    assert float(kl_divergence(p, q, 2e-38)) == pytest.approx(want, rel=1e-5)


def test_jsd_bounds():
    p = normal(0, 1)
    assert float(js_divergence(p, p, DX)) == 0
    left, right = np.where(X < 0, 1 / 15, 0), np.where(X > 0, 1 / 15, 0)
    mass = left.sum() * DX
    assert float(js_divergence(left, right, DX)) == pytest.approx(mass * math.log(2), rel=1e-6)
    assert float(js_divergence(left, right, DX)) == float(js_divergence(right, left, DX))


@pytest.mark.parametrize("mean, scale", FAMILY)
def test_jsd_against_float64(mean: float, scale: float):
    p, q = normal(0, 1), normal(mean, scale)
    m = (p + q) / 2
    want = (entropy_terms(p, m) + entropy_terms(q, m)).sum() * DX / 2
    assert float(js_divergence(p, q, DX)) == pytest.approx(want, abs=5e-7)


@pytest.mark.parametrize("mean, scale", FAMILY)
def test_theorem1(mean: float, scale: float):
    """C(G) = -log 4 + 2 JSD(p_data || p_g) >= -log 4, with equality at p_g = p_data only."""
    p_data, p_g = normal(0, 1), normal(mean, scale)
    c = float(generator_criterion(p_data, p_g, DX))
    assert c == pytest.approx(-math.log(4) + 2 * float(js_divergence(p_data, p_g, DX)), abs=1e-5)
    if (mean, scale) == (0, 1):
        assert c == pytest.approx(-math.log(4), abs=1e-6)
    else:
        assert c > -math.log(4) + 1e-5


def test_theorem1_in_two_dimensions():
    x = np.linspace(-10, 10, 401)
    dx = (x[1] - x[0]) ** 2
    p_data = normal(0, 1, x)[:, None] * normal(0, 1, x)
    for mean in (0.0, 0.3, 4.0):
        p_g = normal(mean, 1, x)[:, None] * normal(0, 0.5, x)
        want = -math.log(4) + 2 * float(js_divergence(p_data, p_g, dx))
        assert float(generator_criterion(p_data, p_g, dx)) == pytest.approx(want, abs=1e-5)


def test_criterion_is_zero_if_d_can_distinguish_them():
    p_data, p_g = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.75, 0.25])
    assert float(generator_criterion(p_data, p_g, 1.0)) == 0
    assert float(js_divergence(p_data, p_g, 1.0)) == pytest.approx(math.log(2))


def test_extreme_densities_stay_finite():
    big, small = np.float32(3e38), np.float32(1.2e-38)
    p, q = np.array([big, small, 0, big, 0], np.float32), np.array([small, big, big, big, 0], np.float32)
    for f in (js_divergence, generator_criterion):
        value, grads = jax.value_and_grad(f, argnums=(0, 1))(jnp.asarray(p), jnp.asarray(q), 1e-37)
        assert np.isfinite(value), f
        assert np.isfinite(grads).all(), f


def test_gradients_where_densities_vanish():
    p, q = jnp.asarray([0.5, 0.5, 0.0, 0.0]), jnp.asarray([0.0, 0.5, 0.5, 0.0])
    for f in (lambda p, q: optimal_discriminator(p, q).sum(), lambda p, q: generator_criterion(p, q, 1.0)):
        assert np.isfinite(jax.grad(f, argnums=(0, 1))(p, q)).all()


def test_jit_and_vmap():
    p, q = np.stack([normal(m, 1) for m in (0, 1, 2)]), np.stack([normal(0, s) for s in (1, 2, 3)])
    for f in (kl_divergence, js_divergence, generator_criterion):
        rows = [float(f(a, b, DX)) for a, b in zip(p, q, strict=True)]
        got = jax.jit(jax.vmap(f, in_axes=(0, 0, None)))(p, q, DX)
        np.testing.assert_allclose(got, rows, atol=1e-6)


@pytest.mark.parametrize("f", [kl_divergence, js_divergence, generator_criterion])
def test_two_grids_are_an_error(f):
    with pytest.raises(UserError, match=r"\(3,\) and \(4,\)"):
        f(np.ones(3), np.ones(4), 1.0)
