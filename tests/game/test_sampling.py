"""Samples of p_g: the z of a sample and the parameters used for it are the same everywhere."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.game.build import build
from jaxgan.game.sampling import sample, sample_z, theta_g_of
from jaxgan.networks.layers import DataSpec


def test_a_sample_is_g_of_its_z_whatever_its_batch():
    """By a G that shows its z: sample i alone, among others, and in the stream of z."""
    config = update(default(), {"generator.output": "linear", "generator.ema.gamma": (1.0,), "prior.size": 3})
    gan = build(config, DataSpec((2,)), 100)._replace(G=lambda params, stats, z, condition: (z, stats))
    hparams, key = traced(config), jax.random.key(5)
    z = sample_z(gan, hparams, key, jnp.arange(6, dtype=jnp.uint32))
    assert z.shape == (6, 3) and len(np.unique(z)) == 18
    for numbers in ([4], [5, 0, 4]):
        drawn = sample(gan, hparams, {}, {}, key=key, numbers=jnp.asarray(numbers, jnp.uint32))
        np.testing.assert_array_equal(drawn, z[jnp.asarray(numbers)])


def test_samples_are_of_the_first_average_or_of_theta_g():
    config = update(default(), {"generator.output": "linear", "generator.ema.gamma": (1.0, 2.0)})
    for averages in (("first", "second"), ()):
        state = build(config, DataSpec((2,)), 100).init(traced(config))._replace(averages=averages)
        assert theta_g_of(state) is (averages[0] if averages else state.generator.params)
        assert theta_g_of(state, None) is state.generator.params
    assert theta_g_of(state._replace(averages=("first", "second")), 1) == "second"
