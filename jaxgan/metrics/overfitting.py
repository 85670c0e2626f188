"""D's logits on training, held-out and generated examples: whether D knows its training set by heart."""

from __future__ import annotations

import numpy as np
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric


def evaluate(train: ArrayLike, held_out: ArrayLike, samples: ArrayLike) -> dict[str, float]:
    """Mean logits, and `overfitting` = (E train - E held_out) / (E train - E samples), float64.

    0 where D treats data that it has not seen as its training set, 1 where it treats them as samples of G: then its
    gradients tell G nothing of the data but of these examples. It is r_v of arXiv:2006.06676 (equation 1, quoted from
    memory); the constant that losses of differences leave free cancels. Noise over noise where D tells nothing apart.

    Args:
      train, held_out, samples: [n], [m], [k], logits of D.

    Raises:
      UserError: no logits, ones that are not finite, or the same mean on training examples and samples.
    """
    sets = {"training": train, "held-out": held_out, "generated": samples}
    means = []
    for name, logits in sets.items():
        logits = np.asarray(logits, np.float64)
        if not logits.size or not np.all(np.isfinite(logits)):
            raise UserError(f"D's logits on {name} examples are {'not finite' if logits.size else 'missing'}.")
        means.append(float(logits.mean()))
    on_train, on_held_out, on_samples = means
    if on_train == on_samples:
        raise UserError(f"D's mean logit is {on_train:g} on training examples and samples; it tells nothing apart.")
    overfitting = (on_train - on_held_out) / (on_train - on_samples)
    return {
        "logit_train": on_train,
        "logit_held_out": on_held_out,
        "logit_samples": on_samples,
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
