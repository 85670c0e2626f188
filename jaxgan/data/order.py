"""The order in which examples are visited, a function of a key and a counter: no state to store."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Key, UInt32

ROUNDS = 6  # of the Feistel network; part of every recorded run


def _hash(x: jax.Array) -> jax.Array:
    """A bijective hash of uint32 `x` (the finalizer of MurmurHash3)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def permuted(key: Key[jax.Array, ""], i: UInt32[jax.Array, ""], n: int) -> UInt32[jax.Array, ""]:
    """Element `i` of a pseudo-random permutation of range(n).

    A Feistel network on Z_a x Z_b with a*b just above n, iterated until the result is below n (cycle walking: Black and
    Rogaway 2002, "Ciphers with Arbitrary Finite Domains"), so that no array of n is stored.

    Args:
      key: determines the permutation.
      i: below n.
      n: number of examples.

    Returns:
      A number below n; a bijection in `i`.
    """
    b = math.isqrt(n - 1) + 1
    a = -(-n // b)
    round_keys = jax.random.bits(key, (ROUNDS,), jnp.uint32)

    def encrypt(y: jax.Array) -> jax.Array:
        left, right = y // b, y % b
        for r in range(0, ROUNDS, 2):
            left = (left + _hash(right ^ round_keys[r]) % a) % a
            right = (right + _hash(left ^ round_keys[r + 1]) % b) % b
        return left * jnp.uint32(b) + right

    return jax.lax.while_loop(lambda y: y >= n, encrypt, encrypt(i))


def example(key: Key[jax.Array, ""], counter: UInt32[jax.Array, ""], n: int) -> UInt32[jax.Array, ""]:
    """The index of the example visited at `counter`, from a new permutation of range(n) per epoch.

    Args:
      key: of the data stream.
      counter: examples drawn before this one.
      n: number of examples.
    """
    epoch, position = counter // n, counter % n
    return permuted(jax.random.fold_in(key, epoch), position, n)
