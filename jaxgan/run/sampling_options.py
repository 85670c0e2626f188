"""Options of sampling a trained GAN that trade diversity for precision: truncation of z, and rejection by D."""

from __future__ import annotations

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.prior import truncated_normal
from jaxgan.networks.forward import coupled_group_size
from jaxgan.objectives.terms.code import with_category


def truncate_z(gan: Gan, hparams: HParams, config: ConfigDict, threshold: float) -> tuple[Gan, HParams]:
    """The GAN with its normal z truncated at `threshold` standard deviations, and its traced numbers.

    Raises:
      UserError: another prior, or a threshold that is not positive and finite.
    """
    prior = config.prior
    if prior.name != "normal":
        raise UserError(f"truncation needs a normal prior, and this GAN has prior.name={prior.name}; leave it out.")
    if not 0 < threshold < np.inf:
        raise UserError(f"truncation must be a positive number of standard deviations, not {threshold!r}.")

    def sample_z(hparams: HParams, key: jax.Array) -> jax.Array:
        z = hparams["prior.scale"] * truncated_normal(key, prior.size, hparams["truncation"])
        return with_category(z, config.objective.code.categories)

    return gan._replace(sample_z=sample_z), hparams | {"truncation": np.float32(threshold)}


def check_rejection(gan: Gan, config: ConfigDict, quantile: float) -> None:
    """Raises a `UserError` unless D's logits are log p/q of single examples, and `quantile` is in (0, 1]."""
    if not gan.objective.loss.probability:
        raise UserError(
            f"rejection needs a D whose logit is log p/q, and that of objective.loss={config.objective.loss} is "
            f"{gan.objective.loss.output}; leave it out."
        )
    if (group := coupled_group_size(config)) > 1:
        raise UserError(f"this D classifies groups of {group}; rejection needs a D of single examples.")
    if config.discriminator.judged == "patch":
        raise UserError("rejection needs a D that classifies examples, and discriminator.judged=patch; leave it out.")
    if not 0 < quantile <= 1:
        raise UserError(f"rejection must be a quantile of D's logits in (0, 1], not {quantile!r}.")
