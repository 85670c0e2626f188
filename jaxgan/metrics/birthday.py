"""The birthday test (arXiv:1706.08224): from how often samples nearly repeat, on how many different ones G draws."""

from __future__ import annotations

import numpy as np
from jax.typing import ArrayLike

from jaxgan.metrics import distances, inputs
from jaxgan.metrics.protocol import Display, Metric

MOST = 5000  # examples of each set


def evaluate(real: ArrayLike, fake: ArrayLike) -> dict[str, float]:
    """How many near-duplicates a sample has among the others, and the support that they imply.

    Two samples are near-duplicates if they are at most as far apart as the two closest of as many real examples; in
    the paper people judge the closest pairs. (Data that repeat exactly leave only exact repeats.) With c such pairs
    among m samples the support, were all of it equally likely, would be m (m - 1) / (2 c).

    Args:
      real: [n, d], fake: [m, d], features, of which the first min(n, m, 5,000) of each are compared.

    Returns:
      `near_duplicates`, c over m / 2, and `support`, or, where c is 0, a lower bound of it: that of c = 1.

    Raises:
      UserError: fewer than 2 of either, constant, not finite, or of different sizes.
    """
    real, fake = inputs.pair(real, fake, 2, "the birthday test")
    m = min(len(real), len(fake), MOST)
    nearest = distances.nearest_others(real[:m], 1)[0].min()
    radii = np.full((m, 1), nearest)
    found = distances.balls(fake[:m], radii, fake[:m], radii, strict=False)
    pairs = (int(found.counts.sum()) - m) // 2  # each is counted from both ends, and each sample is in its own ball
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
    used=lambda real, fake: {"examples": min(real, fake, MOST)},
)
