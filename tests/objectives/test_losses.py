"""Every loss against published goldens, hand-computed values, and closed forms in 64 bits."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.fields import fields_of
from jaxgan.objectives.losses import LOSSES, MAX_EXPONENT, capped_exp, top_k_mean, top_k_weights
from jaxgan.objectives.value import value

REAL = np.float32([-5.0, 1.4, 12.5, 2.7])
FAKE = np.float32([10.0, 4.4, -5.5, 3.6])
AVERAGES = [name for name in LOSSES if name.startswith("relativistic_average")]
RELATIVISTIC = ["relativistic", *AVERAGES]
DENSITY = [name for name, loss in LOSSES.items() if loss.posterior is not None]
RATIOS = [0.2, 0.7, 1.0, 1.9, 4.0]  # u = p/q


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def test_the_names():
    f_gans = ["f_kl", "f_reverse_kl", "f_pearson", "f_neyman", "f_hellinger", "f_js", "f_total_variation"]
    others = ["minimax", "non_saturating", "least_squares", "hinge", "wasserstein", *RELATIVISTIC]
    assert list(LOSSES) == others + f_gans
    assert len(LOSSES) == 16


# tensorflow/gan losses_impl_test.py has the D losses of cross entropy at .875, hinge, Wasserstein and least squares
# (0, 1, 1), and G's of all but minimax; the others were worked out by an independent script.
@pytest.mark.parametrize(
    "name, numbers, d, g",
    [
        ("minimax", {}, 5.833866, -4.510821),
        ("non_saturating", {}, 5.833866, 1.385821),
        ("non_saturating", {"real_target": 0.875}, 6.196366, 1.385821),
        ("least_squares", {}, 41.733750, 17.696250),
        ("least_squares", {"a": -1.0, "b": 1.0, "c": 0.0}, 45.358750, 20.321250),
        ("hinge", {}, 6.75, -3.125),
        ("wasserstein", {}, 0.225, -3.125),
        ("relativistic", {}, 4.822435, 4.597435),
        ("relativistic_average", {}, 5.212013, 4.762013),
    ],
)
def test_goldens(name, numbers, d, g):
    loss = LOSSES[name]
    assert jnp.mean(loss.discriminator(REAL, FAKE, **numbers)) == pytest.approx(d, abs=1e-5)
    assert jnp.mean(loss.generator(REAL, FAKE, **numbers)) == pytest.approx(g, abs=1e-5)


def test_relativistic_averages_by_hand():
    # means: real 1, fake 1: r - m_f = (-1, 1), f - m_r = (-3, 3)
    real, fake = np.float32([0.0, 2.0]), np.float32([-2.0, 4.0])
    least_squares, hinge = LOSSES["relativistic_average_least_squares"], LOSSES["relativistic_average_hinge"]
    np.testing.assert_allclose(least_squares.discriminator(real, fake), [4 + 4, 0 + 16])
    np.testing.assert_allclose(least_squares.generator(real, fake), [0 + 16, 4 + 4])
    np.testing.assert_allclose(hinge.discriminator(real, fake), [2 + 0, 0 + 4])
    np.testing.assert_allclose(hinge.generator(real, fake), [0 + 4, 2 + 0])


def test_gradients_flow_through_both_means():
    # RaLS with one example a side: (r - f - 1)^2 + (f - r + 1)^2 = 2 (r - f - 1)^2; with detached means, half of it
    d = lambda r, f: jnp.sum(LOSSES["relativistic_average_least_squares"].discriminator(r, f))  # noqa: E731
    r, f = jnp.array([3.0]), jnp.array([0.5])
    assert jax.grad(d, 0)(r, f)[0] == pytest.approx(4 * 1.5)
    assert jax.grad(d, 1)(r, f)[0] == pytest.approx(-4 * 1.5)


def test_cross_entropy_by_hand():
    logit = np.float32([math.log(0.2 / 0.8)])  # D = 0.2
    assert LOSSES["minimax"].generator(None, logit)[0] == pytest.approx(math.log(0.8), rel=1e-6)
    assert LOSSES["non_saturating"].generator(None, logit)[0] == pytest.approx(-math.log(0.2), rel=1e-6)
    for name in ("minimax", "non_saturating"):
        d = LOSSES[name].discriminator(logit, logit)
        assert d[0] == pytest.approx(-math.log(0.2) - math.log(0.8), rel=1e-6)
        smoothed = LOSSES[name].discriminator(logit, logit, real_target=0.9)
        assert smoothed[0] == pytest.approx(-0.9 * math.log(0.2) - 0.1 * math.log(0.8) - math.log(0.8), rel=1e-6)


def test_the_discriminators_cross_entropy_is_minus_the_value():
    real, fake = jax.random.normal(jax.random.key(0), (2, 50))
    assert jnp.mean(LOSSES["minimax"].discriminator(real, fake)) == pytest.approx(-float(value(real, fake)), rel=1e-12)


def test_gradients_by_hand():
    # d/da log(1 - sigmoid(a)) = -D; d/da -log sigmoid(a) = D - 1: minimax saturates at D -> 0, section 3.
    a = jnp.float32(math.log(0.01 / 0.99))
    slope = lambda name: jax.grad(lambda a: LOSSES[name].generator(None, a))(a)  # noqa: E731
    assert slope("minimax") == pytest.approx(-0.01, rel=1e-4)
    assert slope("non_saturating") == pytest.approx(-0.99, rel=1e-4)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_cross_entropy_is_exact_at_extreme_logits(logit):
    softplus = lambda t: max(t, 0) + math.log1p(math.exp(-abs(t)))  # noqa: E731
    sigmoid = lambda t: math.exp(min(t, 0)) / (1 + math.exp(-abs(t)))  # noqa: E731
    x = jnp.float32(logit)
    for name, loss, slope in [
        ("minimax", -softplus(logit), -sigmoid(logit)),
        ("non_saturating", softplus(-logit), -sigmoid(-logit)),
    ]:
        g = lambda a, name=name: LOSSES[name].generator(None, a)  # noqa: E731
        assert g(x) == pytest.approx(loss, rel=1e-6, abs=1e-30)
        assert jax.grad(g)(x) == pytest.approx(slope, rel=1e-5, abs=1e-30)
    assert LOSSES["minimax"].discriminator(x, x) == pytest.approx(softplus(-logit) + softplus(logit), rel=1e-6)


# r = f = the optimal output at p = q, D's sum and G's loss there.
AT_EQUALITY = {
    "minimax": (0.0, 2 * math.log(2), -math.log(2)),
    "non_saturating": (0.0, 2 * math.log(2), math.log(2)),
    "least_squares": (0.5, 0.25, 0.125),
    "hinge": (0.0, 2.0, 0.0),
    "wasserstein": (7.0, 0.0, -7.0),
    "relativistic": (7.0, math.log(2), math.log(2)),
    "relativistic_average": (7.0, 2 * math.log(2), 2 * math.log(2)),
    "relativistic_average_least_squares": (7.0, 2.0, 2.0),
    "relativistic_average_hinge": (7.0, 2.0, 2.0),
    "f_kl": (1.0, 0.0, -1.0),
    "f_reverse_kl": (0.0, 0.0, 1.0),
    "f_pearson": (0.0, 0.0, 0.0),
    "f_neyman": (0.0, 0.0, 0.0),
    "f_hellinger": (0.0, 0.0, 0.0),
    "f_js": (0.0, 0.0, 0.0),
    "f_total_variation": (3.0, 0.0, -math.tanh(3.0) / 2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_where_data_and_generator_are_equal(name):
    logit, d, g = AT_EQUALITY[name]
    logits = jnp.full(3, logit)
    np.testing.assert_allclose(LOSSES[name].discriminator(logits, logits), [d] * 3, atol=1e-12)
    np.testing.assert_allclose(LOSSES[name].generator(logits, logits), [g] * 3, atol=1e-12)
    slope = jax.grad(lambda v: LOSSES[name].discriminator(v[None], v[None])[0])(jnp.float64(logit))
    assert slope == pytest.approx(0, abs=1e-12)  # neither up nor down: half of the logits are data


OPTIMA = {  # of D's output, from u = p/q
    "minimax": math.log,
    "non_saturating": math.log,
    "least_squares": lambda u: u / (u + 1),
    "f_kl": lambda u: 1 + math.log(u),
    "f_reverse_kl": math.log,
    "f_pearson": lambda u: 2 * (u - 1),
    "f_neyman": lambda u: 2 * math.log(u),
    "f_hellinger": lambda u: math.log(u) / 2,
    "f_js": math.log,
}


def pointwise(name, u, **numbers):
    """v -> u d_real(v) + d_fake(v) up to a constant: what D descends where p/q = u."""
    d, zero = LOSSES[name].discriminator, jnp.zeros(1)  # d(v, 0) and d(0, v): the two parts, up to constants
    return lambda v: u * d(v[None], zero, **numbers)[0] + d(zero, v[None], **numbers)[0]


@pytest.mark.parametrize("name", OPTIMA)
def test_the_optimal_discriminator(name):
    grid = jnp.linspace(-10.0, 10.0, 2001)
    for u in RATIOS:
        expected = OPTIMA[name](u)
        assert jax.grad(pointwise(name, u))(jnp.float64(expected)) == pytest.approx(0, abs=1e-10)
        lowest = grid[jnp.argmin(jax.vmap(pointwise(name, u))(grid))]
        assert lowest == pytest.approx(expected, abs=0.006)


def test_optima_of_hinge_and_total_variation_are_signs():
    grid = jnp.linspace(-5.0, 5.0, 101)
    for u in (0.5, 2.0):
        sign = math.copysign(1, u - 1)
        hinge = jax.vmap(pointwise("hinge", u))(grid)
        assert grid[jnp.argmin(hinge)] == pytest.approx(sign)
        slope = jax.grad(pointwise("f_total_variation", u))
        assert all(-sign * slope(jnp.float64(v)) > 0 for v in (-2.0, 0.0, 2.0))


@pytest.mark.parametrize("target", [0.9, 0.6])
def test_label_smoothing_scales_the_optimal_discriminator(target):
    for u in RATIOS:
        D = target * u / (u + 1)
        slope = jax.grad(pointwise("non_saturating", u, real_target=target))(jnp.float64(math.log(D / (1 - D))))
        assert slope == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", DENSITY)
def test_the_posterior_of_an_optimal_discriminator(name):
    assert set(DENSITY) == set(OPTIMA)
    loss = LOSSES[name]
    for u in RATIOS:
        logit = jnp.array([OPTIMA[name](u)])
        assert loss.posterior(logit)[0] == pytest.approx(u / (u + 1), rel=1e-12)
        is_sigmoid = jax.nn.sigmoid(logit)[0] == pytest.approx(u / (u + 1), rel=1e-12)
        assert u == 1 or is_sigmoid == loss.probability
    extreme = loss.posterior(jnp.float32([-1e4, -3.0, 3.0, 1e4]))
    assert jnp.all((extreme >= 0) & (extreme <= 1)) and jnp.all(jnp.diff(extreme) >= 0)


def test_the_posterior_with_other_numbers():
    for u in RATIOS:
        b_a = jnp.array([(u - 1) / (u + 1)])  # (b p + a q)/(p + q) with a = -1, b = 1
        assert LOSSES["least_squares"].posterior(b_a, a=-1.0, b=1.0, c=0.0)[0] == pytest.approx(u / (u + 1))
        D = 0.9 * u / (u + 1)
        smoothed = jnp.array([math.log(D / (1 - D))])
        assert LOSSES["minimax"].posterior(smoothed, real_target=0.9)[0] == pytest.approx(u / (u + 1))


DIVERGENCES = {  # f(u), from the divergences' definitions
    "f_kl": lambda u: u * np.log(u),
    "f_reverse_kl": lambda u: -np.log(u),
    "f_pearson": lambda u: (u - 1) ** 2,
    "f_neyman": lambda u: (1 - u) ** 2 / u,
    "f_hellinger": lambda u: (np.sqrt(u) - 1) ** 2,
    "f_js": lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2),
    "f_total_variation": lambda u: 0.5 * np.abs(u - 1),
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_bound_of_an_f_gan_is_its_divergence(name):
    p, q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.25, 0.3, 0.05, 0.4])
    divergence = np.sum(q * DIVERGENCES[name](p / q))
    loss = LOSSES[name]

    @jax.jit
    def bound(v):  # -E[D's loss], over all pairs of a point of p and a point of q
        return -jnp.sum(np.outer(p, q).ravel() * loss.discriminator(jnp.repeat(v, 4), jnp.tile(v, 4)))

    if name == "f_total_variation":
        optimum = 20 * jnp.sign(jnp.asarray(p - q))
    else:
        optimum = jnp.array([OPTIMA[name](u) for u in p / q])
    assert bound(optimum) == pytest.approx(divergence, rel=1e-9)
    for seed in range(5):
        other = optimum + jax.random.normal(jax.random.key(seed), (4,), jnp.float64)
        assert bound(other) <= divergence + 1e-12


@pytest.mark.parametrize("name", LOSSES)
def test_finite_at_extreme_logits(name):
    loss = LOSSES[name]
    real = jnp.float32([[1e4, 0], [1e4, 0], [-1e4, 0], [-1e4, 0]])
    fake = jnp.float32([[1e4, 0], [-1e4, 0], [1e4, 0], [-1e4, 0]])
    for player in (loss.discriminator, loss.generator):
        total = lambda r, f: jnp.sum(player(r, f))  # noqa: B023, E731
        values, gradients = jax.jit(jax.vmap(jax.value_and_grad(total, (0, 1))))(real, fake)
        assert jnp.all(jnp.isfinite(values)) and all(jnp.all(jnp.isfinite(g)) for g in gradients)


def test_the_capped_exponential():
    below = jnp.linspace(-50.0, MAX_EXPONENT, 50)
    np.testing.assert_allclose(capped_exp(below), np.exp(below), rtol=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.grad(capped_exp))(below), np.exp(below), rtol=1e-14)
    assert capped_exp(jnp.float64(32.0)) == pytest.approx(math.exp(30) * 3)
    assert jax.grad(capped_exp)(jnp.float64(1e4)) == pytest.approx(math.exp(30))


@pytest.mark.parametrize("name", LOSSES)
def test_only_differences_have_meaning(name):
    loss = LOSSES[name]
    real, fake = jnp.asarray(REAL, float), jnp.asarray(FAKE, float)
    d = lambda shift: jnp.sum(loss.discriminator(real + shift, fake + shift))  # noqa: E731
    assert (abs(d(2.5) - d(0.0)) < 1e-9) == loss.shift_invariant
    if name in RELATIVISTIC:
        np.testing.assert_allclose(loss.generator(real + 2.5, fake + 2.5), loss.generator(real, fake), rtol=1e-12)
    slope = jax.grad(lambda f: jnp.sum(loss.generator(real, f)))
    if name == "wasserstein":
        np.testing.assert_array_equal(slope(fake + 2.5), slope(fake))


@pytest.mark.parametrize("name", LOSSES)
def test_the_generator_needs_data_if_declared(name):
    loss = LOSSES[name]
    real, fake = jnp.asarray(REAL), jnp.asarray(FAKE)
    moved = loss.generator(real.at[1].add(1), fake) - loss.generator(real, fake)
    assert bool(jnp.any(moved != 0)) == loss.needs_real == (name in RELATIVISTIC)
    if not loss.needs_real:
        np.testing.assert_array_equal(loss.generator(None, fake), loss.generator(real, fake))


@pytest.mark.parametrize("name", LOSSES)
def test_the_generator_is_pushed_towards_more_real(name):
    slope = jax.grad(lambda f: jnp.sum(LOSSES[name].generator(jnp.asarray(REAL), f)))
    fake = jnp.float32([-0.6, 0.1, 0.3, -0.2])
    if name == "least_squares":
        fake = fake - 1  # below the target
    assert jnp.all(slope(fake) < 0)


def test_all_but_the_paired_loss_ignore_the_order_of_the_fakes():
    for name, loss in LOSSES.items():
        d = [float(jnp.sum(loss.discriminator(REAL, fake))) for fake in (FAKE, FAKE[::-1].copy())]
        changes = d[0] != pytest.approx(d[1], rel=1e-5)
        assert changes == (name == "relativistic")


@pytest.mark.parametrize("name", LOSSES)
def test_fields_types_jit_and_vmap(name):
    loss = LOSSES[name]
    numbers = fields_of(loss)
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    for player in filter(None, (loss.discriminator, loss.generator, loss.posterior)):
        parameters = inspect.signature(player).parameters.values()
        assert numbers == {p.name: p.default for p in parameters if p.kind is keyword_only}
    traced = {k: jnp.float32(v) for k, v in numbers.items()}
    for player in (loss.discriminator, loss.generator):
        for dtype in (jnp.float32, jnp.float64):
            real, fake = jnp.asarray(REAL, dtype), jnp.asarray(FAKE, dtype)
            out = player(real, fake)
            assert out.shape == (4,) and out.dtype == dtype
            np.testing.assert_allclose(jax.jit(player)(real, fake, **traced), out, rtol=1e-6)
        members = jax.vmap(player)(jnp.stack([real, fake]), jnp.stack([fake, real]))
        np.testing.assert_allclose(members, [player(real, fake), player(fake, real)], rtol=1e-12)


def test_members_differ_by_traced_numbers():
    target = jnp.float32([1.0, 0.875])
    d = jax.vmap(lambda t: jnp.mean(LOSSES["minimax"].discriminator(REAL, FAKE, real_target=t)))(target)
    np.testing.assert_allclose(d, [5.833866, 6.196366], atol=1e-5)
    assert fields_of(LOSSES["minimax"]) == {"real_target": 1.0}
    assert fields_of(LOSSES["least_squares"]) == {"a": 0.0, "b": 1.0, "c": 1.0}
    assert fields_of(LOSSES["hinge"]) == {}


def test_top_k_by_hand():
    logits = jnp.float32([0.3, 2.0, -1.0, 2.0, 5.0])
    np.testing.assert_allclose(top_k_weights(logits, 0.4), [0, 0.5, 0, 0, 0.5])  # of equals the earlier
    np.testing.assert_allclose(top_k_weights(logits, 0.79), [0, 1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)  # 3.95 -> 3
    np.testing.assert_allclose(top_k_weights(logits, 0.01), [0, 0, 0, 0, 1])
    np.testing.assert_allclose(top_k_weights(logits, 1.0), [0.2] * 5)
    values = jnp.float32([1.0, 10.0, jnp.inf, 30.0, 50.0])  # what is left out does not count
    assert top_k_mean(values, logits, 0.6) == pytest.approx(30)


def test_top_k_counts_exactly_and_is_traced():
    logits = jax.random.normal(jax.random.key(0), (100,), jnp.float32)
    share = jnp.arange(1, 101, dtype=jnp.float32) / 100
    weights = jax.jit(jax.vmap(top_k_weights, (None, 0)))(logits, share)
    np.testing.assert_array_equal(jnp.sum(weights > 0, axis=1), jnp.arange(1, 101))
    for k in (1, 29, 100):
        expected = np.mean(np.sort(np.asarray(logits))[-k:])
        assert top_k_mean(logits, logits, share[k - 1]) == pytest.approx(expected, rel=1e-5)


def test_gradient_of_the_top_k_mean_is_that_of_the_chosen():
    logits = jnp.float32([0.0, 3.0, 1.0, 2.0])
    g = lambda f: top_k_mean(LOSSES["hinge"].generator(None, f), f, 0.5)  # noqa: E731
    np.testing.assert_allclose(jax.grad(g)(logits), [0, -0.5, 0, -0.5])
