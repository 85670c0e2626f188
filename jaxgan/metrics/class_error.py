"""The share of held-out examples whose class D predicts wrongly."""

from __future__ import annotations

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric


def evaluate(class_logits: AnyArray, labels: AnyArray) -> dict[str, float]:
    """The share of examples whose largest class logit is not that of their label, in [0, 1].

    Args:
      class_logits: [n, K] float, D's without dropout and noise.
      labels: [n] integers.

    Raises:
      UserError: empty, or of different lengths.
    """
    predicted, labels = np.argmax(np.asarray(class_logits), axis=1), np.asarray(labels)
    if predicted.shape != labels.shape or not labels.size:
        raise UserError(f"{len(predicted)} predictions and {labels.size} labels; give as many of both, 1 or more.")
    return {"class_error": float(np.mean(predicted != labels))}


METRIC = Metric(
    needs=("class_logits", "labels"),
    evaluate=evaluate,
    outputs={"class_error": Display("examples misclassified by D", 4, -1)},
    best="class_error",
)
