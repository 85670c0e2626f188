"""The data order of `order` in NumPy: bit-equal, for a host that reads examples ahead of the devices.

Threefry-2x32 is that of Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3") as JAX uses it for keys.
"""

from __future__ import annotations

import math

import numpy as np

from jaxgan.data.order import ROUNDS

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def _threefry(key: np.ndarray, x0: np.ndarray, x1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The block cipher on counters (x0, x1), uint32 arrays of one shape."""
    k0, k1 = (np.uint32(k) for k in key)
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(0x1BD11BDA))
    with np.errstate(over="ignore"):
        x0, x1 = x0 + keys[0], x1 + keys[1]
        for i in range(5):
            for rotation in _ROTATIONS[i % 2]:
                x0 = x0 + x1
                x1 = (x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))
                x1 = x0 ^ x1
            x0, x1 = x0 + keys[(i + 1) % 3], x1 + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x0, x1


def fold_in(key: np.ndarray, number: int) -> np.ndarray:
    """`jax.random.fold_in` of a threefry key, as its key data: [2] uint32."""
    return np.concatenate(_threefry(key, np.zeros(1, np.uint32), np.array([number], np.uint32)))


def _bits(key: np.ndarray, n: int) -> np.ndarray:
    """`jax.random.bits(key, (n,), uint32)` with jax_threefry_partitionable, JAX's default."""
    x0, x1 = _threefry(key, np.zeros(n, np.uint32), np.arange(n, dtype=np.uint32))
    return x0 ^ x1


def _hash(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def permuted(key: np.ndarray, i: np.ndarray, n: int) -> np.ndarray:
    """`order.permuted` of each of `i`, [m] uint32 below n."""
    side = math.isqrt(n - 1) + 1
    a, b = np.uint32(-(-n // side)), np.uint32(side)
    round_keys = _bits(key, ROUNDS)

    def encrypt(y: np.ndarray) -> np.ndarray:
        left, right = y // b, y % b
        for r in range(0, ROUNDS, 2):
            left = (left + _hash(right ^ round_keys[r]) % a) % a
            right = (right + _hash(left ^ round_keys[r + 1]) % b) % b
        return left * b + right

    with np.errstate(over="ignore"):
        y = encrypt(i)
        while len(outside := np.flatnonzero(y >= n)):
            y[outside] = encrypt(y[outside])
    return y


def examples(key: np.ndarray, counters: np.ndarray, n: int) -> np.ndarray:
    """`order.example` of many counters.

    Args:
      key: [2] uint32, the data of a threefry key (`jax.random.key_data`).
      counters: [m] uint32.
      n: number of examples.

    Returns:
      [m] uint32 below n.
    """
    epochs, positions = np.divmod(counters, np.uint32(n))
    rows = np.empty(len(counters), np.uint32)
    for epoch in np.unique(epochs):
        these = epochs == epoch
        rows[these] = permuted(fold_in(key, int(epoch)), positions[these], n)
    return rows


def rows(key: np.ndarray, counters: np.ndarray, n: int, stack: int) -> np.ndarray:
    """`stacked.rows` of many counters: [m, stack] uint32 below n."""
    if stack == 1:
        return examples(key, counters, n)[:, None]
    return np.stack([examples(fold_in(key, channel), counters, n) for channel in range(stack)], axis=1)
