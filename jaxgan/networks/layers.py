"""What the families of networks share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.errors import UserError


class DataSpec(NamedTuple):
    """What a network has to know about the data."""

    shape: tuple[int, ...]  # of one example
    classes: int = 0  # that the players are told; 0 = none
    bounds: tuple[float, float] | None = None  # of the data's values, where they have any
    mean: np.ndarray | None = None  # [*shape] float64, of the training set; needed only to start a run
    asked: int = 0  # classes that D, which is not told them, is asked for (auxiliary classifier); 0 = none

    @property
    def outputs(self) -> int:
        """Of D's last layer: its logit, and one more for each class that it is asked for."""
        return 1 + self.asked


ACTIVATIONS = {
    "relu": nn.relu,
    "leaky_relu": lambda x: nn.leaky_relu(x, 0.2),
    "sigmoid": nn.sigmoid,
    "tanh": jnp.tanh,
    "linear": lambda x: x,
}

# What a G may end with, and the range that it draws in.
OUTPUTS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "linear": None}


def check_output(output: str, data: DataSpec | None) -> None:
    """Raises UserError where G's last activation cannot draw the data's values."""
    if output not in OUTPUTS:
        raise UserError(f"generator.output must be one of {', '.join(OUTPUTS)}, not {output!r}.")
    if data is not None and OUTPUTS[output] is not None and data.bounds != OUTPUTS[output]:
        low, high = OUTPUTS[output]
        have = "are not bounded" if data.bounds is None else f"are in [{data.bounds[0]:g}, {data.bounds[1]:g}]"
        fitting = [name for name, bounds in OUTPUTS.items() if bounds == data.bounds]
        raise UserError(
            f"generator.output={output} draws numbers in [{low:g}, {high:g}], but these data {have}; "
            f"set generator.output={fitting[0]}{' or data.low' if data.bounds else ''}."
        )


def check_images(what: str, data: DataSpec | None) -> None:
    """Raises UserError where the data are not images."""
    if data is not None and len(data.shape) != 3:
        raise UserError(f"{what} is for images, but the data are of shape {tuple(data.shape)}; take mlp.")


def check_one_of(what: str, value: str, choices: Iterable[str]) -> None:
    """Raises UserError where a field of a family is none of its choices."""
    if value not in choices:
        raise UserError(f"{what} must be one of {', '.join(choices)}, not {value!r}.")


def judged(outputs: jax.Array) -> jax.Array:
    """D's last layer [n, outputs] as D returns it: the logits [n] where there is no other output."""
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs


def halvings(side: int, times: int) -> list[int]:
    """A side of images and its halves, rounded up: halvings(28, 3) = [28, 14, 7, 4]."""
    sides = [side]
    for _ in range(times):
        sides.append(-(-sides[-1] // 2))
    return sides


def class_maps(x: jax.Array, y: jax.Array | None, data: DataSpec) -> jax.Array:
    """Images [n, H, W, C] with their classes as further channels of 0 and 1, where there are any (arXiv:1411.1784)."""
    maps = [jnp.broadcast_to(rows[:, None, None], (*x.shape[:3], data.classes)) for rows in one_hot(y, data)]
    return jnp.concatenate([x, *maps], axis=-1)


def minibatch_deviation(x: jax.Array, group: int) -> jax.Array:
    """Images [n, H, W, C] and one more channel: how much the examples of a group differ (arXiv:1710.10196, section 3).

    The standard deviation over `group` examples that follow each other, averaged over pixels and channels.

    Raises:
      UserError: examples that do not make whole groups.
    """
    n, height, width, _ = x.shape
    if n % group:
        raise UserError(
            f"groups of {group} for the minibatch deviation do not divide {n} examples; change one of them."
        )
    parts = x.reshape(n // group, group, *x.shape[1:])
    variance = jnp.var(parts, axis=1)
    deviation = jnp.mean(jnp.sqrt(variance + 1e-8), axis=(1, 2, 3))
    spread = jnp.broadcast_to(jnp.repeat(deviation, group)[:, None, None, None], (n, height, width, 1))
    return jnp.concatenate([x, spread], axis=-1)


def check_units(what: str, units: Any) -> None:
    """Raises UserError where a list of layer sizes holds something other than whole numbers above 0."""
    if what.endswith(("widths", "blocks")) and not len(units):
        raise UserError(f"{what} needs one number or more, such as (64,).")
    for n in units:
        if not (isinstance(n, int) and n > 0):
            raise UserError(f"{what} holds whole numbers above 0, not {n!r}.")


def check_keep(what: str, keep: float) -> None:
    """Raises UserError where a probability of dropout cannot be resolved."""
    if keep != 1 and not 1 <= round(min(max(keep, 0), 2) * 2**16) < 2**16:
        raise UserError(f"{what} is a probability, 1 or from 1e-5 to .99999, not {keep}.")


def one_hot(y: jax.Array | None, data: DataSpec) -> list[jax.Array]:
    """The classes as rows of 0 and 1 to concatenate: [[n, classes] float32], or [] where there are none."""
    return [] if y is None or not data.classes else [jax.nn.one_hot(y, data.classes, dtype=jnp.float32)]


def output_bias(mean: np.ndarray | None, output: str, size: int) -> np.ndarray:
    """The bias [size] that makes G's first samples equal the mean example.

    Means are clipped at 1e-7, as the 2014 code does: with a larger clip D sees the residue in
    pixels that are always black, wins outright, and G never learns.
    """
    if mean is None:
        return np.zeros(size, np.float32)
    mean = np.asarray(mean, np.float64).reshape(-1)
    if output == "sigmoid":
        mean = np.clip(mean, 1e-7, 1 - 1e-7)
        return (np.log(mean) - np.log1p(-mean)).astype(np.float32)
    if output == "tanh":  # the same clip, on the scale of [-1, 1]
        return np.arctanh(np.clip(mean, -1 + 2e-7, 1 - 2e-7)).astype(np.float32)
    return mean.astype(np.float32)


def uniform_init(irange: float) -> nn.initializers.Initializer:
    """Weights uniform in [-irange, irange] (pylearn2's `irange`)."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -irange, irange)

    return init


def sparse_init(nonzero: int) -> nn.initializers.Initializer:
    """Of each unit's incoming weights `nonzero` are normal(0, 1), the others 0 (pylearn2's `sparse_init`)."""

    def init(key: jax.Array, shape: tuple[int, int], dtype=jnp.float32) -> jax.Array:
        key_rows, key_weights = jax.random.split(key)
        rows = jnp.argsort(jax.random.uniform(key_rows, shape), axis=0)[:nonzero]
        weights = jax.random.normal(key_weights, rows.shape, dtype)
        return jnp.put_along_axis(jnp.zeros(shape, dtype), rows, weights, axis=0, inplace=False)

    return init


def maxout(x: jax.Array, pieces: int) -> jax.Array:
    """The largest of `pieces` linear units (arXiv:1302.4389).

    Unit u's pieces are the columns u, u + units, u + 2 units, ...: the maximum then runs over a
    major axis, which every backend vectorizes; it only renames the columns of the weights.

    Args:
      x: [..., pieces * units] float.

    Returns:
      [..., units] float.
    """
    return jnp.max(x.reshape(*x.shape[:-1], pieces, -1), axis=-2)


def dropout(x: jax.Array, keep: float, keys: jax.Array | None, layer: int) -> jax.Array:
    """Keeps each input with probability `keep` and scales the kept ones by 1 / keep (arXiv:1207.0580).

    Every example has a key of its own, so its mask does not depend on how a batch is split.

    Args:
      x: [n, ...] float.
      keep: probability in (0, 1], resolved to 1/65536.
      keys: [n] typed PRNG keys, or None for no dropout (evaluation).
      layer: tells the masks of one network's layers apart.

    Returns:
      [n, ...] float.
    """
    if keys is None or keep == 1:
        return x
    threshold = jnp.uint16(round(keep * 2**16))

    def mask(key: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(key, layer), x.shape[1:], jnp.uint16) < threshold

    return jnp.where(jax.vmap(mask)(keys), x / keep, 0.0)
