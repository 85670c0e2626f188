"""The Inception Score of distributions whose entropies are known."""

import math

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.metrics import inception_score


def test_by_hand():
    """p(y|x) = (3/4, 1/4) and (1/4, 3/4), p(y) = (1/2, 1/2): exp(log 2 - H(3/4))."""
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    logits = np.log([[3.0, 1.0], [1.0, 3.0]]) + np.array([[5.0], [-900.0]])  # a constant per example doesn't count
    mean, std = inception_score.evaluate(logits, splits=1)
    assert mean == pytest.approx(math.exp(math.log(2) - entropy), rel=1e-12) and std == 0


def test_between_1_and_the_number_of_classes():
    certain = np.tile(1000 * np.eye(7), (20, 1))
    assert inception_score.evaluate(certain, splits=5) == pytest.approx((7, 0), abs=1e-9)
    assert inception_score.evaluate(np.zeros((140, 7))) == pytest.approx((1, 0), abs=1e-12)
    by_class = certain[np.argsort(np.arange(140) % 7, kind="stable")]
    assert inception_score.evaluate(by_class, splits=7)[0] == pytest.approx(1)  # sorted: every split is of one class


def test_contiguous_splits_and_the_population_deviation():
    """Of 5 examples in 2 splits, 2 and 3: scores 1 (one class) and 3 (three classes)."""
    logits = 1000 * np.eye(3)[[0, 0, 0, 1, 2]]
    assert inception_score.evaluate(logits, splits=2) == pytest.approx((2, 1), rel=1e-12)


def test_bad_input_is_one_sentence():
    with pytest.raises(UserError, match="9 logits can't be split in 10"):
        inception_score.evaluate(np.zeros((9, 3)))
    with pytest.raises(UserError, match="can't be split in 0"):
        inception_score.evaluate(np.zeros((9, 3)), splits=0)
    with pytest.raises(UserError, match="not finite"):
        inception_score.evaluate(np.full((9, 3), np.inf), splits=2)
    with pytest.raises(UserError, match=r"\(9,\)"):
        inception_score.evaluate(np.zeros(9))
