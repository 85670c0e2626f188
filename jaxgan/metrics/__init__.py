"""How good samples are: a file per metric, pure functions on arrays, and one line per metric here."""

from jaxgan.metrics import modes, parzen
from jaxgan.metrics.protocol import Metric, Shown

METRICS: dict[str, Metric] = {
    "parzen": parzen.METRIC,
    "modes": modes.METRIC,
}

# Of every number that a metric may report.
SHOWN: dict[str, Shown] = {name: shown for metric in METRICS.values() for name, shown in metric.shown.items()}
