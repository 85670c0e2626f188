"""The birthday test (arXiv:1706.08224): estimates the support size of p_g from the rate of near-duplicate samples."""

from __future__ import annotations

import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.metrics import distances, inputs
from jaxgan.metrics.protocol import Display, Metric

MAX_EXAMPLES = 5000  # per set


def evaluate(real: AnyArray, fake: AnyArray) -> dict[str, float]:
    """The number of near-duplicates per sample, and the support size that it implies.

    Two samples are near-duplicates if their distance is at most that of the closest pair among equally many real
    examples; in the paper, humans inspect the closest pairs. (If the data contain exact duplicates, only exact
    duplicates count.) With c such pairs among m samples, a uniform distribution has support m (m - 1) / (2 c).

    Args:
      real: [n, d], fake: [m, d], features, of which the first min(n, m, 5,000) of each are compared.

    Returns:
      `near_duplicates`, 2 c / m, and `support`; if c is 0, `support` is the lower bound at c = 1.

    Raises:
      UserError: fewer than 2 of either, constant, not finite, or of different dimensions.
    """
    real, fake = inputs.pair(real, fake, 2, "the birthday test")
    m = min(len(real), len(fake), MAX_EXAMPLES)
    nearest = distances.nearest_others(real[:m], 1)[0].min()
    radii = np.full((m, 1), nearest)
    balls = distances.balls(fake[:m], radii, fake[:m], radii, strict=False)
    pairs = (int(balls.counts.sum()) - m) // 2  # each pair counts twice, and each sample is in its own ball
    return {"near_duplicates": 2 * pairs / m, "support": m * (m - 1) / (2 * max(pairs, 1))}


METRIC = Metric(
    needs=("real_features", "fake_features"),
    evaluate=lambda real_features, fake_features: evaluate(real_features, fake_features),
    outputs={
        "near_duplicates": Display("near-duplicates of a sample", 4, 0),
        "support": Display("support by the birthday test", 0, 0),
    },
    best="",
    min_examples=2,
    used=lambda real, fake: {"examples": min(real, fake, MAX_EXAMPLES)},
)
