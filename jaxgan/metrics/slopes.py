"""The norm of D's input gradient on data and on samples, which gradient penalties bound and from which G learns."""

from __future__ import annotations

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric


def evaluate(train: AnyArray, samples: AnyArray) -> dict[str, float]:
    """Mean |d logit / dx| at training examples and at samples of G, in logits per unit of the data, float64.

    Args:
      train, samples: [n] and [m], norms of D's input gradient.

    Raises:
      UserError: either is empty, or not finite.
    """
    train, samples = np.asarray(train, np.float64), np.asarray(samples, np.float64)
    for name, slopes in (("training examples", train), ("samples", samples)):
        if not slopes.size or not np.all(np.isfinite(slopes)):
            raise UserError(f"D's gradient norms at {name} are {'not finite' if slopes.size else 'missing'}.")
    return {"slope_train": float(train.mean()), "slope_samples": float(samples.mean())}


METRIC = Metric(
    needs=("train_slopes", "sample_slopes"),
    evaluate=lambda train_slopes, sample_slopes: evaluate(train_slopes, sample_slopes),
    outputs={
        "slope_train": Display("slope of D at training examples", 3, 0),
        "slope_samples": Display("slope of D at samples", 3, 0),
    },
    best="",
)
