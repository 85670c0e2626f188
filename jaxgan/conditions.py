"""Conditions of both players, the paper's c (section 6): their form, how they are computed, and the table of kinds.

The condition of an example is a function of the example, of what is stored with it, and of a key; so derived conditions
take no storage, and an example has a new mask every time it is used. G's inputs are z and the condition, never the
example.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan.errors import UserError
from jaxgan.fields import TRACED, Choice, above, within
from jaxgan.networks.layers import DataSpec, check_images, check_one_of, on_grid


class Condition(NamedTuple):
    """What both players are conditioned on, per example; fields that are not used are None."""

    label: jax.Array | None = None  # [n] int32 classes
    vector: jax.Array | None = None  # [n, k] float32
    image: jax.Array | None = None  # [n, H, W, C] float32, of any size
    mask: jax.Array | None = None  # [n, H, W, 1] of images, else [n, d]: 1 where x is observed, 0 where it is hidden
    z: jax.Array | None = None  # [n, d] float32, for D only: the z of a sample, or E(x) of an example x

    @property
    def content(self) -> jax.Array | None:
        """The image, or else the vector."""
        return self.vector if self.image is None else self.image


UNCONDITIONAL = Condition()


def join_rows(z: jax.Array, condition: Condition) -> jax.Array:
    """The input of G: z [n, d] concatenated with the condition except its label, [n, d + entries]."""
    leaves = [leaf for leaf in condition[1:] if leaf is not None]
    rows = (leaf.reshape(leaf.shape[0], math.prod(leaf.shape[1:])) for leaf in leaves)
    return jnp.concatenate([z, *rows], axis=1) if leaves else z


def join_channels(x: jax.Array, condition: Condition) -> jax.Array:
    """The input of D: examples concatenated with the condition except its label, as additional channels.

    Images and masks are resized to the size of x by nearest-neighbour interpolation, and vectors are broadcast over it.
    If the examples are vectors, the condition is appended as additional entries.
    """
    if x.ndim == 2:
        return join_rows(x, condition)
    maps = [on_grid(leaf, x.shape[1:3]) for leaf in condition[1:] if leaf is not None]
    return jnp.concatenate([x, *maps], axis=-1) if maps else x


def split_pairs(x: jax.Array, condition: Condition) -> tuple[jax.Array, Callable]:
    """The points at which penalties differentiate D: x, or pairs (x, z) as rows [n, entries + d] if D's input has a z.

    Returns:
      These points, and a function that maps any such points to the x and the condition that D takes.
    """
    if condition.z is None:
        return x, lambda points: (points, condition)
    entries = math.prod(x.shape[1:])

    def to_inputs(points: jax.Array) -> tuple[jax.Array, Condition]:
        return points[:, :entries].reshape(x.shape), condition._replace(z=points[:, entries:])

    return jnp.concatenate([x.reshape(len(x), entries), condition.z], axis=1), to_inputs


def conditioned_generator(G: Callable, complete: Callable[[jax.Array, Condition], jax.Array]) -> Callable:
    """G(z | c): wraps a forward pass (params, stats, z, label) -> (x, stats) to take a condition instead of a label."""

    def apply(params, stats, z, condition: Condition = UNCONDITIONAL, **flags):
        raw, stats = G(params, stats, join_rows(z, condition), condition.label, **flags)
        return complete(raw, condition), stats

    return apply


def conditioned_discriminator(D: Callable) -> Callable:
    """D(x | c): wraps a forward pass (params, stats, x, label, keys) to take a condition instead of a label."""

    def apply(params, stats, x, condition: Condition = UNCONDITIONAL, keys=None, **flags):
        return D(params, stats, join_channels(x, condition), condition.label, keys, **flags)

    return apply


@dataclass(frozen=True)
class NoCondition:
    """The players are unconditional."""

    data: DataSpec | None = None

    def check(self) -> None:
        """Raises UserError if fields are wrong or do not fit the data."""

    def __call__(self, x: jax.Array, stored: Condition, keys: jax.Array) -> Condition:
        """The conditions of examples.

        Args:
          x: [n, *shape] float32, decoded examples.
          stored: the label, vector or image that the data set stores with each example.
          keys: [n] typed PRNG keys, one per example.
        """
        return Condition()

    def complete(self, raw: jax.Array, condition: Condition) -> jax.Array:
        """Replaces what the condition determines in G's output `raw` [n, *shape]."""
        return raw


@dataclass(frozen=True)
class Label(NoCondition):
    """The class of each example."""

    def __call__(self, x: jax.Array, stored: Condition, keys: jax.Array) -> Condition:
        return Condition(label=stored.label)


@dataclass(frozen=True)
class Pairs(NoCondition):
    """The vector or image that the data set stores with each example."""

    def check(self) -> None:
        if self.data is not None and not self.data.paired:
            raise UserError(
                "condition.name=pairs needs a condition stored with each example; add an array train_condition to the "
                "file of data.name=npz:PATH."
            )

    def __call__(self, x: jax.Array, stored: Condition, keys: jax.Array) -> Condition:
        return stored._replace(label=None)


@dataclass(frozen=True)
class LowResolution(NoCondition):
    """The means of square blocks of pixels (super-resolution)."""

    factor: int = 2  # side of a block
    project: bool = True  # correct each block of the output to the given mean

    def check(self) -> None:
        check_images("condition.name=low_resolution", self.data)
        if self.factor < 2 or (self.data is not None and any(side % self.factor for side in self.data.shape[:2])):
            sides = "" if self.data is None else f" a divisor of the sides {self.data.shape[:2]},"
            raise UserError(f"condition.factor must be 2 or more,{sides} not {self.factor}.")

    def __call__(self, x: jax.Array, stored: Condition, keys: jax.Array) -> Condition:
        return Condition(image=block_means(x, self.factor))

    def complete(self, raw: jax.Array, condition: Condition) -> jax.Array:
        """raw + up(c - down(raw)), whose block means are c; this correction may move values out of the data's range."""
        if not self.project:
            return raw
        assert condition.image is not None
        correction = condition.image - block_means(raw, self.factor)
        return raw + correction.repeat(self.factor, axis=1).repeat(self.factor, axis=2)


def block_means(x: jax.Array, side: int) -> jax.Array:
    """Means over blocks of side x side pixels: [n, H, W, C] -> [n, H / side, W / side, C]."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // side, side, width // side, side, channels).mean(axis=(2, 4))


@dataclass(frozen=True)
class Grey(NoCondition):
    """The luminance of a colour image (colourization)."""

    def check(self) -> None:
        check_images("condition.name=grey", self.data)
        if self.data is not None and self.data.shape[-1] != 3:
            raise UserError(f"condition.name=grey needs images of 3 channels, and these have {self.data.shape[-1]}.")

    def __call__(self, x: jax.Array, stored: Condition, keys: jax.Array) -> Condition:
        red, green, blue = jnp.split(x, 3, axis=-1)
        return Condition(image=0.299 * red + 0.587 * green + 0.114 * blue)  # ITU-R BT.601


@dataclass(frozen=True)
class Noisy(NoCondition):
    """The example with Gaussian noise (denoising)."""

    deviation: Annotated[float, TRACED, above(0)] = 0.2  # standard deviation of the noise, in units of the data

    def __call__(self, x: jax.Array, stored: Condition, keys: jax.Array) -> Condition:
        noise = jax.vmap(lambda key: jax.random.normal(key, x.shape[1:], x.dtype))(keys)
        return _as_content(x + self.deviation * noise)


def _as_content(x: jax.Array) -> Condition:
    return Condition(image=x) if x.ndim == 4 else Condition(vector=x)


@dataclass(frozen=True)
class Mask(NoCondition):
    """The observed entries and their mask: all conditionals p(x_S | x_not S); the base class of all masks."""

    def check(self) -> None:
        if self.data is not None and math.prod(self.entries) < 2:
            raise UserError(
                f"a mask needs data of 2 entries or more, one to hide and one to show, and these have "
                f"{math.prod(self.entries)}; set condition.name=none."
            )

    @property
    def entries(self) -> tuple[int, ...]:
        """The shape of a mask: the channels of a pixel are observed or hidden together."""
        shape = self.data.shape
        return (*shape[:2], 1) if len(shape) == 3 else shape

    def draw(self, key: jax.Array) -> jax.Array:
        """A mask of the shape `entries`, bool: True where x is observed."""
        raise NotImplementedError

    def __call__(self, x: jax.Array, stored: Condition, keys: jax.Array) -> Condition:
        return masked(x, jax.vmap(self.draw)(keys))

    def complete(self, raw: jax.Array, condition: Condition) -> jax.Array:
        """The observed entries unchanged, and those of `raw` where entries are hidden."""
        assert condition.mask is not None and condition.content is not None
        return jnp.where(condition.mask > 0, condition.content, raw)


def masked(x: jax.Array, mask: jax.Array) -> Condition:
    """The condition of examples [n, *shape] under masks, of `Condition.mask`'s shape and any dtype."""
    mask = jnp.asarray(mask, x.dtype)
    return _as_content(x * mask)._replace(mask=mask)


@dataclass(frozen=True)
class BernoulliMask(Mask):
    """A mask that hides each entry independently."""

    hidden: Annotated[float, TRACED, within(0, 1, "()")] = 0.5  # probability

    def draw(self, key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, self.entries) >= self.hidden


@dataclass(frozen=True)
class SubsetMask(Mask):
    """A mask that hides 1 to all entries: their number is uniform, and so is the subset given its size."""

    def draw(self, key: jax.Array) -> jax.Array:
        size_key, subset_key = jax.random.split(key)
        n = math.prod(self.entries)
        observed = jax.random.randint(size_key, (), 0, n)
        return (jax.random.permutation(subset_key, n) < observed).reshape(self.entries)


@dataclass(frozen=True)
class RectangleMask(Mask):
    """A mask that hides a rectangle with the image's aspect ratio, at a random position in it."""

    share: Annotated[float, TRACED, within(0, 1, "()")] = 0.25  # of the image's area

    def check(self) -> None:
        super().check()
        check_images("condition.name=rectangle_mask", self.data)

    def draw(self, key: jax.Array) -> jax.Array:
        hidden = jnp.ones(self.entries, bool)
        for axis, axis_key in enumerate(jax.random.split(key)):
            side = self.entries[axis]
            length = jnp.clip(jnp.round(side * jnp.sqrt(self.share)), 1, side).astype(jnp.int32)
            first = jax.random.randint(axis_key, (), 0, side - length + 1)
            index = jax.lax.broadcasted_iota(jnp.int32, self.entries, axis)
            hidden &= (index >= first) & (index < first + length)
        return ~hidden


HALVES = ("upper", "lower", "left", "right")


@dataclass(frozen=True)
class HalfMask(Mask):
    """A mask that hides one half of the image."""

    hidden: str = "any"  # upper | lower | left | right | any: one of the four at random

    def check(self) -> None:
        super().check()
        check_images("condition.name=half_mask", self.data)
        check_one_of("condition.hidden", self.hidden, (*HALVES, "any"))

    def draw(self, key: jax.Array) -> jax.Array:
        row, column = (jax.lax.broadcasted_iota(jnp.int32, self.entries, axis) for axis in (0, 1))
        upper, left = row < self.entries[0] // 2, column < self.entries[1] // 2
        hidden = jnp.stack([upper, ~upper, left, ~left])
        number = jax.random.randint(key, (), 0, 4) if self.hidden == "any" else HALVES.index(self.hidden)
        return ~hidden[number]


@dataclass(frozen=True)
class QuadrantMask(Mask):
    """A mask that hides one quadrant of the image."""

    def check(self) -> None:
        super().check()
        check_images("condition.name=quadrant_mask", self.data)

    def draw(self, key: jax.Array) -> jax.Array:
        row, column = (jax.lax.broadcasted_iota(jnp.int32, self.entries, axis) for axis in (0, 1))
        lower, right = (jax.random.bernoulli(k) for k in jax.random.split(key))
        return ((row >= self.entries[0] // 2) != lower) | ((column >= self.entries[1] // 2) != right)


@dataclass(frozen=True)
class MixedMask(Mask):
    """A mask from one of several distributions, chosen with equal probability."""

    laws: tuple[str, ...] = ("bernoulli_mask", "rectangle_mask", "quadrant_mask", "half_mask")  # with their defaults

    def check(self) -> None:
        super().check()
        if not self.laws:
            raise UserError("condition.laws needs one law or more, such as (half_mask,).")
        for law in self.laws:
            check_one_of("condition.laws", law, MASKS)
            MASKS[law](self.data).check()

    def draw(self, key: jax.Array) -> jax.Array:
        law_key, mask_key = jax.random.split(key)
        masks = jnp.stack([MASKS[law](self.data).draw(mask_key) for law in self.laws])
        return masks[jax.random.randint(law_key, (), 0, len(self.laws))]


MASKS: dict[str, type[Mask]] = {
    "bernoulli_mask": BernoulliMask,
    "subset_mask": SubsetMask,
    "rectangle_mask": RectangleMask,
    "quadrant_mask": QuadrantMask,
    "half_mask": HalfMask,
}

CONDITIONS: dict[str, type[NoCondition]] = {
    "none": NoCondition,
    "label": Label,
    "pairs": Pairs,
    "low_resolution": LowResolution,
    "grey": Grey,
    "noisy": Noisy,
    **MASKS,
    "mixed_mask": MixedMask,
}


@dataclass(frozen=True)
class ConditionSection:
    """What both players are conditioned on."""

    name: Annotated[str, Choice(CONDITIONS)] = "none"  # what both players are conditioned on; see jaxgan/conditions.py
