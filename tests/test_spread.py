"""Pieces of work on several devices: in order, on each of them, and with the numbers of one.

Virtual CPU devices need their flag before JAX starts, so they have a process of their own.
"""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.spread import round_robin

pytestmark = pytest.mark.slow

FLAGS = "--xla_force_host_platform_device_count=3 --xla_backend_optimization_level=0"
PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from jaxgan import spread
from jaxgan.config import default, update
from jaxgan.evaluation import samples
from jaxgan.features.classifier import Network, forward
from jaxgan.game.build import build
from jaxgan.config.hparams import traced
from jaxgan.networks.layers import DataSpec
from jaxgan.parallel import replicate
from jaxgan.conditions import Condition
from jaxgan.game.state import stream

devices = jax.local_devices()
assert len(devices) == 3
used = []
compiled = jax.jit(lambda a, x: a * jnp.sin(x))

def function(a, x):
    used.append(next(iter(x.devices())))
    return compiled(a, x)

found = list(spread.round_robin(function, jnp.float32(2), [(np.full(4, i, np.float32),) for i in range(7)]))
np.testing.assert_allclose(found, np.tile(2 * np.sin(np.arange(7.0))[:, None], (1, 4)), rtol=1e-6)
assert used == [devices[i % 3] for i in range(7)]

samples.SAMPLE_BATCH = 30
config = update(default(), {"generator.hidden": (32,), "generator.activations": ("relu",), "conditional": "label"})
gan = build(config, DataSpec((8, 8, 1), 5, (0.0, 1.0), np.full((8, 8, 1), 0.5)), 100, label_classes=5)
hparams = replicate(traced(config))
state = replicate(jax.jit(gan.init)(hparams))
params = Network(5).init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
numbers = []
for some in (devices, devices[:1]):
    spread.jax.local_devices = lambda: some
    condition = Condition(label=np.arange(130) % 5)
    images = samples.make_sampler(gan)(hparams, state, stream(0, "user"), 130, condition=condition)
    assert images.shape == (130, 8, 8, 1)
    features = forward(params, np.concatenate([images] * 5), 5)
    assert features[0].shape == (650, 128) and features[1].shape == (650, 5)
    numbers.append((images, *features))
for a, b in zip(*numbers):
    np.testing.assert_array_equal(a, b)
"""


def test_numbers_do_not_depend_on_the_devices():
    environment = os.environ | {"XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


def test_no_pieces_are_no_results():
    assert list(round_robin(jax.jit(lambda a, x: a + x), jnp.ones(2), [])) == []


def test_results_are_in_the_order_of_the_pieces():
    found = round_robin(jax.jit(lambda a, x: a * x), jnp.float32(3), [(np.float32(i),) for i in range(5)])
    np.testing.assert_array_equal(list(found), [0, 3, 6, 9, 12])
