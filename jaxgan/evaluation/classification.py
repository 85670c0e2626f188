"""Inputs of metrics of D as a classifier: the classes that it predicts, and its features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.data import Dataset
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, Player
from jaxgan.metrics import METRICS
from jaxgan.metrics.probe import EXAMPLES
from jaxgan.networks.layers import DOutput

BATCH = 500  # examples per batch of D
PCA_EXAMPLES, COMPONENTS = 10_000, 50  # training examples, the first ones, and their principal components


def make_classifications(config: ConfigDict, gan: Gan, dataset: Dataset) -> Callable[..., dict[str, Any]]:
    """Builds the inputs `CLASS_INPUTS` of metrics, of all examples of both splits.

    Returns:
      A function (hparams, state) -> {input: {split: array}}; without those that no metric needs.
    """
    needs = {need for name in config.evaluate.metrics for need in METRICS[name].needs}
    splits = dict.fromkeys(("validation", config.evaluate.split))
    evaluate_d = jax.jit(lambda D, x: gan.D(D.params, D.stats, gan.decode(x), features=True)[0])
    initial = jax.jit(gan.init)

    def outputs(D: Player, x: np.ndarray) -> DOutput:
        parts = [evaluate_d(D, jnp.asarray(x[i : i + BATCH])) for i in range(0, len(x), BATCH)]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def class_logits(state: GanState) -> dict[str, Any]:
        return {split: outputs(state.discriminator, getattr(dataset, split)).classes for split in splits}

    def probes(hparams: HParams, state: GanState) -> dict[str, Any]:
        rows = np.flatnonzero(dataset.train_labels >= 0)[:EXAMPLES]  # type: ignore[operator]
        components = principal_components(_pixels(gan, dataset.train[:PCA_EXAMPLES]))
        untrained = initial(hparams).discriminator
        representations: dict[str, Callable[[np.ndarray], Any]] = {
            "features": lambda x: outputs(state.discriminator, x).features,
            "untrained": lambda x: outputs(untrained, x).features,
            "pixels": lambda x: _pixels(gan, x),
            "pca": lambda x: _pixels(gan, x) @ components,
        }
        train = {name: function(dataset.train[rows]) for name, function in representations.items()}
        pairs = lambda x: {name: (train[name], function(x)) for name, function in representations.items()}  # noqa: E731
        found = {split: pairs(getattr(dataset, split)) for split in splits}
        return {"probes": found, "probe_labels": dict.fromkeys(splits, dataset.train_labels[rows])}  # type: ignore[index]

    def classifications(hparams: HParams, state: GanState) -> dict[str, Any]:
        found: dict[str, Any] = {"labels": {split: getattr(dataset, f"{split}_labels") for split in splits}}
        found |= {"class_logits": class_logits(state)} if "class_logits" in needs else {}
        return found | (probes(hparams, state) if "probes" in needs else {})

    return classifications if needs & {"class_logits", "probes"} else lambda *_: {}


def _pixels(gan: Gan, x: np.ndarray) -> np.ndarray:
    return np.asarray(gan.decode(jnp.asarray(x))).reshape(len(x), -1)


def principal_components(x: np.ndarray) -> np.ndarray:
    """The directions of the largest variance of rows [n, d], as columns: [d, min(COMPONENTS, n, d)]."""
    return np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:COMPONENTS].T
