"""Precision and recall by nearest neighbours, against values by hand and a float64 reference."""

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.metrics import neighbours


def reference(samples, data, k):
    """arXiv:1904.06991, eq. 1 and 2, as written."""

    def extent(points):
        between = np.linalg.norm(points[:, None] - points[None], axis=-1)
        return np.sort(between, axis=1)[:, k]  # [:, 0] is the point itself

    def inside(points, others):
        return (np.linalg.norm(points[:, None] - others[None], axis=-1) <= extent(others)).any(axis=1).mean()

    return inside(samples, data), inside(data, samples)


def test_by_hand():
    """On a line, k = 1: the data's balls cover [-1, 2] and [10, 13], the samples' [.2, .8] and [3, 45]."""
    data = np.array([[0.0], [1.0], [11.0], [12.0]])
    samples = np.array([[0.4], [0.6], [17.0], [31.0]])
    found = neighbours.evaluate(samples, data, k=1)
    assert found.precision == 0.5  # 0.4 and 0.6
    assert found.recall == 0.5  # 11 and 12, in the ball of 14 about 17


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_against_the_definition_in_float64(k, shift):
    rng = np.random.default_rng(0)
    data, samples = rng.normal(size=(701, 12)) + shift, 0.9 * rng.normal(size=(701, 12)) + 0.2 + shift
    got = neighbours.evaluate(samples, data, k)
    np.testing.assert_allclose(got, reference(samples, data, k), atol=1.5 / 701)  # one point on a ball's edge
    assert 0.1 < got.recall < got.precision < 1


def test_what_a_parzen_window_does_not_see():
    """One good image over and over: all precision, no recall; and the same draw twice is a match."""
    data = np.random.default_rng(0).normal(size=(400, 5))
    stuck = neighbours.evaluate(data[:1] + 1e-3 * np.random.default_rng(1).normal(size=(400, 5)), data)
    assert stuck.precision == 1 and stuck.recall <= 1 / 400
    assert neighbours.evaluate(data, data) == (1, 1)


def test_as_many_samples_as_data():
    data = np.random.default_rng(0).normal(size=(300, 2, 2, 1))
    assert neighbours.evaluate(data[:90], data) == (1, 1)


def test_refuses():
    with pytest.raises(UserError, match="3 nearest neighbours take 4 of each"):
        neighbours.evaluate(np.zeros((9, 2)), np.zeros((3, 2)))
    with pytest.raises(UserError, match="2 numbers each and the data 3"):
        neighbours.evaluate(np.zeros((9, 2)), np.zeros((9, 3)))
