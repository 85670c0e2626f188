"""Metrics of samples and players: one file per metric, pure functions on arrays, and one line per metric here."""

from jaxgan.features.space import SPACES
from jaxgan.metrics import (
    birthday,
    class_error,
    conditional,
    diversity,
    fid,
    inception_score,
    kid,
    label_accuracy,
    memorization,
    modes,
    neighbours,
    overfitting,
    paired,
    parzen,
    prd,
    prdc,
    probe,
    reconstruction,
    slopes,
    spectra,
)
from jaxgan.metrics.protocol import Display, Metric

METRICS: dict[str, Metric] = {
    "parzen": parzen.METRIC,
    "modes": modes.METRIC,
    "fid": fid.METRIC,
    "kid": kid.METRIC,
    "inception_score": inception_score.METRIC,
    "prdc": prdc.METRIC,
    "prd": prd.METRIC,
    "neighbours": neighbours.METRIC,
    "class_modes": modes.CLASS_METRIC,
    "label_accuracy": label_accuracy.METRIC,
    "diversity": diversity.METRIC,
    "memorization": memorization.METRIC,
    "birthday": birthday.METRIC,
    "overfitting": overfitting.METRIC,
    "slopes": slopes.METRIC,
    "spectra": spectra.METRIC,
    "high_quality_kl": modes.HIGH_QUALITY_METRIC,
    "conditional": conditional.METRIC,
    "paired": paired.METRIC,
    "reconstruction": reconstruction.METRIC,
    "class_error": class_error.METRIC,
    "probe": probe.METRIC,
}

# The display of every output of every metric, by full name.
DISPLAYS: dict[str, Display] = {
    name: display for metric in METRICS.values() for space in SPACES for name, display in metric.displays(space).items()
}

# Numbers that accompany a metric's outputs in tables and are not compared.
DETAILS: dict[str, Display] = {
    "parzen_sigma": Display("width of the Parzen window, by validation examples", 3, 0),
    "parzen_sigma_at_edge": Display("Parzen window at an end of the range tried (1: yes)", 0, 0),
    "test_standard_error": Display("standard error of the Parzen test log-likelihood (nats)", 1, 0),
}


def label(name: str) -> str:
    """The label of a number in an evaluation, for display."""
    display = DISPLAYS.get(name) or DETAILS.get(name)
    return display.label if display else name.replace("_", " ")
