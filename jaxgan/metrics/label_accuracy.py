"""Whether a conditional G draws what it is asked for, by a classifier of the data (GAN-test, 1807.09499)."""

from __future__ import annotations

import numpy as np
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric


def evaluate(classes: ArrayLike, labels: ArrayLike) -> float:
    """The share of samples that a classifier takes for the class they were asked for, in [0, 1].

    Its ceiling is the classifier's own accuracy on data.

    Args:
      classes: [n] integers, of the classifier.
      labels: [n] integers, that G was given.

    Raises:
      UserError: none, or not as many of one as of the other.
    """
    classes, labels = np.asarray(classes), np.asarray(labels)
    if classes.shape != labels.shape or not classes.size:
        raise UserError(
            f"label accuracy compares as many classes as labels, 1 or more, not {classes.shape} and {labels.shape}."
        )
    return float(np.mean(classes == labels))


METRIC = Metric(
    needs=("fake_classes", "fake_labels"),
    evaluate=lambda fake_classes, fake_labels: {"label_accuracy": evaluate(fake_classes, fake_labels)},
    outputs={"label_accuracy": Display("samples of the class asked for", 4, 1)},
    best="label_accuracy",
)
