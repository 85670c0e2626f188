"""Layers, initializers and checks shared by the network families."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.errors import UserError


class DataSpec(NamedTuple):
    """Static data properties the networks need."""

    shape: tuple[int, ...]  # of one example
    classes: int = 0  # that the players are conditioned on; 0 = unconditional
    bounds: tuple[float, float] | None = None  # of the data's values; None = unbounded
    mean: np.ndarray | None = None  # [*shape] float64, of the training set; needed only to start a run
    paired: tuple[int, ...] = ()  # shape of the condition stored with each example; () = none
    given: tuple[tuple[int, ...], ...] = ()  # shapes of the condition's leaves, except its label, concatenated to z
    num_aux_classes: int = 0  # that D predicts (D is then unconditional); 0 = no classifier
    num_latents: int = 0  # further outputs, from which z is inferred: of D for InfoGAN's code, or of an encoder
    logsumexp: bool = False  # the adversarial logit is that of the class logits, and has no output of its own

    @property
    def outputs(self) -> int:
        """Outputs of D's last layer: the adversarial logit if it has its own, one per class predicted, and latents."""
        return (not self.logsumexp) + self.num_aux_classes + self.num_latents


class DOutput(NamedTuple):
    """The output of D."""

    logits: jax.Array  # [n] float32, of examples
    classes: jax.Array | None = None  # [n, K] logits of the classes, if D predicts them
    features: jax.Array | None = None  # [n, d] output of the last hidden layer, if requested
    latents: jax.Array | None = None  # [n, k] from which z is inferred, if D has such outputs
    patches: jax.Array | None = None  # [n, P] logits of the patches of an image, of which `logits` are the means

    @property
    def judged(self) -> jax.Array:
        """The logits that the losses are functions of: of patches if there are any, else of examples."""
        return self.logits if self.patches is None else self.patches


ACTIVATIONS = {
    "relu": nn.relu,
    "leaky_relu": lambda x: nn.leaky_relu(x, 0.2),
    "sigmoid": nn.sigmoid,
    "tanh": jnp.tanh,
    "linear": lambda x: x,
}

# G's output activations and their ranges.
OUTPUTS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "linear": None}


def check_output(output: str, data: DataSpec | None) -> None:
    """Raises UserError if the range of G's output activation is not that of the data."""
    if output not in OUTPUTS:
        raise UserError(f"generator.output must be one of {', '.join(OUTPUTS)}, not {output!r}.")
    bounds = OUTPUTS[output]
    if data is not None and bounds is not None and data.bounds != bounds:
        low, high = bounds
        have = "are not bounded" if data.bounds is None else f"are in [{data.bounds[0]:g}, {data.bounds[1]:g}]"
        fitting = [name for name, bounds in OUTPUTS.items() if bounds == data.bounds]
        raise UserError(
            f"generator.output={output} has values in [{low:g}, {high:g}], but these data {have}; "
            f"set generator.output={fitting[0]}{' or data.low' if data.bounds else ''}."
        )


def check_images(what: str, data: DataSpec | None) -> None:
    """Raises UserError if the data are not images."""
    if data is not None and len(data.shape) != 3:
        raise UserError(f"{what} is for images, but the data are of shape {tuple(data.shape)}; use mlp.")


def check_one_of(what: str, value: str, choices: Iterable[str]) -> None:
    """Raises UserError if the value of a field is not one of its choices."""
    if value not in choices:
        raise UserError(f"{what} must be one of {', '.join(choices)}, not {value!r}.")


def d_output(outputs: jax.Array, hidden: jax.Array | None, data: DataSpec) -> DOutput:
    """The output of D from that of its last layer.

    Args:
      outputs: [n, data.outputs], the adversarial logit first if it has an output of its own.
      hidden: the input of that layer, [n, d], if features are requested.
    """
    first = 0 if data.logsumexp else 1
    last = first + data.num_aux_classes
    classes = outputs[:, first:last] if data.num_aux_classes else None
    logits = jax.nn.logsumexp(classes, axis=1) if data.logsumexp else outputs[:, 0]
    return DOutput(logits, classes, hidden, outputs[:, last:] if data.num_latents else None)


def downsampled_sizes(side: int, times: int) -> list[int]:
    """Image sizes after 0 .. `times` downsamplings by 2, rounded up: downsampled_sizes(28, 3) = [28, 14, 7, 4]."""
    sides = [side]
    for _ in range(times):
        sides.append(-(-sides[-1] // 2))
    return sides


def append_label_channels(x: jax.Array, y: jax.Array | None, data: DataSpec) -> jax.Array:
    """Appends one-hot label maps to images [n, H, W, C] as channels, if the run is conditional (arXiv:1411.1784)."""
    maps = [jnp.broadcast_to(rows[:, None, None], (*x.shape[:3], data.classes)) for rows in one_hot(y, data)]
    return jnp.concatenate([x, *maps], axis=-1)


def on_grid(leaf: jax.Array, grid: tuple[int, ...]) -> jax.Array:
    """Images [n, h, w, C] by the nearest pixel, or vectors [n, C] spread, on a grid: [n, *grid, C]."""
    if leaf.ndim == 2:
        return jnp.broadcast_to(leaf[:, None, None], (leaf.shape[0], *grid, leaf.shape[1]))
    rows, columns = (jnp.arange(new) * old // new for new, old in zip(grid, leaf.shape[1:3], strict=True))
    return leaf[:, rows][:, :, columns]


def minibatch_deviation(x: jax.Array, group: int) -> jax.Array:
    """Appends ProGAN's minibatch standard deviation to images [n, H, W, C] as a channel (arXiv:1710.10196, section 3).

    The standard deviation over each group of `group` consecutive examples, averaged over pixels and channels.

    Raises:
      UserError: n is not a multiple of `group`.
    """
    n, height, width, _ = x.shape
    if n % group:
        raise UserError(
            f"{n} examples cannot be divided into groups of {group} (minibatch standard deviation); change one of them."
        )
    parts = x.reshape(n // group, group, *x.shape[1:])
    variance = jnp.var(parts, axis=1)
    deviation = jnp.mean(jnp.sqrt(variance + 1e-8), axis=(1, 2, 3))
    spread = jnp.broadcast_to(jnp.repeat(deviation, group)[:, None, None, None], (n, height, width, 1))
    return jnp.concatenate([x, spread], axis=-1)


def check_units(what: str, units: Any) -> None:
    """Raises UserError if a list of layer sizes contains anything but positive integers."""
    if what.endswith(("widths", "blocks")) and not len(units):
        raise UserError(f"{what} needs one number or more, such as (64,).")
    for n in units:
        if not (isinstance(n, int) and n > 0):
            raise UserError(f"{what} holds whole numbers above 0, not {n!r}.")


def check_keep_prob(what: str, keep: float) -> None:
    """Raises UserError if a keep probability is out of range or too close to 0 or 1 for `dropout` to resolve."""
    if keep != 1 and not 1 <= round(min(max(keep, 0), 2) * 2**16) < 2**16:
        raise UserError(f"{what} is a probability, 1 or from 1e-5 to .99999, not {keep}.")


def one_hot(y: jax.Array | None, data: DataSpec) -> list[jax.Array]:
    """One-hot labels to concatenate: [[n, classes] float32], or [] if the run is unconditional."""
    return [] if y is None or not data.classes else [jax.nn.one_hot(y, data.classes, dtype=jnp.float32)]


def output_bias(mean: np.ndarray | None, output: str, size: int) -> np.ndarray:
    """The bias [size] that makes G's first samples equal the mean example.

    Means are clipped at 1e-7, as in the 2014 code: with a larger value, D detects the residue in pixels that are always
    black and wins, and G never learns.
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
    """Initializes weights uniformly in [-irange, irange] (pylearn2's `irange`)."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -irange, irange)

    return init


def sparse_init(nonzero: int) -> nn.initializers.Initializer:
    """Initializes `nonzero` of each unit's input weights from N(0, 1), the others to 0 (pylearn2's `sparse_init`)."""

    def init(key: jax.Array, shape: tuple[int, int], dtype=jnp.float32) -> jax.Array:
        key_rows, key_weights = jax.random.split(key)
        rows = jnp.argsort(jax.random.uniform(key_rows, shape), axis=0)[:nonzero]
        weights = jax.random.normal(key_weights, rows.shape, dtype)
        return jnp.put_along_axis(jnp.zeros(shape, dtype), rows, weights, axis=0, inplace=False)

    return init


def maxout(x: jax.Array, pieces: int) -> jax.Array:
    """The maximum of `pieces` linear units (arXiv:1302.4389).

    The pieces of unit u are the columns u, u + units, u + 2 units, ...: the maximum is then over a major axis, which
    every backend vectorizes. This only permutes the columns of the weights.

    Args:
      x: [..., pieces * units] float.

    Returns:
      [..., units] float.
    """
    return jnp.max(x.reshape(*x.shape[:-1], pieces, -1), axis=-2)


def gaussian_noise(x: jax.Array, deviation: float, keys: jax.Array | None, layer: int) -> jax.Array:
    """x [n, ...] plus noise of a standard deviation; keys and layer as in `dropout`, whose masks are independent."""
    if keys is None or not deviation:
        return x

    def noise(key: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, layer), 1), x.shape[1:], x.dtype)

    return x + deviation * jax.vmap(noise)(keys)


def dropout(x: jax.Array, keep: float, keys: jax.Array | None, layer: int) -> jax.Array:
    """Keeps each input with probability `keep` and scales the kept ones by 1 / keep (arXiv:1207.0580).

    Each example has its own key, so its mask does not depend on how a batch is split.

    Args:
      x: [n, ...] float.
      keep: probability in (0, 1], resolved to 1/65536.
      keys: [n] typed PRNG keys, or None for no dropout (evaluation).
      layer: index folded into the keys, so that the layers of a network have different masks.

    Returns:
      [n, ...] float.
    """
    if keys is None or keep == 1:
        return x
    threshold = jnp.uint16(round(keep * 2**16))

    def mask(key: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(key, layer), x.shape[1:], jnp.uint16) < threshold

    return jnp.where(jax.vmap(mask)(keys), x / keep, 0.0)
