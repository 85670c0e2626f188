"""The 1-nearest-neighbour test, against values by hand and a float64 reference."""

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.metrics import neighbours


def normal(seed, n=701, d=12):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_by_hand():
    data = np.array([[0.0], [1.0], [11.0], [12.0]])
    samples = np.array([[0.9], [1.2], [20.0], [-4.0]])
    # Nearest others: 0 -> .9, 1 -> .9, 11 -> 12, 12 -> 11; .9 -> 1, 1.2 -> 1, 20 -> 12, -4 -> 0.
    found = neighbours.evaluate(samples, data)
    assert found == (0.5, 0.0)
    assert found.accuracy == 0.25


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_against_the_definition_in_float64(shift):
    data, samples = normal(0) + shift, 0.8 * normal(1) + 0.2 + shift
    both = np.concatenate([data, samples])
    between = np.linalg.norm(both[:, None] - both[None], axis=-1)
    np.fill_diagonal(between, np.inf)
    right = (between.argmin(axis=1) < 701) == (np.arange(1402) < 701)
    got = neighbours.evaluate(samples, data)
    np.testing.assert_allclose(got, [right[:701].mean(), right[701:].mean()], atol=1.5 / 701)  # a tie, in float32
    assert got.data < 0.5 < got.samples


def test_accuracy_of_equal_smooth_collapsed_and_distant_samples():
    data = normal(0)
    same = neighbours.evaluate(normal(1), data)
    assert abs(same.accuracy - 0.5) < 0.06  # 4 standard errors of 1402 coins, which depend on one another
    smooth = neighbours.evaluate(0.5 * normal(1), data)
    assert smooth.accuracy > 0.7 and smooth.samples > smooth.data + 0.3
    stuck = neighbours.evaluate(data[:1] + 1e-3 * normal(1), data)
    assert stuck.samples > 0.99
    far = neighbours.evaluate(normal(1) + 9, data)
    assert far == (1, 1)
    assert neighbours.evaluate(data + 1e-4 * normal(1), data) == (0, 0)  # copies


def test_as_many_samples_as_data():
    data, samples = (x.reshape(-1, 2, 2, 3) for x in (normal(0), normal(1)))
    want = neighbours.evaluate(samples[:90], data[:90])
    assert neighbours.evaluate(samples, data[:90]) == want == neighbours.evaluate(samples[:90], data)


def test_refuses():
    with pytest.raises(UserError, match="0 samples and 3 examples"):
        neighbours.evaluate(np.zeros((0, 2)), np.zeros((3, 2)))
    with pytest.raises(UserError, match="2 numbers each and the data 3"):
        neighbours.evaluate(np.zeros((9, 2)), np.zeros((9, 3)))
    with pytest.raises(UserError, match="not finite"):
        neighbours.evaluate(np.full((9, 2), np.nan), np.zeros((9, 2)))
