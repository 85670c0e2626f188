"""Inputs of metrics of conditional samples: several samples of G for the condition of each held-out example."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.data import Dataset
from jaxgan.data.decode import encode
from jaxgan.evaluation.samples import examples_condition
from jaxgan.game.batches import stored_examples
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, run_stream
from jaxgan.metrics import METRICS
from jaxgan.metrics.conditional import EXAMPLES

Draws = dict[str, dict[str, np.ndarray]]  # input of a metric -> split -> array


def make_draws(config: ConfigDict, gan: Gan, dataset: Dataset, sampler: Callable[..., np.ndarray]) -> Callable:
    """Builds the inputs `draws`, `targets` and `scored` of metrics, of the first examples of both splits.

    Returns:
      A function (hparams, state, ema) -> Draws; {} if no metric needs them.
    """
    if not any("draws" in METRICS[name].needs for name in config.evaluate.metrics):
        return lambda *_: {}
    k, splits = config.evaluate.draws, dict.fromkeys(("validation", config.evaluate.split))

    def draws_of_split(hparams: HParams, state: GanState, ema: int | None, split: str) -> dict[str, np.ndarray]:
        examples = stored_examples(gan, dataset, split)
        n = min(EXAMPLES, len(examples.x))
        condition = examples_condition(gan, hparams, examples, np.arange(n))
        repeated = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf), k, axis=0), condition)
        samples = sampler(hparams, state, run_stream(hparams, "evaluate"), n * k, ema=ema, condition=repeated)
        targets = np.asarray(gan.decode(jnp.asarray(examples.x[:n])))
        hidden = np.ones((), bool) if condition.mask is None else np.asarray(condition.mask) == 0
        if dataset.train.dtype == np.uint8 and not config.data.gcn:  # in [0, 1] and of 8 bits, as the data are
            samples, targets = (encode(x, 0, config.data.low) / np.float32(255) for x in (samples, targets))
        return {
            "draws": np.moveaxis(samples.reshape(n, k, *samples.shape[1:]), 1, 0),
            "targets": targets,
            "scored": np.broadcast_to(hidden, targets.shape),
        }

    def draws(hparams: HParams, state: GanState, ema: int | None) -> Draws:
        by_split = {split: draws_of_split(hparams, state, ema, split) for split in splits}
        return {name: {split: by_split[split][name] for split in splits} for name in ("draws", "targets", "scored")}

    return draws
