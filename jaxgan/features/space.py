"""Spaces of features, by the word that `evaluate.features` begins with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.features import cache, classifier, inception, pixels


class Space(NamedTuple):
    """What turns examples into features."""

    name: str  # pixels | classifier | inception
    # [n, *shape] float32, images in [0, 1] -> features [n, d] and logits [n, classes] or None, float32
    outputs: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
    facts: dict[str, Any]  # that a score has to be told with, as plain JSON
    slow: bool = False  # features of data are worth keeping on disk


def name_of(features: str) -> str:
    """The space that `evaluate.features` names.

    Raises:
      UserError: none.
    """
    name, _, rest = features.partition(":")
    if features not in ("pixels", "classifier") and not (name == "inception" and rest):
        raise UserError(f"evaluate.features must be pixels, classifier or inception:FILE.npz, not {features!r}.")
    return name


def dimensions(features: str, dataset: Dataset) -> int:
    """The number of features of an example, without the network itself."""
    single = {"pixels": math.prod(dataset.shape), "classifier": classifier.FEATURES * dataset.stack}
    return single.get(name_of(features), inception.FEATURES)


def load(features: str, dataset: Dataset, gcn: float) -> Space:
    """The space that `evaluate.features` names, for a data set.

    Args:
      gcn: `data.gcn`; networks take images in [0, 1].

    Raises:
      UserError: no such space, one that does not fit the data, or weights that cannot be read.
    """
    name = name_of(features)
    if name == "pixels":
        return Space(name, lambda x: (pixels.features(x), None), {"name": name})
    if gcn or len(dataset.shape) == 1:
        what = f"data.gcn={gcn:g} has none" if gcn else f"{dataset.name} holds points"
        raise UserError(f"evaluate.features={features} takes images in [0, 1], but {what}; take pixels.")
    if name == "classifier":
        found = classifier.load_or_train(dataset)
        facts = {"name": name, "sha256": found.sha256, "accuracy": None if np.isnan(found.accuracy) else found.accuracy}
        return Space(name, lambda x: found(clipped(x)), facts)
    network = inception.load(features.partition(":")[2])
    if dataset.shape[-1] not in (1, 3):
        raise UserError(f"evaluate.features={features} takes images of 1 or 3 channels, not {dataset.shape[-1]}.")

    def outputs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pool3 = network.features(to_bytes(x))
        return pool3, network.logits_unbiased(pool3)

    facts = {"name": name, "sha256": network.weights_sha256, "images": "uint8, resized as TensorFlow 1 does"}
    return Space(name, outputs, facts, slow=True)


def clipped(x: np.ndarray) -> np.ndarray:
    """Pixels as a file would hold them: [0, 1].

    Raises:
      UserError: numbers that are not finite.
    """
    if not np.all(np.isfinite(x)):
        raise UserError(f"{np.sum(~np.isfinite(x))} of {x.size} pixels are not finite; they have no features.")
    return np.clip(x, 0, 1)


def to_bytes(x: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8: 255 x + 1/2 truncated, which for images in [-1, 1] is the field's 127.5 x + 128.

    Raises:
      UserError: numbers that are not finite.
    """
    return (255 * clipped(x).astype(np.float64) + 0.5).astype(np.uint8)


def features_of_data(space: Space, x: np.ndarray) -> np.ndarray:
    """Features of real examples, [n, d] float32, kept on disk where they take long."""
    if not space.slow:
        return space.outputs(x)[0]
    name = f"features_{cache.digest(space.facts, x)[:24]}"
    kept = cache.read(name, {"features": (len(x), None)})
    if kept is None:
        kept = {"features": space.outputs(x)[0]}
        cache.write(name, kept)
    return kept["features"]
