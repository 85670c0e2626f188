"""The data order: every example once an epoch, another order every epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data.order import example, permuted


@pytest.mark.parametrize("n", [1, 2, 3, 10, 97, 1000, 4096, 50_000])
def test_permutation_is_a_bijection(n):
    i = jnp.arange(n, dtype=jnp.uint32)
    p = np.asarray(jax.vmap(lambda i: permuted(jax.random.key(3), i, n))(i))
    np.testing.assert_array_equal(np.sort(p), np.arange(n))


def test_every_example_is_visited_once_an_epoch_in_another_order():
    n = 100
    visit = jax.jit(jax.vmap(lambda c: example(jax.random.key(0), c, n)))
    epochs = np.asarray(visit(jnp.arange(3 * n, dtype=jnp.uint32))).reshape(3, n)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(n), (3, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_order_looks_random():
    """Over keys, position 0 lands uniformly, and neighbours are not sent to neighbours."""
    n, keys = 20, jax.random.split(jax.random.key(1), 4000)
    first = jax.vmap(lambda k: jax.vmap(lambda i: permuted(k, i, n))(jnp.arange(2, dtype=jnp.uint32)))(keys)
    counts = np.bincount(np.asarray(first[:, 0]), minlength=n)
    assert ((counts - 200) ** 2 / 200).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001
    gaps = np.bincount((np.asarray(first[:, 1]).astype(int) - np.asarray(first[:, 0]).astype(int)) % n, minlength=n)
    assert gaps[0] == 0
    assert ((gaps[1:] - 4000 / 19) ** 2 / (4000 / 19)).sum() < 42.3  # 18 degrees of freedom, p = 0.001
