"""Reasons why a score means little, each by hand at its limit; and what real data score."""

import numpy as np
import pytest

from jaxgan import data
from jaxgan.config import update
from jaxgan.features.space import space_type
from jaxgan.metrics import METRICS, label
from jaxgan.metrics.cautions import cautions
from jaxgan.run.scores import real_scores

PROTOCOL = {"samples": 1000, "validation_examples": 700, "real": {"split": "test", "examples": 500}}


def classifier(accuracy: float | None) -> dict:
    return {"features": {"name": "classifier", "accuracy": accuracy}}


@pytest.mark.parametrize(
    ("numbers", "protocol", "dimensions", "words"),
    [
        ({"pixels_fid": 3.0}, {}, 500, None),
        ({"pixels_fid": 3.0}, {}, 501, "FID is of 500 test examples and 501 features"),
        ({"validation_fid": 3.0}, {"real": {"split": "test", "examples": 9999}}, 2048, "of 700 validation examples"),
        ({"fid": 3.0}, {"samples": 100}, 128, "of 100 samples and 128 features"),
        ({"fid": None}, {}, 2048, None),
        ({"kid": 3.0}, {}, 2048, None),
        ({"classifier_kid": 1.0}, classifier(0.9), 128, None),
        ({"classifier_kid": 1.0}, classifier(0.884), 128, "right in 88.4% of held-out images"),
        ({"classifier_kid": 1.0}, classifier(None), 128, None),
        ({"class_kl": 1.0}, {"classes": {"name": "classifier", "accuracy": 0.5}}, 64, "right in 50.0%"),
        ({"pixels_precision": 0.9, "pixels_diversity": 0.6}, {}, 64, None),
        ({"pixels_precision": 0.9, "pixels_diversity": 0.4}, {}, 64, "a collapsed G can score 1"),
        ({"pixels_diversity": 0.4}, {}, 64, None),
        ({"recall": 0.5}, {"samples": 1500}, 64, None),
        ({"recall": 0.5}, {"samples": 1501}, 64, "here 1,501 with 500"),
        ({"parzen_sigma_at_edge": 0.0}, {}, 64, None),
        ({"parzen_sigma_at_edge": 1.0}, {}, 64, "at an end of the range"),
    ],
)  # fmt: skip
def test_when_a_score_means_little(numbers, protocol, dimensions, words):
    found = cautions(numbers, PROTOCOL | protocol, dimensions=dimensions)
    assert len(found) == (words is not None) and (words or "") in "".join(found)


def test_precision_of_nearly_identical_samples_and_a_missing_protocol():
    (sentence,) = cautions({"precision": 1.0}, PROTOCOL, dimensions=64, collapsed=True)
    assert "hardly differ" in sentence
    assert cautions({"precision": 1.0, "fid": 1.0, "recall": 0.5}, {}, dimensions=64)[0].startswith("FID is of 0")
    assert cautions({}, {}, dimensions=64) == []


def test_the_number_of_features(tiny_config):
    dataset = data.load(tiny_config().data)
    for features, want in (("pixels", 64), ("classifier", 128), ("inception:x.npz", 2048)):
        assert space_type(features).dimensions(dataset) == want
    assert space_type("classifier").dimensions(dataset._replace(stack=3)) == 384


def test_no_name_of_the_code_is_read_by_people():
    assert label("validation_log_likelihood") == "Parzen validation log-likelihood (nats)"
    assert "Parzen window" in label("parzen_sigma") and label("an_unknown_number") == "an unknown number"


def test_what_real_data_score(tiny_config):
    """The numbers of the metric itself on training examples; of metrics that cannot score these, nothing."""
    config = tiny_config(**{"evaluate.metrics": ("parzen", "memorization", "overfitting"), "evaluate.samples": 40})
    dataset = data.load(config.data)
    count, numbers = real_scores(config, dataset)
    train, validation, test = (
        np.float32(x) / np.float32(255) for x in (dataset.train, dataset.validation, dataset.test)
    )
    expected = METRICS["parzen"].evaluate(samples=train[:40], validation=validation, test=test)
    assert count == 40 and "pixels_memorization" not in numbers
    assert numbers["test_log_likelihood"] == pytest.approx(expected["test_log_likelihood"], abs=1e-3)
    assert real_scores(update(config, {"evaluate.metrics": ("overfitting",)}), dataset) == (0, {})
    assert real_scores(config, dataset._replace(stack=3)) == (0, {})
    precision = update(config, {"evaluate.metrics": ("prdc",), "evaluate.samples": 10_000})
    assert real_scores(precision, dataset._replace(train=dataset.train[:3])) == (0, {})  # k = 5
