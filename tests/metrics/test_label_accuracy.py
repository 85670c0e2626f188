"""Label accuracy by hand, and the classes that G is conditioned on when it is evaluated."""

import numpy as np
import pytest

from jaxgan import data
from jaxgan.config import default, update
from jaxgan.errors import UserError
from jaxgan.evaluation.checks import check_metrics
from jaxgan.evaluation.samples import evaluation_labels
from jaxgan.metrics import label_accuracy


def test_by_hand():
    assert label_accuracy.evaluate([3, 1, 2, 0], [3, 1, 0, 0]) == 0.75
    with pytest.raises(UserError, match="equally many classes and labels"):
        label_accuracy.evaluate([3, 1], [3])


def test_scored_samples_have_equally_many_of_each_label():
    config = update(
        default(), {"conditional": "label", "evaluate.samples": 50, "evaluate.metrics": ("label_accuracy",)}
    )
    labels = evaluation_labels(config, data.load(config.data))
    np.testing.assert_array_equal(np.bincount(labels), [5] * 10)
    without = update(config, {"evaluate.metrics": ("parzen",)})
    assert evaluation_labels(without, data.load(config.data)) is None  # drawn, as they always were


def test_it_needs_a_conditional_game():
    config = update(default(), {"evaluate.metrics": ("label_accuracy",)})
    with pytest.raises(UserError, match="set conditional=label"):
        check_metrics(config, data.load(config.data))
