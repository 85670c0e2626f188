"""The table of feature spaces, and the one that `evaluate.features` names: NAME, or NAME:ARGUMENT."""

from __future__ import annotations

import numpy as np

from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.features import cache, classifier, inception, pixels
from jaxgan.features.protocol import FeatureSpace, SpaceType

# By how `evaluate.features` begins. The order is that in which scores are displayed.
SPACES: dict[str, SpaceType] = {
    "inception": inception.SPACE,
    "pixels": pixels.SPACE,
    "classifier": classifier.SPACE,
}


def forms() -> dict[str, SpaceType]:
    """The spaces by the form of `evaluate.features` that names them: 'pixels', 'inception:FILE.npz'."""
    return {f"{name}:{space.argument}" if space.argument else name: space for name, space in SPACES.items()}


def space_name(features: str) -> str:
    """The name of the space that `evaluate.features` selects.

    Raises:
      UserError: there is no such space.
    """
    name, colon, argument = features.partition(":")
    if name not in SPACES or bool(colon) != bool(SPACES[name].argument) or bool(argument) != bool(colon):
        *others, last = forms()
        raise UserError(f"evaluate.features must be {', '.join(others)} or {last}, not {features!r}.")
    return name


def space_type(features: str) -> SpaceType:
    """The entry of `SPACES` that `evaluate.features` names; raises UserError as `space_name`."""
    return SPACES[space_name(features)]


def load_space(features: str, dataset: Dataset, gcn: float) -> FeatureSpace:
    """The space that `evaluate.features` selects, for a data set.

    Args:
      gcn: `data.gcn`; networks take images in [0, 1].

    Raises:
      UserError: no such space, or it does not apply to the data, or its weights cannot be read.
    """
    kind = space_type(features)
    if kind.for_images and (gcn or len(dataset.shape) == 1):
        reason = f"data.gcn={gcn:g} changes their range" if gcn else f"{dataset.name} holds points"
        raise UserError(f"evaluate.features={features} takes images in [0, 1], but {reason}; use pixels.")
    return kind.load(features.partition(":")[2], dataset)._replace(slow=kind.slow)


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
