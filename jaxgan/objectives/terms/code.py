"""InfoGAN's code (arXiv:1606.03657): D infers the first entries of z, a category and numbers, from the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import Weight, at_least
from jaxgan.objectives.terms.protocol import DTermInputs, GTermInputs, Part


def code_discriminator(term: Code, inputs: DTermInputs) -> Array:
    assert inputs.fake_latents is not None  # D is built with outputs for the code
    return jnp.mean(code_error(inputs.fake_latents, inputs.z, term.categories))


def code_generator(term: Code, inputs: GTermInputs) -> Array:
    assert inputs.latents is not None
    return jnp.mean(code_error(inputs.latents, inputs.z, term.categories))


@dataclass(frozen=True)
class Code:
    """The first entries of z are a code that D infers from the samples (InfoGAN, arXiv:1606.03657)."""

    weight: Weight = 0.0  # in the losses of D and of G; 1
    categories: Annotated[int, at_least(0)] = 0  # so many entries of z are a one-hot category, sampled uniformly
    continuous: Annotated[int, at_least(0)] = 0  # so many further entries of z, as the prior has them

    D_PARTS: ClassVar = (Part("code_discriminator", "error of the code in D, weighted", "weight", code_discriminator),)
    G_PARTS: ClassVar = (Part("code_generator", "error of the code in G's loss, weighted", "weight", code_generator),)


def code_error(latents: Array, z: Array, categories: int) -> Array:
    """-log Q(code | x): the cross-entropy of the category, and half the squared error of each number.

    log K minus the mean cross-entropy bounds the mutual information of category and sample from below; at most log K.
    Numbers are of a normal Q of deviation 1, without the constant: for them this is no bound on information.

    Args:
      latents: [n, K + k] float, logits of the K categories, then means of the k numbers.
      z: [n, d], whose first K entries are the category as one-hot, the next k the numbers.

    Returns:
      [n] float.
    """
    logits, means = latents[:, :categories], latents[:, categories:]
    numbers = z[:, categories : latents.shape[1]]
    error = jnp.sum(jnp.square(means - numbers), axis=1) / 2
    if not categories:
        return error
    return error + jax.nn.logsumexp(logits, axis=1) - jnp.sum(logits * z[:, :categories], axis=1)


def with_category(z: Array, categories: int) -> Array:
    """z [d] of independent entries, the first `categories` replaced by 1 for the largest of them and 0 for others."""
    if not categories:
        return z
    return jnp.concatenate([jax.nn.one_hot(jnp.argmax(z[:categories]), categories, dtype=z.dtype), z[categories:]])


def check(config: ConfigDict) -> None:
    """Raises UserError for a code that z has no room for, or that other parts of the game would blur."""
    code, size = config.objective.code, config.prior.size
    length = code.categories + code.continuous
    if (code.weight > 0) != (length > 0) or code.categories == 1:
        raise UserError(
            f"objective.code needs a weight and a code, of 2 categories or more or of continuous entries, not weight="
            f"{code.weight:g}, categories={code.categories}, continuous={code.continuous}."
        )
    if length > size:
        raise UserError(f"objective.code has {length} entries, and z only prior.size={size}; make it larger.")
    if code.weight and config.discriminator.packing > 1:
        raise UserError(
            f"objective.code needs the code of single examples, and discriminator.packing="
            f"{config.discriminator.packing} judges them together; set it to 1."
        )
    others = {
        "encoder.name": config.encoder.name != "none",
        "objective.latent": any(config.objective.latent[key] for key in ("discriminator", "generator")),
        "objective.latent_optimization.rate": config.objective.latent_optimization.rate,
    }
    for name, on in others.items():
        if on and code.categories:
            raise UserError(
                f"objective.code.categories makes entries of z categories, which {name} takes as numbers; set one off."
            )
