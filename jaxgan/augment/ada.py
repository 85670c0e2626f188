"""StyleGAN2-ADA (arXiv:2006.06676): transforms of a probability that is adaptive or follows a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.augment.geometry import affine_inverse, compose, moves_inverse, resample, sample_affine
from jaxgan.augment.protocol import NoAugment, check_bounded_images, in_unit_range
from jaxgan.augment.transforms import blit, color, cutout, filter_image, noise, sample_moves
from jaxgan.errors import UserError
from jaxgan.fields import TRACED, above, at_least, within
from jaxgan.networks.layers import check_one_of
from jaxgan.schedules import check_interpolation, interpolate


class AdaState(NamedTuple):
    """The state of adaptive augmentation."""

    p: jax.Array  # float32, the probability of each transform
    signs: jax.Array  # float32, sum of the mean signs of D's logits on data since the last change of p
    count: jax.Array  # uint32, updates of D


# Append only: the position of a set is part of its key, and so of every recorded run.
SETS = ("blit", "color", "geometry", "filter", "noise", "cutout")
# Those that change an image in place, in the order in which they act, after `geometry`.
IN_PLACE = {"blit": blit, "color": color, "filter": filter_image, "noise": noise, "cutout": cutout}
Factor = Annotated[float, TRACED, at_least(0)]


@dataclass(frozen=True)
class AdaTransforms(NoAugment):
    """The transforms of StyleGAN2-ADA (arXiv:2006.06676), in sets, each of which has a factor of the probability p.

    `blit`: mirror image, quarter turns, whole-pixel shifts. `geometry`: scaling, rotation, stretching, shifts by parts
    of a pixel. `color`: brightness, contrast, luma flip, and for 3 channels hue and saturation. `filter`: amplification
    of four bands of frequencies. `noise`: Gaussian. `cutout`: a rectangle of half of each side.

    With `geometry`, the moves of `blit` are part of the one affine map by which the image is resampled, as in the
    authors' code; without it they are exact maps of pixels.
    """

    sets: Sequence[str] = ("blit", "color")  # of blit, geometry, color, filter, noise, cutout
    blit: Factor = 1.0  # each transform of the set blit happens with p times this
    geometry: Factor = 1.0  # likewise of geometry
    color: Factor = 1.0  # likewise of color; .5 in R3GAN
    filter: Factor = 1.0  # likewise of filter
    noise: Factor = 1.0  # likewise of noise
    cutout: Factor = 1.0  # likewise of cutout

    def check_transforms(self) -> None:
        """Raises UserError for unknown sets, and for data that the transforms do not fit."""
        for name in self.sets:
            check_one_of("augment.sets", name, SETS)
        check_bounded_images("ada", self.data)
        if self.data is not None and "blit" in self.sets and self.data.shape[0] != self.data.shape[1]:
            height, width, _ = self.data.shape
            raise UserError(f"augment.sets=blit turns square images, not {height}x{width}.")
        if self.data is not None and "color" in self.sets and self.data.shape[2] not in (1, 3):
            raise UserError(f"augment.sets=color is for 1 or 3 channels, not {self.data.shape[2]}.")

    def transform(self, x: jax.Array, keys: jax.Array, p: jax.Array) -> jax.Array:
        """x [n, H, W, C] in the data's range, transformed with probability p, a scalar; the same x at p = 0."""
        changed = in_unit_range(x, self.data, lambda images: self._transform_in_unit_range(images, keys, p))
        if set(self.sets) <= {"blit", "color"}:
            return changed  # at p = 0 as recorded runs have it: x up to the rounding of `in_unit_range`
        return jnp.where(p > 0, changed, x)

    def _transform_in_unit_range(self, images: jax.Array, keys: jax.Array, p: jax.Array) -> jax.Array:
        shape, in_place = images.shape[1:], [name for name in IN_PLACE if name in self.sets]

        def draw(name: str, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            """The key and the probability of the transforms of a set."""
            return jax.random.fold_in(key, SETS.index(name)), p * getattr(self, name)

        def inverse(key: jax.Array) -> jax.Array:
            affine = affine_inverse(sample_affine(*draw("geometry", key), shape))
            if "blit" not in self.sets:
                return affine
            return compose(moves_inverse(sample_moves(*draw("blit", key), shape)), affine)

        def change(image: jax.Array, key: jax.Array) -> jax.Array:
            for name in in_place:
                image = IN_PLACE[name](image, *draw(name, key))
            return image

        if "geometry" in self.sets:
            images = resample(images, jax.vmap(inverse)(keys))
            in_place = [name for name in in_place if name != "blit"]
        return jax.vmap(change)(images, keys)


@dataclass(frozen=True)
class Ada(AdaTransforms):
    """StyleGAN2-ADA (arXiv:2006.06676): each transform is applied with an adaptive probability p.

    Every `interval` updates of D, p rises where the mean sign of its logits on data is above `target`, and falls below
    it.
    """

    target: Annotated[float, TRACED, within(-1, 1, "()")] = 0.6
    images: Annotated[float, TRACED, above(0)] = 500_000.0  # shown to D while p rises from 0 to 1 at full speed
    interval: Annotated[int, above(0)] = 4  # updates of D
    NEEDS_SIGN = True  # the sign of D's logits must be its decision

    def check(self) -> None:
        self.check_transforms()

    def init(self) -> AdaState:
        return AdaState(jnp.zeros(()), jnp.zeros(()), jnp.zeros((), jnp.uint32))

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        return self.transform(x, keys, state.p)

    def update(self, state: Any, real_logits: jax.Array) -> AdaState:
        signs, count = state.signs + jnp.mean(jnp.sign(real_logits)), state.count + 1
        due = count % jnp.uint32(self.interval) == 0
        step = real_logits.shape[0] * self.interval / self.images
        p = jnp.maximum(state.p + jnp.sign(signs / self.interval - self.target) * step, 0.0)
        return AdaState(jnp.where(due, p, state.p), jnp.where(due, 0.0, signs), count)


@dataclass(frozen=True)
class AdaSchedule(AdaTransforms):
    """`Ada` whose p goes from `start` to `final` and stays, along half a cosine in R3GAN (arXiv:2501.05441)."""

    start: Annotated[float, TRACED] = 0.0
    final: Annotated[float, TRACED] = 0.55
    steps: Annotated[float, TRACED, above(0)] = 20_000.0  # updates of D
    shape: str = "cosine"  # of the way there: constant | linear | cosine | exponential

    def check(self) -> None:
        self.check_transforms()
        check_interpolation("augment", self.shape, self.start, self.final)

    def init(self) -> jax.Array:
        return jnp.zeros((), jnp.uint32)

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        p = interpolate(self.shape, self.start, self.final, progress=state.astype(jnp.float32) / self.steps)
        return self.transform(x, keys, p)

    def update(self, state: Any, real_logits: jax.Array) -> jax.Array:
        return state + 1
