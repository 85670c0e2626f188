"""The paper's networks: parameter counts by arithmetic, maxout and dropout by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import default
from jaxgan.gan import build
from jaxgan.hparams import traced
from jaxgan.networks.layers import dropout, maxout


def count(params) -> int:
    return sum(x.size for x in jax.tree.leaves(params))


def test_mnist_parameter_counts():
    config = default()
    gan = build(config, (28, 28, 1), 50_000)
    state = jax.eval_shape(gan.init, traced(config))
    assert count(state.generator.params) == 100 * 1200 + 1200 + 1200 * 1200 + 1200 + 1200 * 784 + 784
    assert count(state.discriminator.params) == 784 * 1200 + 1200 + 240 * 1200 + 1200 + 240 + 1


def test_initial_weights_fill_the_irange_and_biases_are_0():
    config = default()
    gan = build(config, (28, 28, 1), 50_000)
    state = gan.init(traced(config))
    for player, irange in (("generator", 0.05), ("discriminator", 0.005)):
        for layer in getattr(state, player).params.values():
            top = float(jnp.max(jnp.abs(layer["kernel"])))
            assert 0.97 * irange < top <= irange
            assert not np.any(layer["bias"])  # build() without the data's mean


def test_maxout_by_hand():
    x = jnp.array([[1.0, 5.0, 3.0, 2.0, 0.0, -4.0]])  # 3 pieces of 2 units: unit 0 has 1, 3, 0; unit 1 has 5, 2, -4
    np.testing.assert_array_equal(maxout(x, 3), [[3.0, 5.0]])


@pytest.mark.parametrize("keep", [0.8, 0.5])
def test_dropout_keeps_its_share_and_scales_it(keep):
    x = jnp.ones((200, 500))
    y = np.asarray(dropout(x, keep, jax.random.split(jax.random.key(0), 200), 0))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / keep)}
    assert (y > 0).mean() == pytest.approx(keep, abs=0.005)
    assert len(np.unique(y > 0, axis=0)) == 200  # a mask of its own for every example
    other = dropout(x, keep, jax.random.split(jax.random.key(0), 200), 1)
    assert ((y > 0) != (np.asarray(other) > 0)).mean() == pytest.approx(2 * keep * (1 - keep), abs=0.01)
