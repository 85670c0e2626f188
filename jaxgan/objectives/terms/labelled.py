"""Few labels: D predicts the classes of the examples that have a label (arXiv:1606.03498, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import Weight
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.terms.auxiliary import class_error
from jaxgan.objectives.terms.protocol import DTermInputs, Part


def labelled_error(term: Labelled, inputs: DTermInputs) -> Array:
    assert inputs.labelled is not None and inputs.classify is not None
    x, y = inputs.labelled
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 2))(inputs.keys)
    return jnp.mean(class_error(inputs.classify(x, keys), y))


@dataclass(frozen=True)
class Labelled:
    """D predicts the classes of labelled examples, which may be few (K+1 classes, arXiv:1606.03498)."""

    weight: Weight = 0.0  # of the class error in D's loss; 1, with objective.d_scale=.5

    D_PARTS: ClassVar = (
        Part(
            "labelled_error", "class error of D on labelled examples, weighted", "weight", labelled_error, labelled=True
        ),
    )
    G_PARTS: ClassVar = ()


def check(config: ConfigDict) -> None:
    """Raises UserError for classes that nothing trains, or that do not go with the players."""
    objective, weight = config.objective, config.objective.labelled.weight
    if weight and config.conditional != "none":
        raise UserError(
            f"objective.labelled trains D to predict classes of data alone, and conditional={config.conditional} shows "
            f"both players a condition; set conditional=none."
        )
    if weight and config.discriminator.packing > 1:
        raise UserError(
            f"objective.labelled needs the class of single examples, and discriminator.packing="
            f"{config.discriminator.packing} judges them together; set it to 1."
        )
    if config.data.labels and config.conditional == "label":
        raise UserError(
            f"conditional=label needs the label of every example, and data.labels={config.data.labels} keeps few; set "
            f"data.labels=0, or conditional=none and objective.labelled.weight=1."
        )
    if objective.classes == "auxiliary":
        return
    if not (weight or any(objective.auxiliary.values())):
        raise UserError(
            "objective.classes=outputs has no classes that D is trained on; set objective.labelled.weight=1, or "
            "objective.classes=auxiliary."
        )
    if LOSSES[objective.loss].shift_invariant:
        raise UserError(
            f"objective.classes=outputs makes D's logit log(p/q), and objective.loss={objective.loss} leaves a "
            f"constant of it free; use a loss such as non_saturating."
        )
