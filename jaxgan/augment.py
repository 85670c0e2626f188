"""Augmentations of D's input, with the same distribution for real and fake: in D's step, G's step and the penalties.

Penalties differentiate through the augmentation, with respect to the original example (as in R3GAN). The Python API and
the metrics evaluate D without it. An augmentation is a function of examples, a key per example, and a state: arrays
updated once per update of D (`update`), or `()`. Magnitudes are for values in [-1, 1]; data in another range are mapped
there and back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import TRACED, Choice, above, accepted_kwargs, within
from jaxgan.networks.layers import DataSpec, check_images, check_one_of
from jaxgan.objectives.losses import LOSSES
from jaxgan.schedules import check_interpolation, interpolate


def _uniform(key: jax.Array, low: float, high: float) -> jax.Array:
    return jax.random.uniform(key, minval=low, maxval=high)


def _per_image(x: jax.Array, keys: jax.Array, data: DataSpec, change: Callable) -> jax.Array:
    """`change`(image in [-1, 1], key) on each image."""
    low, high = data.bounds
    half = (high - low) / 2
    return (jax.vmap(change)((x - low) / half - 1, keys) + 1) * half + low


def _check_bounded_images(name: str, data: DataSpec | None) -> None:
    check_images(f"augment.name={name}", data)
    if data is not None and data.bounds is None:
        raise UserError(f"augment.name={name} is for images in a known range; set data.gcn=0, or augment.name=flip.")


@dataclass(frozen=True)
class NoAugment:
    """No augmentation; the base class of the others."""

    data: DataSpec | None = None

    def init(self) -> Any:
        return ()

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        """x: [n, *shape] float32; keys: [n] typed PRNG keys, one per example; state: of `init` or `update`."""
        return x

    def update(self, state: Any, real_logits: jax.Array) -> Any:
        """The state after an update of D. real_logits: [m] float32 of the global minibatch."""
        return state


@dataclass(frozen=True)
class Flip(NoAugment):
    """Horizontal mirror images."""

    probability: Annotated[float, TRACED, within(0, 1)] = 0.5

    def check(self) -> None:
        check_images("augment.name=flip", self.data)

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        flip = jax.vmap(lambda key: jax.random.uniform(key))(keys) < self.probability
        return jnp.where(flip[:, None, None, None], x[:, :, ::-1], x)


@dataclass(frozen=True)
class InstanceNoise(NoAugment):
    """Gaussian noise whose standard deviation decays to 0 (arXiv:1610.04490); the state counts updates of D."""

    deviation: Annotated[float, TRACED] = 0.1  # initial standard deviation, in the data's units
    steps: Annotated[float, TRACED, above(0)] = 10_000.0  # updates of D until it is `final`
    final: Annotated[float, TRACED] = 0.0
    shape: str = "linear"  # of the way there: constant | linear | cosine | exponential

    def check(self) -> None:
        check_interpolation("augment", self.shape, self.deviation, self.final)

    def init(self) -> jax.Array:
        return jnp.zeros((), jnp.uint32)

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        deviation = interpolate(self.shape, self.deviation, self.final, progress=state.astype(jnp.float32) / self.steps)
        noise = jax.vmap(lambda key: jax.random.normal(key, x.shape[1:]))(keys)
        return x + deviation * noise

    def update(self, state: Any, real_logits: jax.Array) -> jax.Array:
        return state + 1


PARTS = ("color", "translation", "cutout")


@dataclass(frozen=True)
class DiffAugment(NoAugment):
    """DiffAugment (arXiv:2006.10738), each part once per image, in the order given."""

    policy: Sequence[str] = PARTS  # of color, translation, cutout

    def check(self) -> None:
        for part in self.policy:
            check_one_of("augment.policy", part, PARTS)
        _check_bounded_images("diffaugment", self.data)

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        parts = {"color": _color, "translation": _translate, "cutout": _cutout}

        def change(image: jax.Array, key: jax.Array) -> jax.Array:
            for i, part in enumerate(self.policy):
                image = parts[part](image, jax.random.fold_in(key, i))
            return image

        return _per_image(x, keys, self.data, change)


def _color(image: jax.Array, key: jax.Array) -> jax.Array:
    """Brightness, then saturation, then contrast. [H, W, C] in [-1, 1]; the result may leave that range."""
    brightness, saturation, contrast = jax.random.split(key, 3)
    image = image + _uniform(brightness, -0.5, 0.5)
    grey = jnp.mean(image, axis=2, keepdims=True)
    image = (image - grey) * _uniform(saturation, 0.0, 2.0) + grey
    mean = jnp.mean(image)
    return (image - mean) * _uniform(contrast, 0.5, 1.5) + mean


def _translate(image: jax.Array, key: jax.Array) -> jax.Array:
    """Shifts by up to an eighth of each side, padding with zeros (mid-grey)."""
    margins = [int(side / 8 + 0.5) for side in image.shape[:2]]
    padded = jnp.pad(image, [*((m, m) for m in margins), (0, 0)])
    starts = [jax.random.randint(k, (), 0, 2 * m + 1) for k, m in zip(jax.random.split(key), margins, strict=True)]
    return jax.lax.dynamic_slice(padded, (*starts, 0), image.shape)


def _cutout(image: jax.Array, key: jax.Array) -> jax.Array:
    """Zeros a rectangle of half the height and width, centred anywhere in the image."""
    keep = []
    for axis, k in enumerate(jax.random.split(key)):
        side = image.shape[axis]
        size = int(side / 2 + 0.5)
        start = jax.random.randint(k, (), 0, side + (1 - size % 2)) - size // 2
        at = jnp.arange(side)
        keep.append((at < start) | (at >= start + size))
    return jnp.where((keep[0][:, None] | keep[1][None])[..., None], image, 0.0)


class AdaState(NamedTuple):
    """The state of adaptive augmentation."""

    p: jax.Array  # float32, the probability of each transform
    signs: jax.Array  # float32, sum of the mean signs of D's logits on data since the last change of p
    count: jax.Array  # uint32, updates of D


SETS = ("blit", "color")


@dataclass(frozen=True)
class Ada(NoAugment):
    """StyleGAN2-ADA (arXiv:2006.06676) without transforms that resample, each applied with an adaptive probability p.

    `blit`: mirror image, quarter turns, whole-pixel shifts with reflected borders. `color`: brightness, contrast, luma
    flip, and for 3 channels hue and saturation. (Left out: scaling, rotation and filters.) Every
    `interval` updates of D, p rises where the mean sign of its logits on data is above `target`, and falls below it.
    """

    sets: Sequence[str] = SETS  # of blit, color
    target: Annotated[float, TRACED, within(-1, 1, "()")] = 0.6
    images: Annotated[float, TRACED, above(0)] = 500_000.0  # shown to D while p rises from 0 to 1 at full speed
    interval: Annotated[int, above(0)] = 4  # updates of D
    NEEDS_SIGN = True  # the sign of D's logits must be its decision

    def check(self) -> None:
        _check_ada(self.sets, self.data)

    def init(self) -> AdaState:
        return AdaState(jnp.zeros(()), jnp.zeros(()), jnp.zeros((), jnp.uint32))

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        return _per_image(x, keys, self.data, lambda image, key: _ada(image, key, state.p, self.sets))

    def update(self, state: Any, real_logits: jax.Array) -> AdaState:
        signs, count = state.signs + jnp.mean(jnp.sign(real_logits)), state.count + 1
        due = count % jnp.uint32(self.interval) == 0
        step = real_logits.shape[0] * self.interval / self.images
        p = jnp.maximum(state.p + jnp.sign(signs / self.interval - self.target) * step, 0.0)
        return AdaState(jnp.where(due, p, state.p), jnp.where(due, 0.0, signs), count)


@dataclass(frozen=True)
class AdaSchedule(NoAugment):
    """`Ada` whose p goes from `start` to `final` and stays, along half a cosine in R3GAN (arXiv:2501.05441)."""

    sets: Sequence[str] = SETS  # of blit, color
    start: Annotated[float, TRACED] = 0.0
    final: Annotated[float, TRACED] = 0.55
    steps: Annotated[float, TRACED, above(0)] = 20_000.0  # updates of D
    shape: str = "cosine"  # of the way there: constant | linear | cosine | exponential

    def check(self) -> None:
        _check_ada(self.sets, self.data)
        check_interpolation("augment", self.shape, self.start, self.final)

    def init(self) -> jax.Array:
        return jnp.zeros((), jnp.uint32)

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        p = interpolate(self.shape, self.start, self.final, progress=state.astype(jnp.float32) / self.steps)
        return _per_image(x, keys, self.data, lambda image, key: _ada(image, key, p, self.sets))

    def update(self, state: Any, real_logits: jax.Array) -> jax.Array:
        return state + 1


def _check_ada(sets: Sequence[str], data: DataSpec | None) -> None:
    for name in sets:
        check_one_of("augment.sets", name, SETS)
    _check_bounded_images("ada", data)
    if data is not None and "blit" in sets and data.shape[0] != data.shape[1]:
        raise UserError(f"augment.sets=blit turns square images, not {data.shape[0]}x{data.shape[1]}.")
    if data is not None and "color" in sets and data.shape[2] not in (1, 3):
        raise UserError(f"augment.sets=color is for 1 or 3 channels, not {data.shape[2]}.")


def _ada(image: jax.Array, key: jax.Array, p: jax.Array, sets: Sequence[str]) -> jax.Array:
    key_blit, key_color = jax.random.split(key)
    image = _blit(image, key_blit, p) if "blit" in sets else image
    return _color_transform(image, key_color, p) if "color" in sets else image


def _bernoulli(key: jax.Array, p: jax.Array) -> jax.Array:
    return jax.random.uniform(key) < p


def _blit(image: jax.Array, key: jax.Array, p: jax.Array) -> jax.Array:
    """Mirror image (a fair coin, with probability p), quarter turns, shifts of up to an eighth of each side."""
    keys = jax.random.split(key, 7)
    image = jnp.where(_bernoulli(keys[0], p) & _bernoulli(keys[1], jnp.asarray(0.5)), image[:, ::-1], image)
    turns = jnp.where(_bernoulli(keys[2], p), jax.random.randint(keys[3], (), 0, 4), 0)
    image = jax.lax.select_n(turns, *(jnp.rot90(image, k) for k in range(4)))
    shifted = _bernoulli(keys[4], p)
    for axis, k in enumerate(keys[5:]):
        side = image.shape[axis]
        shift = jnp.where(shifted, jnp.round(_uniform(k, -0.125, 0.125) * side), 0.0).astype(jnp.int32)
        at = jnp.abs(jnp.arange(side) - shift)  # reflected at the first pixel, then at the last
        image = jnp.take(image, jnp.where(at >= side, 2 * (side - 1) - at, at), axis=axis)
    return image


def _color_transform(image: jax.Array, key: jax.Array, p: jax.Array) -> jax.Array:
    """Brightness, contrast, luma flip, hue and saturation, as one affine map of the channels."""
    keys = jax.random.split(key, 10)
    normal = lambda i: jax.random.normal(keys[i])  # noqa: E731
    brightness = jnp.where(_bernoulli(keys[0], p), 0.2 * normal(1), 0.0)
    contrast = jnp.where(_bernoulli(keys[2], p), jnp.exp2(0.5 * normal(3)), 1.0)
    flipped = _bernoulli(keys[4], p) & _bernoulli(keys[5], jnp.asarray(0.5))
    luma = jnp.where(flipped, -1.0, 1.0)  # eigenvalue of the grey axis (1, 1, 1) / sqrt 3
    if image.shape[2] == 1:
        return luma * contrast * (image + brightness)
    angle = jnp.where(_bernoulli(keys[6], p), _uniform(keys[7], -math.pi, math.pi), 0.0)
    saturation = jnp.where(_bernoulli(keys[8], p), jnp.exp2(normal(9)), 1.0)
    axis = jnp.full((3, 3), 1 / 3)
    cross = jnp.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    around = (jnp.eye(3) - axis) * jnp.cos(angle) + cross * jnp.sin(angle)  # rotates the chroma plane
    matrix = contrast * (luma * axis + saturation * around)
    return jnp.einsum("hwc,dc->hwd", image + brightness, matrix, precision="highest")


AUGMENTS = {
    "none": NoAugment,
    "flip": Flip,
    "instance_noise": InstanceNoise,
    "diffaugment": DiffAugment,
    "ada": Ada,
    "ada_schedule": AdaSchedule,
}


@dataclass(frozen=True)
class AugmentSection:
    """What x and G(z) go through before D."""

    name: Annotated[str, Choice(AUGMENTS)] = "none"  # what x and G(z) go through before D; of jaxgan/augment.py


def check(config: ConfigDict) -> None:
    """Raises UserError if the augmentation steers by D's logits, and these do not allow it."""
    name, objective = config.augment.name, config.objective
    if getattr(AUGMENTS[name], "NEEDS_SIGN", False) and not _zero_is_decision_boundary(objective):
        raise UserError(
            f"augment.name={name} steers by the sign of D's logits, which means nothing under "
            f"objective.loss={objective.loss}; take augment.name=ada_schedule."
        )
    if name == "ada" and config.discriminator.packing > 1:
        raise UserError("augment.name=ada counts D's logits as images, and discriminator.packing makes them fewer.")


def _zero_is_decision_boundary(objective: ConfigDict) -> bool:
    """Whether a logit of 0 is, but for label smoothing, where D finds data and samples equally likely."""
    posterior = LOSSES[objective.loss].posterior
    if posterior is None:
        return not LOSSES[objective.loss].difference
    return abs(float(posterior(jnp.zeros(1), **accepted_kwargs(posterior, objective))[0]) - 0.5) < 0.1
