"""What each player descends, an example at a time, from logits; the caller takes the mean.

All in the softplus form: -log D = softplus(-logit), -log(1 - D) = softplus(logit), finite with
exact gradients at any finite logit.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp


def discriminator_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """D's binary cross entropy, 1/2 [-log D(x) - log(1 - D(G(z)))]; its mean is -V(D, G) / 2.

    The half is the 2014 code's (goodfeli/adversarial): the mean over real and fake alike.

    Args:
      real_logits, fake_logits: [n] float.

    Returns:
      [n] float, nats; log 2 where D = 1/2.
    """
    return 0.5 * jax.nn.softplus(-real_logits) + 0.5 * jax.nn.softplus(fake_logits)


def r1(D: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array, keys: jax.Array) -> jax.Array:
    """R1, 1/2 |d logit(x) / dx|^2, an example at a time (arXiv:1801.04406, eq. 9), dropout as in D's loss.

    A D that is still steep at the data when p_g = p_data keeps G moving; with the penalty the game converges
    locally.

    Args:
      D: (x [n, *shape], dropout keys [n]) -> logits [n], each of its own example alone.
      x: [n, *shape] float32, data.
      keys: [n] typed PRNG keys.

    Returns:
      [n] float32.
    """
    gradient = jax.grad(lambda x: jnp.sum(D(x, keys)))(x)
    return 0.5 * jnp.sum(jnp.square(gradient), axis=tuple(range(1, x.ndim)))


def minimax(fake_logits: jax.Array) -> jax.Array:
    """log(1 - D(G(z))): G's part of eq. (1), which saturates while D wins (section 3)."""
    return -jax.nn.softplus(fake_logits)


def non_saturating(fake_logits: jax.Array) -> jax.Array:
    """-log D(G(z)): the same fixed point with much stronger gradients early on (section 3)."""
    return jax.nn.softplus(-fake_logits)


# In the order of `config.CHOICES['objective.loss']`; the index is what a traced choice carries.
GENERATOR_LOSSES = {"minimax": minimax, "non_saturating": non_saturating}


def generator_loss(choice: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """G's loss by its index in `GENERATOR_LOSSES`, so that members of a population may differ in it.

    Args:
      choice: scalar int32.
      fake_logits: [n] float.

    Returns:
      [n] float, nats.
    """
    return jax.lax.switch(choice, list(GENERATOR_LOSSES.values()), fake_logits)


def generator_loss_index(name: str) -> int:
    """The index of a loss named in `objective.loss`."""
    return list(GENERATOR_LOSSES).index(name)
