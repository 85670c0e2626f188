"""The test of data-copying, by hand and by its law."""

import numpy as np
import pytest
import scipy.stats

from jaxgan.errors import UserError
from jaxgan.metrics import memorization


def test_a_case_by_hand():
    train = np.array([[0.0], [10.0]])
    real, fake = np.array([[1.0], [3.0]]), np.array([[10.5], [-2.0], [12.0]])  # distances 1, 3; .5, 2, 2
    # Of six pairs the sample is farther in two: 2 > 1 twice. Mean 3, variance 2 * 3 * 6 / 12 = 3.
    assert memorization.evaluate(train, real, fake) == pytest.approx((2 - 3) / np.sqrt(3))


def test_it_is_mann_whitneys_statistic():
    random = np.random.RandomState(0)
    train, real, fake = (random.normal(size=(n, 5)) for n in (200, 150, 170))
    nearest = [np.linalg.norm(x[:, None] - train[None], axis=-1).min(axis=1) for x in (fake, real)]
    u = scipy.stats.mannwhitneyu(*nearest).statistic
    expected = (u - 170 * 150 / 2) / np.sqrt(170 * 150 * 321 / 12)
    assert memorization.evaluate(train, real, fake) == pytest.approx(expected, abs=1e-9)


def test_ties_count_half_on_both_sides():
    """Of a sample as far as a held-out example half is the farther one: data of few values are no copies."""
    held_out, samples = np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0])
    # The sample 1 ties twice; each 2 is beyond two and ties once: 1 + 2 (2 + 1/2) of nine pairs. Mean 9/2.
    expected = (6 - 4.5) / np.sqrt(3 * 3 * 7 / 12)
    assert memorization.z_u(held_out, samples) == pytest.approx(expected)
    assert memorization.z_u(samples, held_out) == pytest.approx(-expected)
    assert memorization.z_u(np.ones(50), np.ones(70)) == 0


def test_copies_are_far_below_and_blur_far_above():
    random = np.random.RandomState(1)
    train, real, honest = (random.normal(size=(300, 8)) for _ in range(3))
    assert abs(memorization.evaluate(train, real, honest)) < 3
    assert memorization.evaluate(train, real, train[:200] + 0.01) < -10
    assert memorization.evaluate(train, real, 2 * honest) > 10


def test_what_it_refuses():
    x = np.random.RandomState(2).normal(size=(10, 3))
    with pytest.raises(UserError, match="equal"):
        memorization.evaluate(x, x, np.ones((4, 3)))
    with pytest.raises(UserError, match="dimensions"):
        memorization.evaluate(x[:, :2], x, x)
