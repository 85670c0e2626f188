"""Latent regression: the encoder E infers z from G(z) (the sleep phase of wake-sleep; section 6 of arXiv:1406.2661)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import Weight
from jaxgan.objectives.terms.protocol import GTermInputs, Part


def latent_regression(term: LatentRegression, inputs: GTermInputs) -> Array:
    return jnp.mean(squared_error(inputs.E(jax.lax.stop_gradient(inputs.fake)), inputs.z))


def joint_latent_regression(term: LatentRegression, inputs: GTermInputs) -> Array:
    return jnp.mean(squared_error(inputs.E(inputs.fake), inputs.z))


@dataclass(frozen=True)
class LatentRegression:
    """The encoder infers the z of G's samples by least squares."""

    weight: Weight = 0.0  # in the encoder's loss, with G constant; 1
    joint: Weight = 0.0  # in the loss of the encoder and of G, which becomes easier to invert (arXiv:1605.09782); .25

    D_PARTS: ClassVar = ()
    G_PARTS: ClassVar = (
        Part("latent_regression", "error of the inferred z, weighted", "weight", latent_regression),
        Part(
            "joint_latent_regression", "error of the inferred z in G's loss, weighted", "joint", joint_latent_regression
        ),
    )


def squared_error(inferred: Array, z: Array) -> Array:
    """The mean over dimensions of (E(G(z)) - z)^2, which is least at the posterior mean of z: [n, d], [n, d] -> [n].

    For a prior of mean 0 and variance 1, E = 0 has the error 1: R^2 = 1 - error is 0 where nothing is known of z.
    """
    return jnp.mean(jnp.square(inferred - z), axis=1)


def check(config: ConfigDict) -> None:
    """Raises UserError if there is no encoder to train."""
    if any(config.objective.regression.values()) and config.encoder.name == "none":
        raise UserError("objective.regression trains an encoder; set encoder.name, such as encoder.name=mlp.")
