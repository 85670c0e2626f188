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
