"""Every penalty against closed forms: linear and quadratic D, whose slopes are known."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.fields import fields_of
from jaxgan.objectives.penalties import (
    PENALTIES,
    interpolates,
    perturbed_data,
    squared_grad_norm,
)

KEY = jax.random.key(3)
SLOPE_ONE = ["gradient_penalty", "gradient_penalty_one_sided", "dragan"]


def data(n=8, shape=(4, 4, 1)):
    x, fake = jax.random.normal(jax.random.key(0), (2, n, *shape))
    return x, 0.5 * fake + 1


def quadratic(x):  # slope 2 |x|
    return jnp.sum(jnp.square(x), axis=tuple(range(1, x.ndim)))


@functools.cache
def linear(slope):  # the same slope everywhere
    return lambda x: slope * x.reshape(len(x), -1)[:, 0]


def network(theta, x):
    hidden = jax.nn.relu(x.reshape(len(x), -1) @ theta["w"] + jnp.expand_dims(theta["b"], 0))
    return jnp.sum(hidden * jax.nn.sigmoid(hidden), axis=1)


@functools.cache
def compiled(name, D):
    return jax.jit(functools.partial(PENALTIES[name], D))


def penalty(name, D, x, fake, key, **numbers):
    return compiled(name, D)(x, fake, key, **numbers)


def test_the_names():
    contract = {"r1", "r2", "gradient_penalty", "gradient_penalty_one_sided", "dragan", "zero_centered"}
    assert contract < set(PENALTIES)


def test_golden_of_wgan_gp():
    # tensorflow/gan GradientPenaltyTest: D(x) = 2x summed in 4 dimensions has slope 4, penalty (4 - 1)^2
    D = lambda x: jnp.sum(2 * x, axis=1)  # noqa: E731
    x, fake = data(6, (4,))
    for name in SLOPE_ONE:
        np.testing.assert_allclose(penalty(name, D, x, fake, KEY), [9.0] * 6, rtol=1e-6)
        np.testing.assert_allclose(penalty(name, D, x, fake, KEY, target=2.0), [1.0] * 6, rtol=1e-6)
    np.testing.assert_allclose(penalty("zero_centered", D, x, fake, KEY), [16.0] * 6, rtol=1e-6)
    for name in ("r1", "r2"):
        np.testing.assert_allclose(penalty(name, D, x, fake, KEY), [8.0] * 6, rtol=1e-6)


def test_one_sided_forgives_a_flat_discriminator():
    x, fake = data()
    for slope, two_sided, one_sided in [(0.25, 0.5625, 0), (1.0, 0, 0), (3.0, 4, 4)]:
        for name, expected in [("gradient_penalty", two_sided), ("gradient_penalty_one_sided", one_sided)]:
            found = penalty(name, linear(slope), x, fake, KEY)
            np.testing.assert_allclose(found, [expected] * 8, rtol=1e-6, atol=1e-12)


def test_r1_and_r2_of_a_quadratic_by_hand():
    x, fake = jnp.float32([[1, 2], [0, 3]]), jnp.float32([[0, 0.5], [1, 1]])
    np.testing.assert_allclose(penalty("r1", quadratic, x, fake, KEY), [10, 18])  # (2 |x|)^2 / 2
    np.testing.assert_allclose(penalty("r2", quadratic, x, fake, KEY), [0.5, 4])
    np.testing.assert_allclose(PENALTIES["r1"](quadratic, x, None, None), [10, 18])
    np.testing.assert_allclose(PENALTIES["r2"](quadratic, None, fake, None), [0.5, 4])


def test_zero_centered_of_a_quadratic_is_the_slope_at_the_interpolates():
    x, fake = data()
    points = np.asarray(interpolates(x, fake, KEY), np.float64)
    expected = 4 * np.sum(points**2, axis=(1, 2, 3))
    np.testing.assert_allclose(penalty("zero_centered", quadratic, x, fake, KEY), expected, rtol=1e-5)


def test_the_slope_is_over_all_axes_of_an_example():
    x = jax.random.normal(jax.random.key(1), (3, 5, 4, 2))
    np.testing.assert_allclose(squared_grad_norm(quadratic, x), 4 * np.sum(np.square(x), axis=(1, 2, 3)), rtol=1e-5)


def test_interpolates_lie_between_with_one_share_per_example():
    n = 4000
    x, fake = jnp.zeros((n, 2, 3)), jnp.ones((n, 2, 3)) * jnp.arange(1.0, 4.0).reshape(1, 1, 3)
    points = interpolates(x, fake, KEY)
    share = np.asarray(points / fake)
    np.testing.assert_allclose(share, np.broadcast_to(share[:, :1, :1], share.shape), atol=1e-6)
    assert np.all((share >= 0) & (share <= 1)) and len(np.unique(share[:, 0, 0])) > 0.99 * n
    # uniform: mean 1/2 and deviation 1/sqrt(12), to four standard errors
    assert np.mean(share[:, 0, 0]) == pytest.approx(0.5, abs=4 / math.sqrt(12 * n))
    assert np.std(share[:, 0, 0]) == pytest.approx(1 / math.sqrt(12), abs=0.01)
    x, fake = data()
    points = interpolates(x, fake, KEY)
    assert jnp.all(points >= jnp.minimum(x, fake) - 1e-6) and jnp.all(points <= jnp.maximum(x, fake) + 1e-6)


def test_perturbed_data_follow_their_law():
    n = 2000
    x = jnp.tile(jnp.float32([[-3.0, 3.0]]), (n, 1))  # mean 0, deviation 3
    added = np.asarray(perturbed_data(x, KEY, noise=0.5) - x)
    assert np.all(added >= 0) and np.max(added) <= 1.5 + 1e-5
    # a u .5 std, a and u uniform: mean .5 * 3 / 4; elements of an example share a, so that their correlation is
    # cov(a u, a u') / var(a u) = (1/12 * 1/4) / (1/9 - 1/16) = 3/7
    assert np.mean(added) == pytest.approx(0.375, abs=0.02)
    assert np.corrcoef(added.T)[0, 1] == pytest.approx(3 / 7, abs=0.07)
    np.testing.assert_array_equal(perturbed_data(x, KEY, noise=0.0), x)


def test_dragan_is_the_slope_at_the_perturbed_data():
    x, _ = data()
    points = np.asarray(perturbed_data(x, KEY, noise=0.25), np.float64)
    expected = (2 * np.sqrt(np.sum(points**2, axis=(1, 2, 3))) - 1) ** 2
    np.testing.assert_allclose(penalty("dragan", quadratic, x, None, KEY, noise=0.25), expected, rtol=1e-5)


def test_max_gradient_is_that_of_the_steepest_example():
    x, fake = data()
    slopes = squared_grad_norm(quadratic, interpolates(x, fake, KEY))
    values = penalty("max_gradient", quadratic, x, fake, KEY)
    assert jnp.mean(values) == pytest.approx(float(jnp.max(slopes)), rel=1e-6)
    assert int(jnp.sum(values > 0)) == 1 and jnp.argmax(values) == jnp.argmax(slopes)
    np.testing.assert_allclose(penalty("max_gradient", linear(3.0), x, fake, KEY), [9.0] * 8)  # all equally steep


@pytest.mark.parametrize("name", PENALTIES)
def test_one_key_or_one_per_example(name):
    x, fake = data()
    whole = penalty(name, quadratic, x, fake, KEY)
    for keys in (jax.random.split(KEY, 8), jax.random.key_data(KEY)):  # the latter as of jax.random.PRNGKey
        np.testing.assert_allclose(penalty(name, quadratic, x, fake, keys), whole, rtol=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_one_device_equals_two(name):
    x, fake = data()
    keys = jax.random.split(KEY, 8)
    theta = {"w": jax.random.normal(jax.random.key(1), (16, 5)), "b": jnp.ones(5)}

    def objective(theta, x, fake, keys, axis_name=None):
        D = lambda x: network(theta, x)  # noqa: E731
        values = PENALTIES[name](D, x, fake, keys, axis_name=axis_name)
        return jnp.mean(values), values

    def step(*batch, axis_name=None):
        gradient, values = jax.grad(objective, has_aux=True)(theta, *batch, axis_name=axis_name)
        return (jax.lax.pmean(gradient, axis_name) if axis_name else gradient), values

    gradient, values = jax.jit(step)(x, fake, keys)
    halves = [a.reshape(2, 4, *a.shape[1:]) for a in (x, fake, keys)]
    both, parts = jax.jit(jax.vmap(functools.partial(step, axis_name="device"), axis_name="device"))(*halves)
    # A finite difference divides rounding errors of D by its deviation.
    less = 100 if name in FINITE.values() else 1
    np.testing.assert_allclose(parts.reshape(8), values, rtol=less * 2e-5, atol=less * 1e-6)
    for a, b in zip(jax.tree.leaves(both), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(a[0], b, rtol=less * 1e-4, atol=less * 1e-5)
    if name in ("dragan", "max_gradient"):  # what couples examples is another number on a part of the minibatch
        alone = objective(theta, *(a[0] for a in halves))[1]
        assert not np.allclose(alone, values[:4], rtol=1e-3)


@pytest.mark.parametrize("name", PENALTIES)
def test_finite_where_the_slope_is_zero(name):
    x, fake = data()
    at_zero = {"gradient_penalty": 1, "dragan": 1}.get(name, 0)
    dead = {"w": jnp.ones((16, 5)), "b": jnp.full(5, -1e3)}  # no unit is on: D = 0 with slope 0
    constant = {"w": jnp.zeros((16, 5)), "b": jnp.ones(5)}
    for theta in (dead, constant):
        total = lambda theta: jnp.mean(PENALTIES[name](lambda x: network(theta, x), x, fake, KEY))  # noqa: E731
        loss, gradient = jax.jit(jax.value_and_grad(total))(theta)
        assert loss == pytest.approx(at_zero, abs=1e-5)
        assert all(jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(gradient))
    np.testing.assert_allclose(PENALTIES[name](lambda x: jnp.zeros(8), x, fake, KEY), [at_zero] * 8, atol=1e-5)


def test_gradient_with_respect_to_the_discriminator_by_hand():
    # D = a x: s = |a|; d/da (|a| - 1)^2 = 2 (a - 1), d/da a^2 / 2 = a, d/da a^2 = 2 a
    x, fake = data()
    at_3 = {name: 4.0 for name in SLOPE_ONE} | {"r1": 3.0, "r2": 3.0, "zero_centered": 6.0, "max_gradient": 6.0}
    for name, slope in at_3.items():
        total = lambda a: jnp.mean(PENALTIES[name](lambda x: a * x[:, 0, 0, 0], x, fake, KEY))  # noqa: B023, E731
        gradient = jax.jit(jax.grad(total))
        assert gradient(3.0) == pytest.approx(slope, rel=1e-5)
        assert name != "gradient_penalty_one_sided" or gradient(0.5) == 0


@pytest.mark.parametrize("name", PENALTIES)
def test_the_points_are_constants(name):
    x, fake = data()
    total = lambda x, fake: jnp.sum(penalty(name, quadratic, x, fake, KEY))  # noqa: E731
    for gradient in jax.grad(total, (0, 1))(x, fake):
        np.testing.assert_array_equal(gradient, jnp.zeros_like(gradient))


@pytest.mark.parametrize("name", PENALTIES)
def test_which_arguments_are_used(name):
    x, fake = data()
    whole = penalty(name, quadratic, x, fake, KEY)
    changes = lambda *arguments: not np.array_equal(penalty(name, quadratic, *arguments), whole)  # noqa: E731
    assert changes(x, fake + 1, KEY) == (name not in ("r1", "r1_finite_difference", "dragan"))
    assert changes(x + 1, fake, KEY) != PENALTIES[name].at_fakes
    assert changes(x, fake, jax.random.key(4)) == (name not in ("r1", "r2"))
    assert whole.shape == (8,) and whole.dtype == jnp.float32
    with jax.enable_x64(True):
        double = [jnp.asarray(np.asarray(a), jnp.float64) for a in (x, fake)]
        numbers = {k: jnp.float32(v) for k, v in fields_of(PENALTIES[name]).items()}
        assert penalty(name, quadratic, *double, KEY, **numbers).dtype == jnp.float64


def test_members_differ_by_traced_numbers():
    x, fake = data()
    target = jnp.float32([1.0, 2.0, 4.0])
    penalties = jax.vmap(lambda t: jnp.mean(penalty("gradient_penalty", linear(4.0), x, fake, KEY, target=t)))(target)
    np.testing.assert_allclose(penalties, [9, 1, 0], atol=1e-6)
    assert fields_of(PENALTIES["gradient_penalty"]) == {"target": 1.0}
    assert fields_of(PENALTIES["dragan"]) == {"target": 1.0, "noise": 0.5}
    assert fields_of(PENALTIES["r1"]) == {}


@pytest.mark.parametrize("name", PENALTIES)
def test_integers_are_refused(name):
    pixels = jnp.arange(8, dtype=jnp.uint8).reshape(2, 4)
    with pytest.raises(UserError, match="differentiates D with respect to its input, which is uint8"):
        PENALTIES[name](quadratic, pixels, pixels, KEY)


def test_data_and_fakes_of_different_numbers_are_refused():
    x, fake = data()
    with pytest.raises(UserError, match=r"\(8, 4, 4, 1\) and \(7, 4, 4, 1\)"):
        PENALTIES["gradient_penalty"](quadratic, x, fake[:7], KEY)


# --- Finite differences -----------------------------------------------------------------------------------------------

FINITE = {"r1": "r1_finite_difference", "r2": "r2_finite_difference"}


def test_finite_differences_of_a_quadratic_by_hand():
    """D = |x|^2: D(x + s n) - D(x) = 2 s <x, n> + s^2 |n|^2, with the n of each example's key."""
    x, fake = data(shape=(3,))
    keys = jax.random.split(KEY, 8)
    n = np.stack([np.asarray(jax.random.normal(key, (3,)), np.float64) for key in keys])
    for name, points in (("r1", x), ("r2", fake)):
        expected = (2 * np.sum(np.asarray(points, np.float64) * n, axis=1) + 0.25 * np.sum(n * n, axis=1)) ** 2 / 2
        values = penalty(FINITE[name], quadratic, x, fake, keys, deviation=0.25)
        np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_bias_and_variance_of_finite_differences():
    """Linear D: s^2 / 2 chi^2_1, without bias. Quadratic D, H = 2 I: a bias of deviation^2 (d^2 + 2 d) / 2, exactly."""
    n, d, deviation = 40_000, 3, 0.5
    x = jnp.broadcast_to(jnp.float32([1.0, -2.0, 0.5]), (n, d))
    values = np.asarray(penalty(FINITE["r1"], linear(3.0), x, None, KEY, deviation=deviation), np.float64)
    assert values.mean() == pytest.approx(4.5, abs=4 * 4.5 * math.sqrt(2 / n))
    assert values.std() == pytest.approx(4.5 * math.sqrt(2), rel=0.05)
    values = np.asarray(penalty(FINITE["r1"], quadratic, x, None, KEY, deviation=deviation), np.float64)
    exact, error = float(penalty("r1", quadratic, x[:1], None, KEY)[0]), float(values.std()) / math.sqrt(n)
    assert values.mean() == pytest.approx(exact + deviation**2 * (d * d + 2 * d) / 2, abs=4 * error)
    assert abs(values.mean() - exact) > 10 * error


def test_finite_differences_pull_at_the_weights_as_r1_does():
    """The mean gradient over many directions is that of the slope, for a smooth D and a small deviation."""
    theta = {"w": jax.random.normal(jax.random.key(1), (4, 5)), "b": jnp.ones(5)}
    x = jnp.broadcast_to(jax.random.normal(jax.random.key(2), (4,)), (20_000, 4))
    mean = lambda theta, name: jnp.mean(PENALTIES[name](lambda x: network(theta, x), x, x, KEY))  # noqa: E731
    exact, estimate = (jax.jit(jax.grad(mean), static_argnums=1)(theta, name) for name in ("r1", FINITE["r1"]))
    for a, b in zip(jax.tree.leaves(estimate), jax.tree.leaves(exact), strict=True):
        assert np.linalg.norm(a - b) < 0.05 * np.linalg.norm(b)


def test_both_points_of_a_difference_are_evaluated_in_one_call():
    """So a D with random numbers per example, dropout or an augmentation, uses the same ones for both."""
    x, _ = data()
    calls, masks = [], jax.random.bernoulli(jax.random.key(5), 0.5, (8, 4, 4, 1)).astype(jnp.float32)

    def D(x):
        calls.append(x.shape)
        return jnp.sum(2 * x * masks, axis=(1, 2, 3))

    values = PENALTIES[FINITE["r1"]](D, x, None, KEY)
    noise = np.stack([np.asarray(jax.random.normal(key, (4, 4, 1))) for key in jax.random.split(KEY, 8)])
    np.testing.assert_allclose(values, 2 * np.sum(noise * masks, axis=(1, 2, 3)) ** 2, rtol=1e-3, atol=1e-2)
    assert calls == [(8, 4, 4, 1)]


@pytest.mark.parametrize(
    ("dtype", "deviation", "resolved"),
    [
        (jnp.float32, 1e-4, False), (jnp.float32, 0.0, False), (jnp.float32, math.nan, False),
        (jnp.float32, 4e-4, True), (jnp.bfloat16, 0.01, False), (jnp.bfloat16, 0.1, True),
    ],
)  # fmt: skip
def test_deviations_that_the_dtype_does_not_resolve_are_refused(dtype, deviation, resolved):
    x = jnp.ones((2, 3), dtype)
    if resolved:
        assert jnp.all(jnp.isfinite(PENALTIES[FINITE["r1"]](quadratic, x, None, KEY, deviation=deviation)))
        return
    with pytest.raises(UserError, match=rf"deviation={deviation:g} measures rounding errors of {jnp.dtype(dtype)}; "):
        PENALTIES[FINITE["r1"]](quadratic, x, None, KEY, deviation=deviation)
