"""Reads and checks the numbers and arrays that users pass to a trained GAN."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.arrays import AnyArray
from jaxgan.conditions import Condition, masked
from jaxgan.data import standardized
from jaxgan.errors import UserError
from jaxgan.fields import nearest
from jaxgan.game.state import stream
from jaxgan.run.workdir import DataInfo

UNBOUNDED_SLACK = 50.0  # how far images may leave the data range if G's output is unbounded, in units of the range


def user_stream(n: int, seed: int) -> jax.Array:
    """The PRNG key of a user's samples; raises UserError unless n and seed are valid whole numbers."""
    try:
        n, seed = operator.index(n), operator.index(seed)
    except TypeError:
        raise UserError(f"samples take whole numbers n and seed, not n={n!r}, seed={seed!r}.") from None
    if n < 1 or not 0 <= seed < 2**32:
        raise UserError(f"samples take n of 1 or more and a seed from 0 to 2**32 - 1, not n={n}, seed={seed}.")
    return stream(seed, "user")


def finite_array(values: Any, name: str) -> np.ndarray:
    """`values` as an array of their own dtype; raises UserError unless all are real and finite in float32."""
    try:
        array = np.asarray(values)
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32, casting="same_kind"))
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} must be an array of numbers ({error}).") from None
    if not array.size:
        raise UserError(f"{name} of shape {array.shape} is empty; pass at least one example.")
    if not finite.all():
        raise UserError(f"{np.sum(~finite)} of the {finite.size} numbers of {name} are not finite in float32.")
    return array


def read_examples(x: Any, data_info: DataInfo, *, bounded: bool, decode: Callable[[jax.Array], jax.Array]) -> AnyArray:
    """A user's examples as D takes them, [n, *shape] float32: uint8 images are decoded, other values unchanged.

    Args:
      bounded: whether G's output is, so that images slightly beyond the range of the data are wrong.

    Raises:
      UserError: wrong shape, range or dtype, or values that are not finite.
    """
    array = finite_array(x, "x")
    if array.shape[1:] != data_info.shape:
        hint = "reshape them"  # which would scramble images whose channels come first
        if array.shape == data_info.shape:
            hint = "give one example as x[None]"
        elif len(data_info.shape) == 3 and array.shape[1:] == (
            data_info.shape[2],
            *data_info.shape[:2],
        ):
            hint = "put channels last, x.transpose(0, 2, 3, 1)"
        raise UserError(f"this GAN takes examples of shape {data_info.shape}, not {array.shape[1:]}; {hint}.")
    if len(data_info.shape) != 3:
        scaling = data_info.scaling
        return jnp.asarray(array if scaling is None else standardized(array, np.asarray(scaling)), jnp.float32)
    if array.dtype == np.uint8:
        return decode(jnp.asarray(array))
    if array.dtype.kind in "biu":
        raise UserError(
            f"this GAN takes images as uint8 (0 to 255) or floating-point numbers, not {array.dtype}; convert "
            f"them, with .astype(np.uint8) if they are from 0 to 255."
        )
    images = array.astype(np.float32)
    if data_info.bounds:
        low, high = data_info.bounds
        slack = (1e-4 if bounded else UNBOUNDED_SLACK) * (high - low)
        if images.min() < low - slack or images.max() > high + slack:
            raise UserError(
                f"this GAN takes images as uint8 (0 to 255) or as numbers from {low:g} to {high:g}, the range of "
                f"the data, not from {images.min():g} to {images.max():g}; scale them."
            )
    return jnp.asarray(images)


def read_classes(y: Any, n: int, num_classes: int, names: Sequence[str]) -> np.ndarray:
    """A user's classes or class names, [n] or one for all: [n] int32.

    Raises:
      UserError: another shape or dtype, or an unknown class.
    """
    y = np.asarray(y)
    if y.dtype.kind == "U" and y.size:
        y = np.vectorize(lambda name: class_index(name, num_classes, names), otypes=[np.int32])(y)
    if y.dtype.kind not in "iu" or y.shape not in ((), (n,)):
        raise UserError(f"y is one class or {n} of them, whole numbers, not {y.tolist()!r:.60}.")
    if y.size and not (y.min() >= 0 and y.max() < num_classes):
        invalid = int(y.min()) if y.min() < 0 else int(y.max())
        raise UserError(f"there is no class {invalid}; classes go from 0 to {num_classes - 1}.")
    return np.broadcast_to(y, (n,)).astype(np.int32)


def class_index(name: str, num_classes: int, names: Sequence[str]) -> int:
    """The number of a class, by its name; raises UserError if there is none of this name."""
    if name in names:
        return list(names).index(name)
    hint = f"the closest of {len(names)} names is {nearest(name, names)!r}" if names else "classes have no names"
    raise UserError(f"there is no class {str(name)!r}; {hint}, and classes go from 0 to {num_classes - 1}.")


def read_condition(
    given: Any, shapes: dict[str, tuple[int, ...]], name: str, n: int, decode: Callable[[jax.Array], jax.Array]
) -> dict[str, np.ndarray]:
    """The parts of n conditions in a user's argument, [n, ...] float32; hidden entries are 0.

    Args:
      given: an array, or a dictionary of arrays by name.
      shapes: of each part of one condition.
      name: of the condition.
      decode: of uint8 images.

    Raises:
      UserError: none given, other parts, or another shape.
    """
    text = ", ".join(f"{part} {(n, *shape)}" for part, shape in shapes.items())
    if given is None:
        raise UserError(f"this GAN was trained with condition.name={name} and takes a condition: {text}.")
    arrays = dict(given) if isinstance(given, Mapping) else {next(iter(shapes)): given}
    if set(arrays) != set(shapes):
        raise UserError(f"a condition of condition.name={name} is {text}, not {', '.join(arrays) or 'empty'}.")
    found = {part: np.asarray(array) for part, array in arrays.items()}
    for part, array in found.items():
        if array.shape not in (shapes[part], (1, *shapes[part]), (n, *shapes[part])):
            raise UserError(f"a condition of condition.name={name} is {text}, not {part} {array.shape}; reshape it.")
        found[part] = np.broadcast_to(array, (n, *shapes[part]))
    if "mask" in found:
        mask = found["mask"] = found["mask"].astype(np.float32)
        if not np.isin(mask, (0, 1)).all():
            raise UserError("a mask holds 1 (or True) for observed and 0 for hidden entries, and nothing else.")
        found = {part: np.where(mask > 0, array, np.zeros_like(array)) for part, array in found.items()}
    images = {part: decode(jnp.asarray(array)) for part, array in found.items() if array.dtype == np.uint8}
    return {part: np.asarray(finite_array(images.get(part, array), part), np.float32) for part, array in found.items()}


def standardized_condition(leaves: dict[str, Any], scaling: Any) -> Condition:
    """The parts of a condition as the players take them, from the units of the data.

    Args:
      scaling: (mean, deviation) of a vector's entries; None if they are not standardized.
    """
    condition = Condition(**leaves)
    if condition.vector is not None and scaling is not None:
        mean, deviation = np.asarray(scaling, np.float32)
        condition = condition._replace(vector=(condition.vector - mean[None]) / deviation[None])
    return condition if condition.mask is None else masked(condition.content, condition.mask)
