"""How good samples are: a file per metric, pure functions on arrays, and one line per metric here."""

from jaxgan.metrics import (
    birthday,
    diversity,
    fid,
    inception_score,
    kid,
    label_accuracy,
    memorization,
    modes,
    neighbours,
    overfitting,
    parzen,
    prd,
    prdc,
    slopes,
    spectra,
)
from jaxgan.metrics.protocol import SPACES, Metric, Shown

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
}

# Of every number that a metric may report.
SHOWN: dict[str, Shown] = {
    name: shown for metric in METRICS.values() for space in SPACES for name, shown in metric.shown_in(space).items()
}

# Numbers that stand beside a metric's own in tables and are compared nowhere.
DETAILS: dict[str, Shown] = {
    "parzen_sigma": Shown("width of the Parzen window, by validation examples", 3, 0),
    "parzen_sigma_at_edge": Shown("Parzen window at an end of the range tried (1: yes)", 0, 0),
    "test_standard_error": Shown("standard error of the Parzen test log-likelihood (nats)", 1, 0),
}


def label(name: str) -> str:
    """What people read for a number of an evaluation."""
    known = SHOWN.get(name) or DETAILS.get(name)
    return known.words if known else name.replace("_", " ")
