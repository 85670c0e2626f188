"""Section 4 of the paper by training: Proposition 1, Theorem 1, and the accounting of Figure 1."""

import math

import numpy as np
import pytest

from experiments import figure1, proposition1, theorem1

pytestmark = pytest.mark.slow


def test_proposition_1_a_trained_discriminator_is_the_ratio_of_the_densities():
    x, dx, p_data, p_g, D = proposition1.outcome(steps=800, seeds=1)
    assert proposition1.error(np.full_like(x, 0.5), p_data=p_data, p_g=p_g, dx=dx) > 0.2
    assert proposition1.error(D[0], p_data=p_data, p_g=p_g, dx=dx) < 0.015
    # At the crossing of the densities D is 1/2, and far from every example of p_data it is 0.
    crossing = np.argmin(np.where(np.abs(x - 1.5) < 0.5, np.abs(p_data - p_g), np.inf))
    assert D[0, crossing] == pytest.approx(0.5, abs=0.05)
    assert D[0, np.argmin(np.abs(x))] < 0.05


def test_theorem_1_the_criterion_is_the_jensen_shannon_divergence():
    shifts, scales = (a.ravel() for a in np.meshgrid(theorem1.SHIFTS[::5], theorem1.SCALES[::5]))
    _, dx, p_data, p_g = theorem1.densities(shifts, scales)
    criterion, jsd = theorem1.both_sides(p_data, p_g, dx)
    np.testing.assert_allclose(criterion, jsd, atol=1e-5)
    least = np.argmin(criterion)
    assert (shifts[least], scales[least]) == pytest.approx((0, 1))
    assert criterion[least] == pytest.approx(-math.log(4), abs=1e-5)
    assert np.all(np.delete(criterion, least) > -math.log(4) + 1e-3)

    # N(-3, 9) against a sum in float64 that knows nothing of this package.
    x = np.linspace(-30, 30, 20_001)
    p, q = (np.exp(-((x - m) ** 2) / (2 * s * s)) / (s * math.sqrt(2 * math.pi)) for m, s in ((0, 1), (-3, 3)))
    integrand = p * np.log(p / (p + q)) + q * np.log(q / (p + q))
    assert criterion[(shifts == -3) & (scales > 2.99)] == pytest.approx(np.sum(integrand) * (x[1] - x[0]), abs=1e-5)


def test_theorem_1_a_trained_discriminator_reaches_the_criterion_from_below():
    pairs = [(0.0, 1.0), (1.0, 1.0), (0.0, 2.0)]
    values = theorem1.train_and_evaluate(pairs, steps=(0, 10, 400))
    _, dx, p_data, p_g = theorem1.densities(*np.array(pairs, np.float32).T)
    best, _ = theorem1.both_sides(p_data, p_g, dx)
    gap = best[:, None] - values
    assert np.all(gap > -1e-5)
    assert np.all(gap[1:, 0] > 0.1)  # where p_g is not p_data there was something to learn
    assert np.all(gap[:, -1] < 0.01)


@pytest.mark.parametrize("fold", [False, True])
def test_the_density_of_g_is_exact_also_where_g_folds(fold):
    u = 2 * np.arctanh(figure1.Z)  # logistic
    x = 0.6 * np.abs(u) - 1 if fold else 1 - 0.6 * u
    edges = (figure1.EDGES[:, None] - (-1 if fold else 1)) / 0.6
    cdf = 1 / (1 + np.exp(-edges[:, 0]))
    if fold:
        cdf = np.maximum(2 * cdf - 1, 0)
    found = figure1.pushforward(np.asarray(x, np.float32))
    np.testing.assert_allclose(found, np.diff(cdf) / figure1.DX, atol=2e-3)


def test_figure_1_first_trains_d_alone_then_the_pair():
    moments = [figure1.Moment("", 0, 0), figure1.Moment("(b)", 100, 0), figure1.Moment("(d)", 100, 150)]
    (first, alone, last), p_data = figure1.play(figure1.settings(), 2, moments)
    assert np.sum(p_data) * figure1.DX == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(alone.G, first.G)
    assert np.all(np.abs(alone.D - first.D).max(axis=1) > 0.1)
    assert np.all(alone.mean_D < 0.45)  # it distinguishes G(z) from x
    assert np.all(last.jsd < 0.5 * first.jsd)
    assert not np.allclose(last.p_g[0], last.p_g[1])  # two seeds
