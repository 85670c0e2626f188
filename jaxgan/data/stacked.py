"""Stacked MNIST and similar data: three random images of a data set are the channels of one example.

Ten classes make a thousand modes (Metz et al., arXiv:1611.02163, section 3.3.1; Srivastava et al.,
arXiv:1705.07761, section 4.2). Only the base images are stored: an example is given by the rows of its channels, a
function of a key and a counter, so that 60,000 images represent 60,000^3 examples without further memory.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data import order
from jaxgan.data.dataset import Dataset
from jaxgan.data.source import check_memory
from jaxgan.errors import UserError
from jaxgan.numerics import pinned

STACK = 3  # channels
HELD_OUT = 10_000  # number of validation examples, and of test examples, stacked from the same base split


def rows(key: jax.Array, counter: jax.Array, n: int, stack: int = STACK) -> jax.Array:
    """The rows of the base images that are the channels of the example at `counter`.

    Each channel visits the base images in its own order, a new permutation per epoch of n examples (`order.example`).
    Channels are independent. With stack=1 an example is a base image, in the order of `order.example` itself.

    Args:
      key: typed PRNG key of the data stream.
      counter: scalar uint32, examples drawn before this one.
      n: number of base images.
      stack: number of channels.

    Returns:
      [stack] uint32 below n.
    """
    if stack == 1:
        return order.example(key, counter, n)[None]
    channels = jnp.arange(stack, dtype=jnp.uint32)
    return jax.vmap(lambda channel: order.example(jax.random.fold_in(key, channel), counter, n))(channels)


def gather(data: jax.Array | np.ndarray, rows: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """The examples with the given rows.

    Args:
      data: [n, H, W, 1] base images; with a stack of 1, [n, ...] examples of any shape.
      rows: [m, stack] integers below n.

    Returns:
      [m, H, W, stack], or [m, ...] with a stack of 1; of the dtype of `data`.
    """
    if rows.shape[1] == 1:
        return data[rows[:, 0]]
    return data[rows][..., 0].transpose(0, 2, 3, 1)


def gather_labels(labels: jax.Array | np.ndarray, rows: jax.Array | np.ndarray, classes: int) -> jax.Array | np.ndarray:
    """The labels of the examples with the given rows: the digits of a label, in base b, are the channels' labels.

    Args:
      labels: [n] int32, 0 .. b - 1, of the base images.
      rows: [m, stack] integers below n.
      classes: number of classes of the *examples*, b^stack: `Dataset.classes`.

    Returns:
      [m] int32, 0 .. classes - 1; for ten base classes, the stack of a 2, a 1 and a 7 has label 217.
    """
    stack = rows.shape[1]
    base = round(classes ** (1 / stack))
    total = labels[rows[:, 0]]
    for channel in range(1, stack):
        total = total * np.int32(base) + labels[rows[:, channel]]
    return total


@partial(jax.jit, static_argnums=(1, 2))
def _first(key: jax.Array, count: int, n: int) -> jax.Array:
    """The rows of the first `count` examples: [count, STACK] uint32."""
    return jax.vmap(lambda counter: rows(key, counter, n))(jnp.arange(count, dtype=jnp.uint32))


@pinned()
def held_out(
    images: np.ndarray, labels: np.ndarray | None, classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """HELD_OUT fixed stacks of held-out base images.

    Args:
      images: [n, H, W, 1] uint8.
      labels: [n] int32, or None.
      classes: number of classes of the stacks.
      seed: seed of the order, different for validation and test.

    Returns:
      [HELD_OUT, H, W, 3] uint8 and their labels [HELD_OUT] int32 or None; no stacks if there are no images.

    Raises:
      UserError: more bytes than fit in memory.
    """
    n = len(images)
    count = HELD_OUT if n else 0
    check_memory(count * STACK * math.prod(images.shape[1:]), f"{count} stacks of {STACK} images")
    if not n:
        return np.empty((0, *images.shape[1:-1], STACK), images.dtype), labels
    key = jax.random.key(seed, impl="threefry2x32")
    selected = np.asarray(_first(key, count, n))
    stacks = np.ascontiguousarray(gather(images, selected))
    return stacks, None if labels is None else np.asarray(gather_labels(labels, selected, classes))


def stack(name: str, base: Dataset) -> Dataset:
    """Stacks a data set's images. Training and held-out stacks share no base image."""
    if base.train.dtype != np.uint8 or base.train.shape[-1] != 1:
        kind = f"images of {base.train.shape[-1]} channels" if len(base.shape) == 3 else "points"
        raise UserError(f"{name} takes images of 1 channel, but {base.name} holds {kind}; use a gray-scale data set.")
    classes = base.classes**STACK
    if classes > 2**31:
        raise UserError(f"{name} would have {base.classes}^{STACK} classes; stack a data set of at most 1290.")
    validation, validation_labels = held_out(base.validation, base.validation_labels, classes, seed=1)
    test, test_labels = held_out(base.test, base.test_labels, classes, seed=2)
    return base._replace(
        name=name,
        validation=validation,
        validation_labels=validation_labels,
        test=test,
        test_labels=test_labels,
        classes=classes,
        class_names=(),
        stack=STACK,
        train_condition=None,  # stacks have no conditions
    )
