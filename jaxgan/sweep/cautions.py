"""Warnings about uninformative scores of a sweep: intervals outside a score's range, and scores at chance level."""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxgan.features.space import SPACES
from jaxgan.metrics import DISPLAYS, METRICS
from jaxgan.sweep.settings import SweepSummary
from jaxgan.sweep.statistics import mean_interval

NEAR = 0.02  # a score this close to chance, as a fraction of its range, is at chance level


class Range(NamedTuple):
    """The range of a score."""

    low: float
    high: float
    chance: float | None = None  # the score of a G that has learned nothing


_SHARE = Range(0, 1, 0)
_RANGES = {
    **dict.fromkeys(("precision", "recall", "coverage", "high_quality", "prd_f8", "prd_f1_8"), _SHARE),
    **dict.fromkeys(("fid", "mode_kl", "class_kl", "high_quality_kl", "modes", "class_modes"), Range(0, math.inf)),
    "label_accuracy": Range(0, 1),
    "neighbours_accuracy": Range(0, 1, 1),
    "neighbours_excess": Range(0, 0.5, 0.5),
    "jsd": Range(0, math.log(2), math.log(2)),
    "diversity": Range(0, math.inf),
    "inception_score": Range(1, math.inf),
}
RANGES = {
    metric.full_name(name, space, validation=validation): _RANGES[name]
    for metric in METRICS.values()
    for name in metric.outputs
    if name in _RANGES
    for space in SPACES
    for validation in (False, True)
}


def cautions(swept: SweepSummary) -> list[str]:
    """Warnings about the last scores, one sentence per reason and score."""
    sentences = []
    for name in (name for name in swept.metrics if name in RANGES):
        low, high, chance = RANGES[name]
        scores = [list(setting.scores("final", name).values()) for setting in swept.settings]
        means = [mean for mean in map(mean_interval, scores) if mean.n]
        if any(mean.n > 1 and (mean.low < low or mean.high > high) for mean in means):
            limits = f"below {low:g}" if math.isinf(high) else f"outside [{low:g}, {high:.3g}]"
            sentences.append(
                f"{DISPLAYS[name].label}: intervals extend {limits}, the range of the score; with few seeds, or scores "
                f"near an end of the range, intervals are only rough."
            )
        if means and chance is not None and all(abs(m.mean - chance) <= NEAR * (high - low) for m in means):
            sentences.append(
                f"{DISPLAYS[name].label}: all settings are at chance level ({chance:.3g}), so their differences are "
                f"meaningless; train longer, or use another score."
            )
    return sentences
