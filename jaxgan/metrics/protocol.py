"""What a metric says of itself, so that evaluation, reports and checkpoints need to know no metric by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Shown(NamedTuple):
    """How a number is shown to people."""

    words: str  # such as 'modes captured', with a unit in brackets
    digits: int  # behind the point
    better: int  # 1: larger is better, -1: smaller is better, 0: neither


class Metric(NamedTuple):
    """One file of `metrics/`, one line in `METRICS`.

    `evaluate` takes what it `needs` by name and returns numbers by name:

      samples: [n, *shape] float32, of G; images in [0, 1] (unless data.gcn is set) whatever G's own range is.
      validation, test: [n, *shape] float32, of the same range; not empty.
      mixture: the density p_data of `mixture:NAME`.
    """

    needs: tuple[str, ...]
    evaluate: Callable[..., dict[str, Any]]
    shown: dict[str, Shown]  # of each number, or of those that people should see
    best: str  # the number that may name the best checkpoint: never one of the test set
