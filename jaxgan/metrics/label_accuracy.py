"""The accuracy with which a conditional G produces the requested class, by a classifier (GAN-test, 1807.09499)."""

from __future__ import annotations

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric


def evaluate(classes: AnyArray, labels: AnyArray) -> float:
    """The fraction of samples that a classifier assigns to the class on which G was conditioned, in [0, 1].

    Bounded by the accuracy of the classifier itself on data.

    Args:
      classes: [n] integers, predicted by the classifier.
      labels: [n] integers, on which G was conditioned.

    Raises:
      UserError: empty, or of different lengths.
    """
    classes, labels = np.asarray(classes), np.asarray(labels)
    if classes.shape != labels.shape or not classes.size:
        raise UserError(
            f"label accuracy needs equally many classes and labels, 1 or more, not {classes.shape} and {labels.shape}."
        )
    return float(np.mean(classes == labels))


METRIC = Metric(
    needs=("fake_classes", "fake_labels"),
    evaluate=lambda fake_classes, fake_labels: {"label_accuracy": evaluate(fake_classes, fake_labels)},
    outputs={"label_accuracy": Display("samples classified as their label", 4, 1)},
    best="label_accuracy",
)
