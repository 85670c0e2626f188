"""Signs that G has collapsed or that the game is lost, from the numbers of an evaluation and of the steps before it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from jaxgan.data import Dataset
from jaxgan.data.stacked import gather_labels
from jaxgan.metrics import label
from jaxgan.metrics.modes import count_classes
from jaxgan.metrics.protocol import VALIDATION

ALIKE = 0.5  # of `diversity`
WORSE = 0.1  # of the best score
SATURATED = 10.0  # nats of G's loss


def alarms(
    last: Mapping[str, float | None],
    best: Mapping[str, float | None] | None = None,
    selection: tuple[str, int] | None = None,
    data_kl: float = 0.0,
) -> list[str]:
    """Sentences, one per sign; [] without any.

    - Samples are less than half as far apart as data (`diversity`).
    - Half of the data's classes, or as much, are missing: KL of the samples' classes to uniform more than log 2 above
      that of as many examples of the data (`class_kl`).
    - A sample has a near-duplicate among the others (`near_duplicates` of 1 or more).
    - The score that chooses checkpoints was better by more than a tenth than it is now.
    - D gives samples a probability of data below e^-10 (`d_fake`), so that -log D(G(z)) is above 10 nats.
    - A score is not a number.

    Args:
      last: numbers by name; of scores, the last ones. None or NaN is a number that could not be computed.
      best: those of the evaluation that is best by `selection`, its `step` among them.
      selection: the number that chooses, and its sign, 1 where larger is better.
      data_kl: `data_class_kl`; 0 for data with equally many examples of each class.
    """
    found = []
    finite = {name: number for name, number in last.items() if number is not None and math.isfinite(number)}
    missing = [name for name in last if name not in finite]
    if missing:
        found.append(f"{', '.join(map(label, missing))} could not be computed.")
    for name, number in finite.items():
        own = name.removeprefix(VALIDATION)
        if own.endswith("diversity") and number < ALIKE:
            found.append(f"Samples are {number:.2f} times as far apart as data: G has collapsed, or nearly.")
        elif own == "class_kl" and number > math.log(2) + data_kl:
            data = f", the data's {data_kl:.2f}" if data_kl else ""
            found.append(f"The samples' classes are {number:.2f} nats from uniform{data}: classes are missing.")
        elif own.endswith("near_duplicates") and number >= 1:
            found.append(f"A sample has {number:.1f} near-duplicates: G repeats itself.")
        elif name == "d_fake" and number < math.exp(-SATURATED):
            found.append(f"D(G(z)) is {number:.1e}: D has won, and G's gradient may have vanished.")
    if best and selection:
        name, sign = selection
        now, then = finite.get(name), best.get(name)
        if now is not None and then is not None and sign * (then - now) > WORSE * abs(then):
            found.append(
                f"{label(name)} was {then:.4g} at step {best['step']:,} and is {now:.4g} now: take the best checkpoint."
            )
    return found


def data_class_kl(dataset: Dataset, n: int) -> float:
    """The `class_kl` of n training examples, drawn at random the same every time; 0 without labels.

    What chance alone does to few samples of many classes is in it.
    """
    if dataset.train_labels is None or not n:
        return 0.0
    rows = np.random.default_rng(0).integers(len(dataset.train_labels), size=(n, dataset.stack))
    labels = np.asarray(gather_labels(dataset.train_labels, rows, dataset.classes))
    return count_classes(labels, dataset.classes)["class_kl"]
