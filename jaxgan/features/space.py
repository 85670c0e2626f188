"""Feature spaces, selected by the prefix of `evaluate.features`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.features import cache, classifier, inception, pixels


class FeatureSpace(NamedTuple):
    """A map from examples to features."""

    name: str  # pixels | classifier | inception
    # [n, *shape] float32, images in [0, 1] -> features [n, d] and logits [n, classes] or None, float32
    outputs: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
    metadata: dict[str, Any]  # recorded with every score (plain JSON)
    slow: bool = False  # whether to cache features of data on disk


def space_name(features: str) -> str:
    """The name of the space that `evaluate.features` selects.

    Raises:
      UserError: there is no such space.
    """
    name, _, rest = features.partition(":")
    if features not in ("pixels", "classifier") and not (name == "inception" and rest):
        raise UserError(f"evaluate.features must be pixels, classifier or inception:FILE.npz, not {features!r}.")
    return name


def dimensions(features: str, dataset: Dataset) -> int:
    """The number of features of an example; does not load the network."""
    single = {"pixels": math.prod(dataset.shape), "classifier": classifier.FEATURES * dataset.stack}
    return single.get(space_name(features), inception.FEATURES)


def load_space(features: str, dataset: Dataset, gcn: float) -> FeatureSpace:
    """The space that `evaluate.features` selects, for a data set.

    Args:
      gcn: `data.gcn`; networks take images in [0, 1].

    Raises:
      UserError: no such space, or it does not apply to the data, or its weights cannot be read.
    """
    name = space_name(features)
    if name == "pixels":
        return FeatureSpace(name, lambda x: (pixels.features(x), None), {"name": name})
    if gcn or dataset.mixture is not None:
        reason = f"data.gcn={gcn:g} changes their range" if gcn else f"{dataset.name} holds points"
        raise UserError(f"evaluate.features={features} takes images in [0, 1], but {reason}; use pixels.")
    if name == "classifier":
        trained = classifier.load_or_train(dataset)
        accuracy = None if np.isnan(trained.accuracy) else trained.accuracy
        metadata = {"name": name, "sha256": trained.sha256, "accuracy": accuracy}
        return FeatureSpace(name, lambda x: trained(clip_pixels(x)), metadata)
    network = inception.load(features.partition(":")[2])
    if dataset.shape[-1] not in (1, 3):
        raise UserError(f"evaluate.features={features} takes images of 1 or 3 channels, not {dataset.shape[-1]}.")

    def outputs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pool3 = network.features(to_bytes(x))
        return pool3, network.logits_unbiased(pool3)

    metadata = {"name": name, "sha256": network.weights_sha256, "images": "uint8, resized as TensorFlow 1 does"}
    return FeatureSpace(name, outputs, metadata, slow=True)


def clip_pixels(x: np.ndarray) -> np.ndarray:
    """Clips pixels to [0, 1], the range of image files.

    Raises:
      UserError: values that are not finite.
    """
    if not np.all(np.isfinite(x)):
        raise UserError(f"{np.sum(~np.isfinite(x))} of {x.size} pixels are not finite; they have no features.")
    return np.clip(x, 0, 1)


def to_bytes(x: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8, as 255 x + 1/2 truncated: for images in [-1, 1] this is the usual 127.5 x + 128.

    Raises:
      UserError: values that are not finite.
    """
    return (255 * clip_pixels(x).astype(np.float64) + 0.5).astype(np.uint8)


def features_of_data(space: FeatureSpace, x: np.ndarray) -> np.ndarray:
    """Features of real examples, [n, d] float32; cached on disk if the space is slow."""
    if not space.slow:
        return space.outputs(x)[0]
    name = f"features_{cache.digest(space.metadata, x)[:24]}"
    arrays = cache.read(name, {"features": (len(x), None)})
    if arrays is None:
        arrays = {"features": space.outputs(x)[0]}
        cache.write(name, arrays)
    return arrays["features"]
