"""The section `augment`: what x and G(z) go through before D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.augment import AUGMENTS
from jaxgan.errors import UserError
from jaxgan.fields import Choice, accepted_kwargs
from jaxgan.objectives.losses import LOSSES


@dataclass(frozen=True)
class AugmentSection:
    """What x and G(z) go through before D."""

    name: Annotated[str, Choice(AUGMENTS)] = "none"  # what x and G(z) go through before D; of jaxgan/augment


def check(config: ConfigDict) -> None:
    """Raises UserError if the augmentation steers by D's logits, and these do not allow it."""
    name, objective = config.augment.name, config.objective
    if not getattr(AUGMENTS[name], "NEEDS_SIGN", False):
        return
    if not _zero_is_decision_boundary(objective):
        raise UserError(
            f"augment.name={name} steers by the sign of D's logits, which means nothing under "
            f"objective.loss={objective.loss}; take augment.name=ada_schedule."
        )
    if config.discriminator.packing > 1:
        raise UserError(f"augment.name={name} counts D's logits as images, and discriminator.packing makes them fewer.")


def _zero_is_decision_boundary(objective: ConfigDict) -> bool:
    """Whether a logit of 0 is, but for label smoothing, where D finds data and samples equally likely."""
    posterior = LOSSES[objective.loss].posterior
    if posterior is None:
        return not LOSSES[objective.loss].shift_invariant
    return abs(float(posterior(jnp.zeros(1), **accepted_kwargs(posterior, objective))[0]) - 0.5) < 0.1
