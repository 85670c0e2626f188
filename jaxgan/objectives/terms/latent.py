"""Latent consistency regularization, zCR (arXiv:2002.04724): makes D insensitive to small changes of z, G sensitive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxgan.fields import TRACED, Weight, at_least
from jaxgan.objectives.terms.protocol import DTermInputs, GTermInputs, Network, Part


def _perturbed_z(term: LatentConsistency, inputs: DTermInputs | GTermInputs) -> Array:
    return perturb(inputs.z, jax.vmap(lambda key: jax.random.fold_in(key, 1))(inputs.keys), term.radius)


def latent_consistency(term: LatentConsistency, inputs: DTermInputs) -> Array:
    return jnp.mean(latent_consistency_discriminator(inputs.D, inputs.G, inputs.z, _perturbed_z(term, inputs)))


def latent_diversity(term: LatentConsistency, inputs: GTermInputs) -> Array:
    return jnp.mean(latent_consistency_generator(inputs.G, inputs.z, _perturbed_z(term, inputs)))


@dataclass(frozen=True)
class LatentConsistency:
    """D is made insensitive to small changes of z, and G sensitive (zCR, arXiv:2002.04724)."""

    discriminator: Weight = 0.0  # weight in D's loss; 5 to 20
    generator: Weight = 0.0  # weight in G's loss; .5
    radius: Annotated[float, TRACED, at_least(0)] = 0.05  # standard deviation of the change of z

    D_PARTS: ClassVar = (
        Part("latent_consistency", "latent consistency, weighted", "discriminator", latent_consistency),
    )
    G_PARTS: ClassVar = (Part("latent_diversity", "latent diversity, weighted", "generator", latent_diversity),)


def perturb(z: Array, keys: Array, radius: ArrayLike) -> Array:
    """z + radius * N(0, I): z [n, *shape] float, keys [n]; .03 to .07 in arXiv:2002.04724."""
    noise = jax.vmap(lambda key: jax.random.normal(key, z.shape[1:], z.dtype))(keys)
    return z + jnp.asarray(radius, z.dtype) * noise


def latent_consistency_discriminator(D: Network, G: Network, z: Array, perturbed: Array) -> Array:
    """(D(G(z)) - D(G(z + noise)))^2: zCR's part of D's loss (arXiv:2002.04724), with G constant.

    Args:
      D, G: act on each example independently.
      z, perturbed: [n, *shape] float; the latter from `perturb`.

    Returns:
      [n] float. Weight 5 to 20.
    """
    return jnp.square(D(jax.lax.stop_gradient(G(z))) - D(jax.lax.stop_gradient(G(perturbed))))


def latent_consistency_generator(G: Network, z: Array, perturbed: Array) -> Array:
    """-(G(z) - G(z + noise))^2, averaged over the elements of an example: zCR's part of G's loss, against collapse.

    Minimizing it increases the distance between samples with different z. Weight .5.

    Returns:
      [n] float.
    """
    difference = G(z) - G(perturbed)
    return -jnp.mean(jnp.square(difference), axis=tuple(range(1, difference.ndim)))
