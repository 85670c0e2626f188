"""The inputs that metrics may need, by name, and how each is computed: one function and one line in `INPUTS`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.data import Dataset
from jaxgan.data.decode import decode
from jaxgan.errors import UserError
from jaxgan.evaluation.samples import evaluation_labels
from jaxgan.features.space import features_of_data, load_space, space_name
from jaxgan.metrics import METRICS
from jaxgan.metrics.protocol import CLASS_INPUTS, DRAW_INPUTS, ENCODER_INPUTS, FEATURE_INPUTS, PLAYER_INPUTS


class References:
    """Inputs that do not depend on samples: decoded examples and their features, computed once, when first needed.

    Feature networks are loaded, or trained, on construction, so that errors in them surface before training.

    Raises:
      UserError: weights that cannot be read, or data without such features.
    """

    def __init__(self, config: ConfigDict, dataset: Dataset):
        self.config, self.dataset = config, dataset
        self.space_name = space_name(config.evaluate.features)
        needs = {need for name in config.evaluate.metrics for need in METRICS[name].needs}
        wanted = {config.evaluate.features} if needs & set(FEATURE_INPUTS) else set()
        wanted |= {"classifier"} if "fake_classes" in needs else set()
        self.spaces = {space_name(features): load_space(features, dataset, config.data.gcn) for features in wanted}
        self._cache: dict[tuple[str, str], Any] = {}
        self._lock = threading.RLock()  # the members of a sweep are evaluated by several threads

    def examples(self, split: str) -> jax.Array:
        """Decoded examples of a split, [n, *shape] float32: arguments of compiled metrics, not constants in them."""
        return self._cached(
            "examples", split, lambda: decode(jnp.asarray(getattr(self.dataset, split)), self.config.data.gcn)
        )

    def features(self, split: str) -> np.ndarray:
        """Features of a split in the space of `evaluate.features`, [n, d] float32."""
        return self._cached(
            "features", split, lambda: features_of_data(self.spaces[self.space_name], np.asarray(self.examples(split)))
        )

    def _cached(self, kind: str, split: str, compute: Callable[[], Any]) -> Any:
        with self._lock:
            if (kind, split) not in self._cache:
                self._cache[kind, split] = compute()
            return self._cache[kind, split]


class Evaluation:
    """One set of samples under evaluation: what the entries of `INPUTS` compute metric inputs from.

    Args:
      samples: [n, *shape] float32, of G.
      players: `player_inputs` of the same G and D, and draws of G, if metrics of the players are evaluated.
    """

    def __init__(self, references: References, samples: np.ndarray, players: Mapping[str, Any] | None):
        self.config, self.dataset, self.references = references.config, references.dataset, references
        low = self.config.data.low
        if low and not self.config.data.gcn and len(self.dataset.shape) == 3:
            samples = (samples - low) / (1 - low)  # to [0, 1], so that scores are comparable whatever G's range
        self.samples, self.players = samples, players
        self._outputs: dict[str, tuple[np.ndarray, Any]] = {}

    def outputs(self, space: str) -> tuple[np.ndarray, Any]:
        """Features and logits (or None) of the samples in a feature space, computed once."""
        if space not in self._outputs:
            self._outputs[space] = self.references.spaces[space].outputs(np.asarray(self.samples))
        return self._outputs[space]

    def features_and_logits(self) -> tuple[np.ndarray, Any]:
        """`outputs` in the space of `evaluate.features`."""
        return self.outputs(self.references.space_name)


def _split_input(name: str) -> Callable[[Evaluation, str], Any]:
    def compute(evaluation: Evaluation, split: str) -> Any:
        if not evaluation.players or name not in evaluation.players:
            raise UserError(
                "scores of conditional samples, of an encoder and of a classifier need the players, not only samples; "
                "compute them with --mode=evaluate."
            )
        return evaluation.players[name][split]

    return compute


def _player_input(name: str) -> Callable[[Evaluation, str], Any]:
    def compute(evaluation: Evaluation, split: str) -> Any:
        if evaluation.players is None:
            raise UserError("metrics of the players cannot be computed from samples alone; leave them out.")
        return evaluation.players[name]

    return compute


# name -> function (evaluation, split), with `split` the set of real examples that features are compared with.
# `jaxgan.metrics.protocol.Metric` describes each.
INPUTS: dict[str, Callable[[Evaluation, str], Any]] = {
    "samples": lambda evaluation, split: evaluation.samples,
    "validation": lambda evaluation, split: evaluation.references.examples("validation"),
    "test": lambda evaluation, split: evaluation.references.examples("test"),
    "mixture": lambda evaluation, split: evaluation.dataset.mixture,
    "real_features": lambda evaluation, split: evaluation.references.features(split),
    "train_features": lambda evaluation, split: evaluation.references.features("train"),
    "fake_features": lambda evaluation, split: evaluation.features_and_logits()[0],
    "fake_logits": lambda evaluation, split: evaluation.features_and_logits()[1],
    "fake_classes": lambda evaluation, split: evaluation.outputs("classifier")[1].argmax(axis=1),
    "fake_labels": lambda evaluation, split: evaluation_labels(evaluation.config, evaluation.dataset),
    "classes": lambda evaluation, split: evaluation.dataset.classes,
    "k": lambda evaluation, split: evaluation.config.evaluate.k,
}
INPUTS |= {name: _player_input(name) for name in PLAYER_INPUTS}
INPUTS |= {name: _split_input(name) for name in (*DRAW_INPUTS, *ENCODER_INPUTS, *CLASS_INPUTS)}
