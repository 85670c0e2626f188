"""Inception Score (arXiv:1606.03498): exp E_x KL(p(y|x) || p(y)), on a classifier's logits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Num

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric


def evaluate(logits: Num[AnyArray, "n classes"], splits: int = 10) -> tuple[float, float]:
    """Mean and population standard deviation of the score over contiguous splits, float64.

    Split i holds examples i n // splits to (i + 1) n // splits, and has its own p(y). So samples must be in random
    order: sorted by class, they score near 1. (torch-fidelity shuffles first.) The range is 1 to the number of classes.

    Args:
      logits: those of the FID Inception-v3 are without the bias, by convention.

    Raises:
      UserError: fewer examples than splits, other shapes, or numbers that are not finite.
    """
    import scipy.special  # here: it changes the warning filters of the program that imports it

    logits = np.asarray(logits, np.float64)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise UserError(f"logits of shape {logits.shape} are not [n, classes], with 2 classes or more.")
    if not 1 <= splits <= len(logits):
        raise UserError(f"{len(logits)} logits can't be split in {splits}; the Inception Score needs one or more each.")
    if not np.all(np.isfinite(logits)):
        raise UserError("logits are not finite; the Inception Score can't use them.")
    log_p = scipy.special.log_softmax(logits, axis=1)
    n, scores = len(logits), np.empty(splits)
    for i in range(splits):
        part = log_p[i * n // splits : (i + 1) * n // splits]
        marginal = scipy.special.logsumexp(part, axis=0, keepdims=True) - np.log(len(part))
        scores[i] = np.exp(np.mean(np.sum(np.exp(part) * (part - marginal), axis=1)))
    return float(scores.mean()), float(scores.std())


SPLITS = 10


def measure(fake_logits: AnyArray) -> dict[str, float]:
    """`evaluate` as {name: value}."""
    mean, deviation = evaluate(fake_logits, SPLITS)
    return {"inception_score": mean, "inception_score_deviation": deviation}


METRIC = Metric(
    needs=("fake_logits",),
    evaluate=measure,
    outputs={
        "inception_score": Display("Inception Score", 2, 1),
        "inception_score_deviation": Display("Inception Score's deviation over splits", 2, 0),
    },
    best="inception_score",
    min_examples=SPLITS,
    conventions={"splits": SPLITS},
)
