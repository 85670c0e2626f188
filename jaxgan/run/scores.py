"""evaluation.json: the scores of a run and the evaluation protocol."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.config import update
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset
from jaxgan.data.decode import decode
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import make_measure, protocol
from jaxgan.features.space import space_type
from jaxgan.files import exclusive, write_atomically
from jaxgan.game.gan import Gan
from jaxgan.game.sampling import STATISTICS_BATCHES
from jaxgan.metrics import METRICS
from jaxgan.networks.norms import STATISTICS
from jaxgan.run.workdir import versions

EVALUATION = "evaluation.json"


def evaluation_protocol(config: ConfigDict, gan: Gan, dataset: Dataset) -> dict[str, Any]:
    """The settings that scores depend on, as plain JSON: scores are comparable only under the same protocol."""
    stats = jax.eval_shape(gan.init, traced(config)).generator.stats
    return {
        "data": config.data.name,
        "train_examples": len(dataset.train),
        "validation_examples": len(dataset.validation),
        "test_examples": len(dataset.test),
        "metrics": list(config.evaluate.metrics),
        "samples": config.evaluate.samples,
        **protocol(config, dataset),
        "generator": gan.averages.rules[0].description if gan.averages.rules else "theta_g of the step",
        "batch_statistics": f"recomputed over {STATISTICS_BATCHES} minibatches" if STATISTICS in stats else "none",
        "seed": config.seed,
        "versions": versions(),
    }


def real_scores(config: ConfigDict, dataset: Dataset) -> tuple[int, dict[str, float]]:
    """Scores of the first training examples instead of samples, as a reference for the scores of G.

    Omits metrics that need the players, the encoder, labels or conditions of samples, or other training examples; omits
    all metrics if their features take minutes (Inception) or training examples are not stored (stacks).

    Returns:
      The number of examples, at most the number of samples, and the scores by name; 0 and {} if there are none.
    """
    excluded_inputs = {"fake_labels", "train_features", "draws", "inferred"}
    metrics = {name: METRICS[name] for name in config.evaluate.metrics}
    applicable = [
        name for name, metric in metrics.items() if not metric.uses_players and not excluded_inputs & {*metric.needs}
    ]
    count = min(config.evaluate.samples, len(dataset.train))
    if not applicable or dataset.stack > 1 or space_type(config.evaluate.features).slow:
        return 0, {}
    changes = {"evaluate.metrics": tuple(applicable), "evaluate.best": "", "evaluate.samples": count}
    examples = np.asarray(decode(jnp.asarray(np.asarray(dataset.train[:count])), config.data.gcn, config.data.low))
    try:
        return count, make_measure(update(config, changes), dataset)(examples)
    except UserError:  # too few training examples for a metric
        return 0, {}


def save_scores(workdir: Path, step: int, numbers: dict[str, float], protocol: dict[str, Any]) -> bool:
    """Writes evaluation.json: {"step": step, **numbers, "protocol": protocol}; NaN and infinity become null.

    Never replaces scores of a later step: training and `--mode=evaluate` may both write the file.

    Returns:
      Whether it was written.

    Raises:
      UserError: it cannot be written.
    """
    finite = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    content = {"step": step, **finite, "protocol": protocol}
    path = workdir / EVALUATION
    with exclusive(path):
        if _step_of(path) > step:
            return False
        write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
    return True


def _step_of(path: Path) -> int:
    """The step of the scores in a file; -1 if it is missing or damaged."""
    try:
        return int(json.loads(path.read_bytes())["step"])
    except (OSError, ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return -1
