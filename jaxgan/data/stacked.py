"""Stacked MNIST and its like: three random images of a data set are the channels of one example.

Ten classes make a thousand modes (Metz et al., arXiv:1611.02163, section 3.3.1; Srivastava et al.,
arXiv:1705.07761, section 4.2). The base images stay as they are: an example is the rows of its channels, a function of
a key and a counter, so 60,000 images stand for 60,000^3 examples and take no more memory.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data import order
from jaxgan.data.images import check_bytes
from jaxgan.numerics import pinned

STACK = 3  # channels
HELD_OUT = 10_000  # validation examples, and as many test examples, drawn from the base sets of these names


def rows(key: jax.Array, counter: jax.Array, n: int, stack: int = STACK) -> jax.Array:
    """Which base images are the channels of the example at `counter`.

    Each channel visits the base images in an order of its own: all of them once in n examples, in another order the
    next time (`order.example`). Channels are independent. With stack=1 an example is a base image, in the order of
    `order.example` itself.

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
    """The labels of the examples with the given rows: the channels' labels as the digits of one number.

    Args:
      labels: [n] int32, 0 .. b - 1, of the base images.
      rows: [m, stack] integers below n.
      classes: number of classes of the *examples*, b^stack: `Dataset.classes`.

    Returns:
      [m] int32, 0 .. classes - 1; of the stack of a 2, a 1 and a 7 among ten classes 217.
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
    """HELD_OUT stacks of base images that are not trained on, the same every time.

    Args:
      images: [n, H, W, 1] uint8.
      labels: [n] int32, or None.
      classes: number of classes of the stacks.
      seed: of the order; one for each set of stacks.

    Returns:
      [HELD_OUT, H, W, 3] uint8 and their labels [HELD_OUT] int32 or None; no stacks of no images.

    Raises:
      UserError: more bytes than fit in memory.
    """
    n = len(images)
    count = HELD_OUT if n else 0
    check_bytes(count * STACK * math.prod(images.shape[1:]), f"{count} stacks of {STACK} images")
    if not n:
        return np.empty((0, *images.shape[1:-1], STACK), images.dtype), labels
    key = jax.random.key(seed, impl="threefry2x32")
    drawn = np.asarray(_first(key, count, n))
    stacks = np.ascontiguousarray(gather(images, drawn))
    return stacks, None if labels is None else np.asarray(gather_labels(labels, drawn, classes))
