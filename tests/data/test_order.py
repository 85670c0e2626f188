"""The data order: every example once an epoch, another order every epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data import host_order, stacked
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


def test_order_passes_tests_of_randomness():
    """Over keys, position 0 lands uniformly, and neighbours are not sent to neighbours."""
    n, keys = 20, jax.random.split(jax.random.key(1), 4000)
    first = jax.vmap(lambda k: jax.vmap(lambda i: permuted(k, i, n))(jnp.arange(2, dtype=jnp.uint32)))(keys)
    counts = np.bincount(np.asarray(first[:, 0]), minlength=n)
    assert ((counts - 200) ** 2 / 200).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001
    gaps = np.bincount((np.asarray(first[:, 1]).astype(int) - np.asarray(first[:, 0]).astype(int)) % n, minlength=n)
    assert gaps[0] == 0
    assert ((gaps[1:] - 4000 / 19) ** 2 / (4000 / 19)).sum() < 42.3  # 18 degrees of freedom, p = 0.001


@pytest.mark.parametrize("n", [1, 2, 7, 1500, 45_000])
def test_the_hosts_order_is_that_of_the_devices_over_a_border_of_epochs(n):
    key = jax.random.fold_in(jax.random.key(2**32 - 5), 3)
    counters = np.arange(max(0, 2 * n - 300), 2 * n + 300, dtype=np.uint32)
    expected = jax.jit(jax.vmap(lambda c: example(key, c, n)))(counters)
    found = host_order.examples(np.asarray(jax.random.key_data(key)), counters, n)
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, expected)


def test_the_hosts_rows_of_stacks_are_those_of_the_devices():
    key, counters = jax.random.key(5), np.arange(150, 260, dtype=np.uint32)
    for stack in (1, 3):
        expected = jax.vmap(lambda c, stack=stack: stacked.rows(key, c, 200, stack))(counters)
        found = host_order.rows(np.asarray(jax.random.key_data(key)), counters, 200, stack)
        np.testing.assert_array_equal(found, expected)
