"""The table of feature spaces, and the one that `evaluate.features` names: NAME, or NAME:ARGUMENT."""

from __future__ import annotations

import numpy as np

from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.features import cache, classifier, inception, pixels
from jaxgan.features.protocol import Space, SpaceType

# By how `evaluate.features` begins. The order is that in which scores are displayed.
SPACES: dict[str, SpaceType] = {
    "inception": inception.SPACE,
    "pixels": pixels.SPACE,
    "classifier": classifier.SPACE,
}


def forms() -> dict[str, SpaceType]:
    """The spaces by the form of `evaluate.features` that names them: 'pixels', 'inception:FILE.npz'."""
    return {f"{name}:{space.argument}" if space.argument else name: space for name, space in SPACES.items()}


def name_of(features: str) -> str:
    """The space that `evaluate.features` names.

    Raises:
      UserError: none.
    """
    name, colon, argument = features.partition(":")
    if name not in SPACES or bool(colon) != bool(SPACES[name].argument) or bool(argument) != bool(colon):
        *others, last = forms()
        raise UserError(f"evaluate.features must be {', '.join(others)} or {last}, not {features!r}.")
    return name


def space_type(features: str) -> SpaceType:
    """The entry of `SPACES` that `evaluate.features` names; raises UserError as `name_of`."""
    return SPACES[name_of(features)]


def load(features: str, dataset: Dataset, gcn: float) -> Space:
    """The space that `evaluate.features` names, for a data set.

    Args:
      gcn: `data.gcn`; networks take images in [0, 1].

    Raises:
      UserError: no such space, one that does not fit the data, or weights that cannot be read.
    """
    kind = space_type(features)
    if kind.for_images and (gcn or dataset.mixture is not None):
        what = f"data.gcn={gcn:g} has none" if gcn else f"{dataset.name} holds points"
        raise UserError(f"evaluate.features={features} takes images in [0, 1], but {what}; take pixels.")
    return kind.load(features.partition(":")[2], dataset)._replace(slow=kind.slow)


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
