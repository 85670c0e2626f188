"""Heuristic warnings of mode collapse or a saturated D, from the numbers of an evaluation and the steps before it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from jaxgan.data import Dataset
from jaxgan.data.stacked import gather_labels
from jaxgan.metrics import label
from jaxgan.metrics.modes import count_classes
from jaxgan.metrics.protocol import VALIDATION

MIN_DIVERSITY = 0.5
MAX_DECLINE = 0.1  # relative to the best score
SATURATED_LOSS = 10.0  # of G, in nats


def alarms(
    last: Mapping[str, float | None],
    best: Mapping[str, float | None] | None = None,
    selection: tuple[str, int] | None = None,
    data_kl: float = 0.0,
) -> list[str]:
    """One sentence per warning; [] if there is none.

    - Samples are less than half as far apart as data (`diversity`).
    - About half of the data's classes are missing: KL of the samples' classes to uniform more than log 2 above
      that of as many examples of the data (`class_kl`).
    - A sample has a near-duplicate among the others (`near_duplicates` of 1 or more).
    - The score that selects checkpoints is worse than its best by more than a tenth.
    - D's mean probability on samples is below e^-10 (`d_fake`), so that -log D(G(z)) is above 10 nats.
    - A score is NaN, infinite or missing.

    Args:
      last: the last numbers by name; None or NaN if one could not be computed.
      best: the numbers of the best evaluation by `selection`, including its `step`.
      selection: the metric that selects checkpoints, and its sign, 1 if larger is better.
      data_kl: `data_class_kl`; 0 for data with equally many examples of each class.
    """
    sentences = []
    finite = {name: number for name, number in last.items() if number is not None and math.isfinite(number)}
    missing = [name for name in last if name not in finite]
    if missing:
        sentences.append(f"{', '.join(map(label, missing))} could not be computed.")
    for name, number in finite.items():
        base = name.removeprefix(VALIDATION)
        if base.endswith("diversity") and number < MIN_DIVERSITY:
            sentences.append(f"Samples are {number:.2f} times as far apart as data: G has collapsed, or nearly.")
        elif base == "class_kl" and number > math.log(2) + data_kl:
            data = f", the data's {data_kl:.2f}" if data_kl else ""
            sentences.append(f"The samples' classes are {number:.2f} nats from uniform{data}: classes are missing.")
        elif base.endswith("near_duplicates") and number >= 1:
            sentences.append(f"A sample has {number:.1f} near-duplicates: G repeats itself.")
        elif name == "d_fake" and number < math.exp(-SATURATED_LOSS):
            sentences.append(f"D(G(z)) is {number:.1e}: D has won, and G's gradient may have vanished.")
    if best and selection:
        name, sign = selection
        now, then = finite.get(name), best.get(name)
        if now is not None and then is not None and sign * (then - now) > MAX_DECLINE * abs(then):
            sentences.append(
                f"{label(name)} was {then:.4g} at step {best['step']:,} and is {now:.4g} now: use the best checkpoint."
            )
    return sentences


def data_class_kl(dataset: Dataset, n: int) -> float:
    """The `class_kl` of n random training examples (a fixed seed); 0 without labels.

    It includes the sampling noise of few samples of many classes.
    """
    if dataset.train_labels is None or not n:
        return 0.0
    known = np.flatnonzero(dataset.train_labels >= 0)  # of few labels, the others are hidden
    rows = known[np.random.default_rng(0).integers(len(known), size=(n, dataset.stack))]
    labels = np.asarray(gather_labels(dataset.train_labels, rows, dataset.classes))
    return count_classes(labels, dataset.classes)["class_kl"]
