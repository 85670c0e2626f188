"""Averages of theta_g: the profile that each gives the past, against closed forms in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import ema
from jaxgan.algorithm1 import train_step
from jaxgan.config import default, update
from jaxgan.errors import UserError
from jaxgan.evaluation.samples import sample_stream
from jaxgan.game.sampling import sample, standing_statistics
from jaxgan.game.state import run_stream


def weights(average: ema.Average, steps: int, m: int = 1, ramp: float = 0.0) -> np.ndarray:
    """What theta_g after each step weighs in the average after the last, by its own recursion, float64."""
    found = np.zeros(steps)
    for t in range(1, steps + 1):
        share = float(ema.ema_decay(average, jnp.float32(t), m=m, rampup=ramp, warmup=0.0))
        found *= share
        found[t - 1] = 1 - share
    return found


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 6.94])
def test_power_function_weights(gamma):
    """(s^(g+1) - (s-1)^(g+1)) / t^(g+1): the profile (g+1) tau^g / t^(g+1) of arXiv:2312.02696 over each step."""
    n = 200
    ends = (np.arange(n + 1) / n) ** (gamma + 1)
    found = weights(ema.Average("", "gamma", gamma), n)
    np.testing.assert_allclose(found, np.diff(ends), atol=2e-6)
    assert found.sum() == pytest.approx(1, abs=1e-5)  # nothing is left of the initial parameters
    # The relative width of the profile, sqrt((g+1) / ((g+2)^2 (g+3))): .2357 for gamma 1.
    middle = (np.arange(n) + 0.5) / n
    width = np.sqrt(found @ middle**2 - (found @ middle) ** 2)
    assert width == pytest.approx(np.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))), rel=1e-3)


def test_a_half_life_is_in_images():
    """After H images what was there weighs half."""
    average = ema.Average("", "half_life", 1000.0)
    assert float(ema.ema_decay(average, jnp.float32(7), m=100, rampup=0.0, warmup=0.0)) ** 10 == pytest.approx(
        0.5, rel=1e-5
    )
    theta_g = average._replace(number=0.0)
    assert float(ema.ema_decay(theta_g, jnp.float32(7), m=100, rampup=0.0, warmup=0.0)) == 0  # theta_g itself


def test_a_ramp_shortens_the_half_life_early_on():
    """min(H, ramp * images so far): StyleGAN2-ADA's rule."""
    average = ema.Average("", "half_life", 1000.0)
    for t, half_life in ((1, 5.0), (20, 100.0), (200, 1000.0), (10_000, 1000.0)):
        found = float(ema.ema_decay(average, jnp.float32(t), m=100, rampup=0.05, warmup=0.0))
        assert found == pytest.approx(0.5 ** (100 / half_life), rel=1e-4)


def test_a_half_life_rises_along_half_a_cosine():
    """R3GAN's schedule: 0 at the start, half of H half way, H from `rise` images on; a ramp limits it still."""
    average = ema.Average("", "half_life", 1000.0)
    for t, half_life in ((5, 500.0), (10, 1000.0), (20, 1000.0), (2, 500 * (1 - np.cos(np.pi / 5)))):
        found = float(ema.ema_decay(average, jnp.float32(t), m=100, rampup=0.0, warmup=1000.0))
        assert found == pytest.approx(0.5 ** (100 / half_life), rel=1e-4)
    assert float(ema.ema_decay(average, jnp.float32(20), m=100, rampup=0.05, warmup=1000.0)) == pytest.approx(
        0.5, rel=1e-4
    )


def test_averages_have_names_in_the_order_of_the_state():
    config = update(default(), {"generator.ema.gamma": (1.0, 6.94), "generator.ema.half_life": (10_000,)})
    averages = ema.averages(config.generator.ema).rules
    assert [a.name for a in averages] == ["gamma=1", "gamma=6.94", "half_life=10000"]
    assert averages[0].description == "power-function EMA of G, weights ~ step^1"
    assert averages[2].description == "EMA of G with a half-life of 10,000 images"
    assert ema.averages(default().generator.ema).rules == ()


@pytest.mark.parametrize(
    ("width", "gamma"),
    [(0.05, 16.9722), (0.10, 6.9372), (0.15, 3.5579), (0.20, 1.8262), (0.25, 0.7198), (0.2357023, 1)],
)
def test_width_and_gamma(width, gamma):
    assert ema.gamma_from_sigma_rel(width) == pytest.approx(gamma, abs=1e-4)
    assert ema.sigma_rel(ema.gamma_from_sigma_rel(width)) == pytest.approx(width, rel=1e-9)
    assert ema.sigma_rel(0) == pytest.approx(1 / np.sqrt(12))  # of a uniform profile
    for wrong in (0.0, -0.1, 0.3, float("nan")):
        with pytest.raises(UserError, match=r"above 0 and at most 0\.2887"):
            ema.gamma_from_sigma_rel(wrong)


def profile(snapshot: ema.Snapshot, t: np.ndarray) -> np.ndarray:
    g, end = snapshot
    return np.where(t <= end, (g + 1) * (t / end) ** g / end, 0.0)


def test_the_overlap_of_profiles_is_their_integral():
    t = (np.arange(400_000) + 0.5) / 1000  # to 400
    for a, b in [((2.0, 300), (0.5, 400)), ((0.5, 400), (2.0, 300)), ((16.97, 400), (6.94, 400)), ((1.0, 7), (9.0, 7))]:
        a, b = ema.Snapshot(*a), ema.Snapshot(*b)
        assert ema.profile_inner_product(a, b) == pytest.approx(np.sum(profile(a, t) * profile(b, t)) / 1000, rel=1e-4)


def test_a_combination_is_the_nearest_profile():
    """One snapshot is itself; else, but for the factor that makes the sum 1, the rest is orthogonal to each profile."""
    snapshots = [ema.Snapshot(gamma, step) for step in (50, 100, 150, 200) for gamma in (16.97, 6.94)]
    weights, error = ema.posthoc_weights(snapshots, snapshots[5])
    np.testing.assert_allclose(weights, np.eye(8)[5], atol=1e-9)
    assert error < 1e-6
    wanted, t = ema.Snapshot(ema.gamma_from_sigma_rel(0.15), 200), (np.arange(100_000) + 0.5) / 500
    weights, error = ema.posthoc_weights(snapshots, wanted)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    profiles, goal = np.array([profile(snapshot, t) for snapshot in snapshots]), profile(wanted, t)
    found = weights @ profiles
    distance = np.linalg.norm(found - goal) / np.linalg.norm(goal)
    assert distance == pytest.approx(error, rel=1e-3) == pytest.approx(0.1057, abs=1e-3)
    factors = (profiles @ found) / (profiles @ goal)
    np.testing.assert_allclose(factors, factors[0], rtol=1e-3)


def test_a_width_is_reconstructed_from_two_others():
    """Of a path that wanders: nearer to the average that was tracked all along than either of those that were kept."""
    steps, widths = 1600, (0.05, 0.10)
    path = np.cumsum(np.random.default_rng(0).normal(size=(steps, 20)), axis=0)
    tracked = {ema.gamma_from_sigma_rel(width): np.zeros(20) for width in (*widths, 0.15)}
    kept, snapshots = [], []
    for t in range(1, steps + 1):
        for gamma, average in tracked.items():
            share = (1 - 1 / t) ** (gamma + 1)
            tracked[gamma] = path[t - 1] + share * (average - path[t - 1])
        if t % 100 == 0:
            snapshots += [ema.Snapshot(ema.gamma_from_sigma_rel(width), t) for width in widths]
            kept += [{"w": np.float32(tracked[ema.gamma_from_sigma_rel(width)])} for width in widths]
    wanted = ema.Snapshot(ema.gamma_from_sigma_rel(0.15), steps)
    weights, error = ema.posthoc_weights(snapshots, wanted)
    found = ema.reconstruct(kept, weights)["w"]
    assert found.dtype == np.float32 and error < 0.01
    goal = tracked[wanted.gamma]
    off = np.linalg.norm(found - goal)
    assert all(off < 0.05 * np.linalg.norm(tracked[ema.gamma_from_sigma_rel(width)] - goal) for width in widths)


def test_several_averages_at_once_and_each_can_be_sampled(game):
    """Against weighted means in float64; the players learn as they do without them."""
    changes = {"generator.ema.gamma": (2.0,), "generator.ema.half_life": (24.0,), "generator.ema.ramp": 0.5}
    g, plain = game(**changes), game()
    gan, state, other = g.gan, g.state, plain.state
    for average in state.averages:
        jax.tree.map(np.testing.assert_array_equal, average, state.generator.params)
    one, same = (
        jax.jit(lambda s, g=g: train_step(gan=g.gan, hparams=g.hparams, state=s, data=g.data)[0]) for g in (g, plain)
    )
    past, n = [], 12
    for _ in range(n):
        state, other = one(state), same(other)
        past.append(jax.tree.leaves(state.generator.params))
    for found, average in zip(state.averages, gan.averages.rules, strict=True):
        if average.kind == "gamma":
            profile = np.diff((np.arange(n + 1) / n) ** 3)
        else:
            shares = [0.5 ** (8 / min(24, 0.5 * 8 * t)) for t in range(1, n + 1)]
            profile = np.array([(1 - shares[t]) * np.prod(shares[t + 1 :]) for t in range(n)])
        rest = 1 - profile.sum()
        for got, start, *thetas in zip(
            jax.tree.leaves(found), jax.tree.leaves(g.state.generator.params), *past, strict=True
        ):
            expected = np.tensordot(profile, np.asarray(thetas, np.float64), 1) + rest * np.asarray(start, np.float64)
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    for ours, theirs in ((state.generator, other.generator), (state.discriminator, other.discriminator)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), ours, theirs)

    key, numbers = run_stream(g.hparams, "user"), jnp.arange(4, dtype=jnp.uint32)
    drawn = {}
    for place, params in ((None, state.generator.params), (0, state.averages[0]), (1, state.averages[1])):
        stats = standing_statistics(gan, g.hparams, params, {})
        drawn[place] = np.asarray(sample_stream(gan, g.hparams, state, key, 4, ema=place))
        expected = sample(gan, g.hparams, params, stats, key=key, numbers=numbers)
        np.testing.assert_allclose(drawn[place], expected, rtol=1e-6)
    assert len({d.tobytes() for d in drawn.values()}) == 3
    # Without averages samples use theta_g, whatever index is requested.
    theta_g = sample(plain.gan, plain.hparams, other.generator.params, {}, key=key, numbers=numbers)
    np.testing.assert_allclose(sample_stream(plain.gan, plain.hparams, other, key, 4), theta_g, rtol=1e-6)
