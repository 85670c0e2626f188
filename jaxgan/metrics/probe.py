"""Logistic regression on D's features, beside the pixels, their principal components, and an untrained D.

An untrained network is the baseline: random features can be as good as learned ones.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.metrics.protocol import Display, Metric

EXAMPLES = 1000  # labelled training examples, the first ones
PENALTY = 1.0  # scikit-learn's C of the squared norm of the weights, of standardized features


def evaluate(
    probes: dict[str, tuple[AnyArray, AnyArray]], labels: AnyArray, probe_labels: AnyArray
) -> dict[str, float]:
    """The share of held-out examples that a logistic regression misclassifies, by its inputs.

    Args:
      probes: of each name 'features', 'untrained', 'pixels' and 'pca', (training [t, d], held-out [n, d]) float.
      labels: [n] integers, of the held-out examples; probe_labels: [t], of the training examples.
    """
    return {
        name: float(np.mean(_predicted(train, probe_labels, held_out) != np.asarray(labels)))
        for name, (train, held_out) in ((f"probe_{key}_error", pair) for key, pair in probes.items())
    }


def _predicted(train: AnyArray, y: AnyArray, held_out: AnyArray) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning  # here: importing scikit-learn takes a second
    from sklearn.linear_model import LogisticRegression

    train, held_out = (np.asarray(x, np.float64) for x in (train, held_out))
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    deviation = np.where(deviation > 1e-12, deviation, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=PENALTY, max_iter=1000).fit((train - mean) / deviation, np.asarray(y))
    return model.predict((held_out - mean) / deviation)


def _used(real: int, fake: int) -> dict[str, Any]:
    return {"examples": real, "labelled": EXAMPLES}


METRIC = Metric(
    needs=("probes", "labels", "probe_labels"),
    evaluate=evaluate,
    outputs={
        "probe_features_error": Display("error of logistic regression on D's features", 4, -1),
        "probe_untrained_error": Display("the same on the features of an untrained D", 4, 0),
        "probe_pixels_error": Display("the same on pixels", 4, 0),
        "probe_pca_error": Display("the same on principal components", 4, 0),
    },
    best="probe_features_error",
    used=_used,
)
