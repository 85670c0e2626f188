"""evaluation.json: the scores of a run and how they were measured."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxgan.data import Dataset
from jaxgan.evaluate import protocol
from jaxgan.gan import STATISTICS_BATCHES, Gan
from jaxgan.hparams import traced
from jaxgan.networks.norms import STATISTICS
from jaxgan.run.files import write_atomically
from jaxgan.run.workdir import versions

EVALUATION = "evaluation.json"


def protocol_of(config: ConfigDict, gan: Gan, dataset: Dataset) -> dict[str, Any]:
    """What has to be known to compare scores: plain JSON."""
    stats = jax.eval_shape(gan.init, traced(config)).generator.stats
    return {
        "data": config.data.name,
        "train_examples": len(dataset.train),
        "validation_examples": len(dataset.validation),
        "test_examples": len(dataset.test),
        "metrics": list(config.evaluate.metrics),
        "samples": config.evaluate.samples,
        **protocol(config, dataset),
        "generator": gan.averages[0].words if gan.averages else "theta_g of the step",
        "batch_statistics": f"recomputed over {STATISTICS_BATCHES} minibatches" if STATISTICS in stats else "none",
        "seed": config.seed,
        "versions": versions(),
    }


def save_scores(workdir: Path, step: int, numbers: dict[str, float], protocol: dict[str, Any]) -> bool:
    """Writes evaluation.json: {"step": step, **numbers, "protocol": protocol}; a number that is not finite as null.

    Scores of a later step stay.

    Returns:
      Whether it was written.

    Raises:
      UserError: it cannot be written.
    """
    finite = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    content = {"step": step, **finite, "protocol": protocol}
    if _step_of(workdir / EVALUATION) > step:
        return False
    write_atomically(workdir / EVALUATION, (json.dumps(content, indent=2) + "\n").encode())
    return True


def _step_of(path: Path) -> int:
    """The step of the scores in a file; -1 where it is missing or damaged."""
    try:
        return int(json.loads(path.read_bytes())["step"])
    except (OSError, ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return -1
