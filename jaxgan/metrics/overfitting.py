"""D's logits on training, held-out and generated examples: whether D has memorized its training set."""

from __future__ import annotations

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric


def evaluate(train: AnyArray, held_out: AnyArray, samples: AnyArray) -> dict[str, float]:
    """Mean logits, and `overfitting` = (E train - E held_out) / (E train - E samples), float64.

    0 if D treats held-out data like its training set, 1 if it treats them like samples of G: its gradients then carry
    no information about the data beyond the training examples. This is r_v of arXiv:2006.06676 (equation 1, quoted from
    memory); the additive constant that relativistic losses leave free cancels. Ill-conditioned if D does not separate
    training examples from samples.

    Args:
      train, held_out, samples: [n], [m], [k], logits of D.

    Raises:
      UserError: no logits, logits that are not finite, or the same mean on training examples and samples.
    """
    sets = {"training": train, "held-out": held_out, "generated": samples}
    means = []
    for name, logits in sets.items():
        logits = np.asarray(logits, np.float64)
        if not logits.size or not np.all(np.isfinite(logits)):
            raise UserError(f"D's logits on {name} examples are {'not finite' if logits.size else 'missing'}.")
        means.append(float(logits.mean()))
    train_mean, held_out_mean, sample_mean = means
    if train_mean == sample_mean:
        raise UserError(
            f"D's mean logit is {train_mean:g} on training examples and samples; it does not separate them."
        )
    overfitting = (train_mean - held_out_mean) / (train_mean - sample_mean)
    return {
        "logit_train": train_mean,
        "logit_held_out": held_out_mean,
        "logit_samples": sample_mean,
        "overfitting": overfitting,
    }


METRIC = Metric(
    needs=("train_logits", "validation_logits", "sample_logits"),
    evaluate=lambda train_logits, validation_logits, sample_logits: evaluate(
        train_logits, validation_logits, sample_logits
    ),
    outputs={
        "logit_train": Display("D's logit, training examples", 3, 0),
        "logit_held_out": Display("D's logit, validation examples", 3, 0),
        "logit_samples": Display("D's logit, samples", 3, 0),
        "overfitting": Display("overfitting of D (0: none, 1: complete)", 3, 0),
    },
    best="",
)
