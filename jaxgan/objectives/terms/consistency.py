"""Consistency regularization: D's logits are invariant to a flip and a shift (arXiv:1910.12027, arXiv:2002.04724)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from jaxgan.fields import Weight
from jaxgan.objectives.terms.protocol import DTermInputs, Network, Part


def _consistency_at(inputs: DTermInputs, x: Array) -> Array:
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(inputs.keys)
    return jnp.mean(consistency(inputs.D, lambda x: flip_and_shift(x, keys), x))


def consistency_real(term: Consistency, inputs: DTermInputs) -> Array:
    return _consistency_at(inputs, inputs.x)


def consistency_fake(term: Consistency, inputs: DTermInputs) -> Array:
    return _consistency_at(inputs, inputs.fake)


@dataclass(frozen=True)
class Consistency:
    """D's logits are invariant to a flip and a shift (CR, arXiv:1910.12027; bCR, arXiv:2002.04724)."""

    real: Weight = 0.0  # weight on data; 10
    fake: Weight = 0.0  # weight on samples of G; 10

    D_PARTS: ClassVar = (
        Part("consistency_real", "consistency on data, weighted", "real", consistency_real),
        Part("consistency_fake", "consistency on samples, weighted", "fake", consistency_fake),
    )
    G_PARTS: ClassVar = ()


def consistency(D: Network, T: Network, x: Array) -> Array:
    """(D(x) - D(T(x)))^2 with a random transformation T that preserves semantics, such as `flip_and_shift`.

    On data this is CR (arXiv:1910.12027, weight 10); on data and fakes, bCR (arXiv:2002.04724, weights 10 and 10).
    Gradients flow into both logits. Fakes must be constants (`stop_gradient`) in D's step.

    Args:
      D: [n, *shape] -> logits [n], one per example.
      T: [n, *shape] -> [n, *shape].
      x: [n, *shape] float.

    Returns:
      [n] float.
    """
    return jnp.square(D(x) - D(T(x)))


def flip_and_shift(x: Array, keys: Array) -> Array:
    """The T of consistency regularization: a random horizontal flip, then a random shift with reflection padding.

    The shift along each axis is an integer, uniform in [-int(size / 8), int(size / 8)] (StudioGAN's cr.py).

    Args:
      x: [n, H, W, C] float; keys: [n].

    Returns:
      [n, H, W, C] float.
    """
    height, width, _ = x.shape[1:]
    margins = (height // 8, width // 8)

    def transform(image: Array, key: Array) -> Array:
        flip_key, row_key, column_key = jax.random.split(key, 3)
        image = jnp.where(jax.random.bernoulli(flip_key), image[:, ::-1], image)
        padded = jnp.pad(image, ((margins[0],) * 2, (margins[1],) * 2, (0, 0)), mode="reflect")
        starts = (jax.random.randint(k, (), 0, 2 * m + 1) for k, m in zip((row_key, column_key), margins, strict=True))
        return jax.lax.dynamic_slice(padded, (*starts, 0), image.shape)

    return jax.vmap(transform)(x, keys)
