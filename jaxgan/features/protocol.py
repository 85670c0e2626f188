"""A feature space, before and after its network is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxgan.data import Dataset


class FeatureSpace(NamedTuple):
    """A map from examples to features."""

    name: str  # in `SPACES`
    # [n, *shape] float32, images in [0, 1] -> features [n, d] and logits [n, classes] or None, float32
    outputs: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
    metadata: dict[str, Any]  # recorded with every score (plain JSON)
    slow: bool = False  # whether to cache features of data on disk


class SpaceType(NamedTuple):
    """A space that is not loaded yet: one file in `features/`, one line in `SPACES`."""

    load: Callable[[str, Dataset], FeatureSpace]  # from what follows the colon of evaluate.features, for a data set
    dimensions: Callable[[Dataset], int]  # of the features of an example
    argument: str = ""  # what follows the colon, such as FILE.npz; '' if nothing does
    for_images: bool = False  # takes images in [0, 1], neither points nor images under data.gcn
    has_logits: bool = False  # of classes, in addition to the features
    trained_on_data: bool = False  # on the whole training set
    slow: bool = False  # whether to cache features of data on disk
