"""PRD by the unit values of its authors' tests (arXiv:1806.00035), and on features."""

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.metrics import prd


def test_disjoint_distributions_share_nothing():
    for pair in (([0, 1], [1, 0]), ([1, 0], [0, 1])):
        precision, recall = prd.curve(*pair, angles=11)
        assert precision.shape == recall.shape == (11,) and not precision.any() and not recall.any()


def test_fake_broader_than_real():
    precision, recall = prd.curve([0.5, 0.5], [1, 0], angles=11)
    np.testing.assert_allclose(precision[[5, 10]], 0.5, atol=1e-9)
    np.testing.assert_allclose(recall[[0, 5]], [1, 0.5], atol=1e-9)
    np.testing.assert_allclose([precision[0], recall[10]], 0, atol=1e-9)


def test_fake_narrower_than_real():
    precision, recall = prd.curve([1, 0], [0.5, 0.5], angles=11)
    np.testing.assert_allclose(precision[[5, 10]], [0.5, 1], atol=1e-9)
    np.testing.assert_allclose(recall[[0, 5]], 0.5, atol=1e-9)


def test_equal_distributions():
    precision, recall = prd.curve([0.2, 0.3, 0.5], [0.2, 0.3, 0.5])
    assert precision[500] == pytest.approx(1) and recall[500] == pytest.approx(1)
    assert prd.f_beta(precision, recall, 8) == pytest.approx(1)


@pytest.mark.parametrize("beta, want", [(1, 2 / 3), (2, 5 / 9), (0.5, 5 / 6)])
def test_f_beta(beta, want):
    assert prd.f_beta([1.0], [0.5], beta) == pytest.approx(want, rel=1e-12)
    assert prd.f_beta([0.0, 1.0, 0.2], [0.0, 0.5, 0.3], beta) == pytest.approx(want, rel=1e-12)


def test_features_in_clusters_that_nobody_can_miss():
    """Real in clusters 1 and 2, fake in 2 and 3, half each: precision and recall 1/2 at lambda = 1."""
    r = np.random.default_rng(0)
    centres = 100.0 * np.eye(3)
    real, fake = (centres[pair][np.arange(200) % 2] + r.normal(size=(200, 3)) for pair in ([0, 1], [1, 2]))
    got = prd.features_curve(real, fake, clusters=3, angles=101, runs=2)
    want = prd.curve([0, 0.5, 0.5], [0.5, 0.5, 0], angles=101)
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert prd.evaluate(real, fake, clusters=3, runs=2)["f8"] == pytest.approx(0.5, abs=0.01)


def test_which_side_is_which():
    """A fake that drops half of the data is precise (F1/8) and does not recall (F8); the reverse, the reverse."""
    r = np.random.default_rng(0)
    narrow, broad = 100.0 * r.integers(0, 2, (300, 1)), 100.0 * r.integers(0, 4, (300, 1))
    dropping = prd.evaluate(broad, narrow, clusters=4, runs=1)
    assert dropping["f1_8"] > 0.9 > 0.6 > dropping["f8"]
    inventing = prd.evaluate(narrow, broad, clusters=4, runs=1)
    assert inventing["f8"] > 0.9 > 0.6 > inventing["f1_8"]


def test_the_same_seed_the_same_scores():
    r = np.random.default_rng(0)
    real, fake = r.normal(size=(400, 2)), r.normal(size=(400, 2))
    one = prd.evaluate(real, fake, runs=2, seed=1)
    assert one == prd.evaluate(real, fake, runs=2, seed=1) != prd.evaluate(real, fake, runs=2, seed=2)


def test_bad_input_is_one_sentence():
    for pair, words in (
        (([0.5, 0.5], [1.0]), "one shape"),
        (([0.5, 0.6], [0.5, 0.5]), "sum to 1, not to 1.1"),
        (([0.5, 0.5], [1.5, -0.5]), "0 or more"),
    ):
        with pytest.raises(UserError, match=words):
            prd.curve(*pair)
    with pytest.raises(UserError, match="at least 3 angles, not 2"):
        prd.curve([1.0], [1.0], angles=2)
    with pytest.raises(UserError, match="above 0, not 0"):
        prd.f_beta([1.0], [1.0], 0)
    x = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(UserError, match="not 30 and 25"):
        prd.evaluate(x, x[:25])
    with pytest.raises(UserError, match="at least 20 real features, not 10"):
        prd.evaluate(x[:10], x)
