"""StyleGAN2-ADA (arXiv:2006.06676): transforms of a probability that is adaptive or follows a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.augment.protocol import NoAugment, check_bounded_images, per_image
from jaxgan.augment.transforms import blit, color
from jaxgan.errors import UserError
from jaxgan.fields import TRACED, above, within
from jaxgan.networks.layers import DataSpec, check_one_of
from jaxgan.schedules import check_interpolation, interpolate


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
        return per_image(x, keys, self.data, lambda image, key: _ada(image, key, state.p, self.sets))

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
        return per_image(x, keys, self.data, lambda image, key: _ada(image, key, p, self.sets))

    def update(self, state: Any, real_logits: jax.Array) -> jax.Array:
        return state + 1


def _check_ada(sets: Sequence[str], data: DataSpec | None) -> None:
    for name in sets:
        check_one_of("augment.sets", name, SETS)
    check_bounded_images("ada", data)
    if data is not None and "blit" in sets and data.shape[0] != data.shape[1]:
        raise UserError(f"augment.sets=blit turns square images, not {data.shape[0]}x{data.shape[1]}.")
    if data is not None and "color" in sets and data.shape[2] not in (1, 3):
        raise UserError(f"augment.sets=color is for 1 or 3 channels, not {data.shape[2]}.")


def _ada(image: jax.Array, key: jax.Array, p: jax.Array, sets: Sequence[str]) -> jax.Array:
    key_blit, key_color = jax.random.split(key)
    image = blit(image, key_blit, p) if "blit" in sets else image
    return color(image, key_color, p) if "color" in sets else image
