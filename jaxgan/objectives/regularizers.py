"""Terms of a player's loss that are not gradient penalties: LeCam, consistency, an auxiliary classifier.

Unweighted, one per example.

As with penalties, add their means, weighted, to D's undivided loss (`losses`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Network = Callable[[Array], Array]
LECAM = "lecam"  # of the anchors, among the statistics of D


class Look(NamedTuple):
    """What a term of D's loss may look at: this device's share of a minibatch, and D and G as they train."""

    D: Callable[[Array], Array]  # x [n, *shape] -> logits [n]
    G: Callable[[Array], Array]  # z [n, d] -> x [n, *shape], constant
    x: Array  # [n, *shape] data
    fake: Array  # [n, *shape] G(z), constant
    z: Array  # [n, d]
    keys: Array  # [n] keys, one per example
    y: Array | None  # [n] int32 classes of x and of the fakes, where the players are told any
    real_logits: Array  # [m] of the global minibatch
    fake_logits: Array  # [m]
    real_classes: Array | None  # [n, K] logits of D's auxiliary classifier on x, where it has one
    fake_classes: Array | None  # [n, K] on the fakes
    stats: dict  # of D
    count: Array  # uint32 scalar, updates of D before this one


class Draw(NamedTuple):
    """What a term of G's loss may look at: this device's share of a minibatch, and G as it trains."""

    G: Callable[[Array], Array]  # z [n, d] -> x [n, *shape]
    z: Array  # [n, d]
    keys: Array  # [n] keys, one per example
    y: Array | None  # [n] int32 classes of the fakes
    classes: Array | None  # [n, K] logits of D's auxiliary classifier on them


def discriminator_terms(objective: Mapping) -> tuple[tuple[str, Callable], ...]:
    """The terms of D's loss that are on: (name, (numbers, look) -> (their value, weighted, D's statistics)).

    Args:
      objective: the section of the configuration; `numbers` are its traced fields as {'lecam.weight': ...}.
    """

    def anchored(numbers, look: Look):
        anchors = update_anchors(
            look.stats[LECAM],
            look.real_logits,
            look.fake_logits,
            step=look.count,
            start=numbers["lecam.start"],
            decay=numbers["lecam.decay"],
        )
        value = jnp.mean(lecam(look.real_logits, look.fake_logits, *anchors))
        counts = (look.count.astype(jnp.float32) > numbers["lecam.start"]).astype(value.dtype)
        return numbers["lecam.weight"] * counts * value, {**look.stats, LECAM: anchors}

    def consistent(where: str):
        def term(numbers, look: Look):
            keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(look.keys)
            points = look.x if where == "real" else look.fake
            value = jnp.mean(consistency(look.D, lambda x: flip_and_shift(x, keys), points))
            return numbers[f"consistency.{where}"] * value, look.stats

        return term

    def latent(numbers, look: Look):
        moved = perturbed_z(look.z, look.keys, numbers["latent.radius"])
        value = jnp.mean(latent_consistency_discriminator(look.D, look.G, look.z, moved))
        return numbers["latent.discriminator"] * value, look.stats

    def classified(where: str):
        def term(numbers, look: Look):
            value = jnp.mean(class_error(look.real_classes if where == "real" else look.fake_classes, look.y))
            return numbers[f"auxiliary.{where}"] * value, look.stats

        return term

    found = {
        "lecam": (objective["lecam"]["weight"], anchored),
        "consistency_real": (objective["consistency"]["real"], consistent("real")),
        "consistency_fake": (objective["consistency"]["fake"], consistent("fake")),
        "latent_consistency": (objective["latent"]["discriminator"], latent),
        "class_error_real": (objective["auxiliary"]["real"], classified("real")),
        "class_error_fake": (objective["auxiliary"]["fake"], classified("fake")),
    }
    return tuple((name, term) for name, (weight, term) in found.items() if weight)


def generator_terms(objective: Mapping) -> tuple[tuple[str, Callable], ...]:
    """The terms of G's loss that are on: (name, (numbers, draw) -> their value, weighted)."""

    def latent(numbers, draw: Draw) -> Array:
        moved = perturbed_z(draw.z, draw.keys, numbers["latent.radius"])
        return numbers["latent.generator"] * jnp.mean(latent_consistency_generator(draw.G, draw.z, moved))

    def classified(numbers, draw: Draw) -> Array:
        return numbers["auxiliary.generator"] * jnp.mean(class_error(draw.classes, draw.y))

    found = {
        "latent_diversity": (objective["latent"]["generator"], latent),
        "class_error_generator": (objective["auxiliary"]["generator"], classified),
    }
    return tuple((name, term) for name, (weight, term) in found.items() if weight)


def perturbed_z(z: Array, keys: Array, radius: ArrayLike) -> Array:
    """`perturb` with keys of its own."""
    return perturb(z, jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys), radius)


# --- Auxiliary classifier, arXiv:1610.09585 ---------------------------------------------------------------------------


def class_error(logits: Array, y: Array) -> Array:
    """-log p(y | x) of D's auxiliary classifier: in D's loss on data (and, in the paper, on fakes), in G's on fakes.

    D is not told the class that it is asked for. The paper weighs it by 1 throughout; the authors of WGAN-GP by 1 on
    data and .1 in G's loss, and not on D's fakes.

    Args:
      logits: [n, K] float; y: [n] int32, of the examples or what G was told.

    Returns:
      [n] float, nats.
    """
    return jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]


# --- LeCam, arXiv:2104.03310 ------------------------------------------------------------------------------------------


class Anchors(NamedTuple):
    """Scalar float32: running means of D's logits on data and on fakes. State, to be checkpointed."""

    real: Array
    fake: Array


def initial_anchors() -> Anchors:
    return Anchors(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))


def update_anchors(
    anchors: Anchors, real_logits: Array, fake_logits: Array, *, step: ArrayLike, start: ArrayLike, decay: ArrayLike
) -> Anchors:
    """The anchors after a step of D, which uses the updated ones: decay * anchor + (1 - decay) * mean logit.

    Before `start` they are the means of this minibatch alone, so that it does not matter how they begin.

    Args:
      anchors: before the step.
      real_logits, fake_logits: [n] float of the GLOBAL minibatch, which make the anchors the same on all devices.
      step: scalar integer, D steps before this one.
      start: from this step on the means run; the term belongs in the loss where step > start (1000 in public code).
      decay: in [0, 1); .9 in the authors' code, .99 in StudioGAN.

    Source: lecam-gan, third_party/utils.py.
    """
    decay = jnp.where(jnp.asarray(step, jnp.float32) < start, 0.0, jnp.asarray(decay, jnp.float32))

    def move(anchor: Array, logits: Array) -> Array:
        mean = jax.lax.stop_gradient(jnp.mean(logits)).astype(anchor.dtype)
        return anchor + (1 - decay).astype(anchor.dtype) * (mean - anchor)

    return Anchors(move(anchors.real, real_logits), move(anchors.fake, fake_logits))


def lecam(real_logits: Array, fake_logits: Array, real_anchor: Array, fake_anchor: Array) -> Array:
    """max(0, D(x) - fake anchor)^2 + max(0, real anchor - D(G(z)))^2, in D's loss.

    It holds each side near the other's running mean. The paper's formula has plain squares; this is the authors' code.

    Args:
      real_logits, fake_logits: [n] float.
      real_anchor, fake_anchor: scalar float, constants: no gradient flows through them.

    Returns:
      [n] float. Public weights: .3 (CIFAR-10, hinge), .01 (AFHQ).
    """
    real_anchor, fake_anchor = (
        jax.lax.stop_gradient(jnp.asarray(anchor, jnp.result_type(real_logits)))
        for anchor in (real_anchor, fake_anchor)
    )
    return jnp.square(jax.nn.relu(real_logits - fake_anchor)) + jnp.square(jax.nn.relu(real_anchor - fake_logits))


# --- Consistency ------------------------------------------------------------------------------------------------------


def consistency(D: Network, T: Network, x: Array) -> Array:
    """(D(x) - D(T(x)))^2 with a random change T that keeps what x shows, e.g. `flip_and_shift`.

    On data it is CR (arXiv:1910.12027, weight 10), on data and on fakes bCR (arXiv:2002.04724, weights 10 and 10).
    Gradients flow into both logits. In D's step fakes are constants: give them with `stop_gradient`.

    Args:
      D: [n, *shape] -> logits [n], of each example alone.
      T: [n, *shape] -> [n, *shape].
      x: [n, *shape] float.

    Returns:
      [n] float.
    """
    return jnp.square(D(x) - D(T(x)))


def perturb(z: Array, keys: Array, radius: ArrayLike) -> Array:
    """z + radius * N(0, I): z [n, *shape] float, keys [n]; .03 to .07 in arXiv:2002.04724."""
    noise = jax.vmap(lambda key: jax.random.normal(key, z.shape[1:], z.dtype))(keys)
    return z + jnp.asarray(radius, z.dtype) * noise


def latent_consistency_discriminator(D: Network, G: Network, z: Array, perturbed: Array) -> Array:
    """(D(G(z)) - D(G(z + noise)))^2: zCR's part of D's loss (arXiv:2002.04724). G is constant.

    Args:
      D, G: each of its own example; z, perturbed: [n, *shape] float, the latter of `perturb`.

    Returns:
      [n] float. Weight 5 to 20.
    """
    return jnp.square(D(jax.lax.stop_gradient(G(z))) - D(jax.lax.stop_gradient(G(perturbed))))


def latent_consistency_generator(G: Network, z: Array, perturbed: Array) -> Array:
    """-(G(z) - G(z + noise))^2, averaged over the elements of an example: zCR's part of G's loss, against collapse.

    Negative: G descends it, and moves apart what differs in z. Weight .5.

    Returns:
      [n] float.
    """
    difference = G(z) - G(perturbed)
    return -jnp.mean(jnp.square(difference), axis=tuple(range(1, difference.ndim)))


def flip_and_shift(x: Array, keys: Array) -> Array:
    """The T of consistency regularization: a mirror image with probability 1/2, then a shift with reflected borders.

    The shift along each axis is an integer, uniform in [-int(size / 8), int(size / 8)] (StudioGAN's cr.py).

    Args:
      x: [n, H, W, C] float; keys: [n].

    Returns:
      [n, H, W, C] float.
    """
    height, width, _ = x.shape[1:]
    margins = (height // 8, width // 8)

    def change(image: Array, key: Array) -> Array:
        flip_key, row_key, column_key = jax.random.split(key, 3)
        image = jnp.where(jax.random.bernoulli(flip_key), image[:, ::-1], image)
        padded = jnp.pad(image, ((margins[0],) * 2, (margins[1],) * 2, (0, 0)), mode="reflect")
        starts = (jax.random.randint(k, (), 0, 2 * m + 1) for k, m in zip((row_key, column_key), margins, strict=True))
        return jax.lax.dynamic_slice(padded, (*starts, 0), image.shape)

    return jax.vmap(change)(x, keys)
