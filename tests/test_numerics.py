"""A program's settings of JAX change no number of a run, of a trained GAN or of data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan.config import update
from jaxgan.data import mixture, stacked
from jaxgan.errors import UserError
from jaxgan.game.state import stream
from jaxgan.numerics import pinned
from jaxgan.run.writers import read_metrics
from jaxgan.sweep import devices
from jaxgan.train import train

OTHERS = {
    "jax_enable_x64": True,
    "jax_threefry_partitionable": False,
    "jax_default_prng_impl": "rbg",
    "jax_numpy_dtype_promotion": "standard",
}


@pytest.fixture
def set_jax():
    """A function: sets one of JAX's settings until the test ends."""
    before = {}

    def change(name, value):
        before.setdefault(name, getattr(jax.config, name))
        jax.config.update(name, value)

    yield change
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def others(set_jax):
    for name, value in OTHERS.items():
        set_jax(name, value)


def draws():
    key = stream(3, "user")
    return [jax.random.normal(key, (5,)), jax.random.bits(key, (5,)), jax.random.randint(key, (5,), 0, 9)]


def same(a, b):
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", ["jax_enable_x64", "jax_threefry_partitionable"])
def test_a_setting_changes_random_numbers_outside_of_the_block_alone(set_jax, name):
    expected = draws()
    set_jax(name, OTHERS[name])
    assert any(x.dtype != y.dtype or np.any(x != y) for x, y in zip(draws(), expected, strict=True))
    with pinned():
        same(draws(), expected)
    assert getattr(jax.config, name) == OTHERS[name]


@pytest.mark.slow
def test_a_trained_gan_and_a_resumed_run(tiny_config, tmp_path, set_jax):
    config = tiny_config(**{"evaluate.metrics": ()})
    assert train(config, tmp_path / "whole") == 0
    assert train(update(config, {"train.steps": 10}), tmp_path / "resumed") == 0

    def uses(workdir):
        gan = jaxgan.load(workdir)
        x = gan.sample(3, seed=1)
        return [gan.noise(3, seed=1), x, gan.generate(gan.noise(3, seed=1)), gan.discriminate(x)]

    expected = uses(tmp_path / "whole")
    assert {x.dtype for x in expected} == {np.dtype(np.float32)}
    for name, value in OTHERS.items():
        set_jax(name, value)
    same(uses(tmp_path / "whole"), expected)
    assert train(config, tmp_path / "resumed") == 0
    assert jaxgan.load(tmp_path / "resumed").sha256 == jaxgan.load(tmp_path / "whole").sha256
    lines = [read_metrics(tmp_path / name) for name in ("whole", "resumed")]
    assert [{**line, "images_per_second": 0} for line in lines[0]] == [
        {**line, "images_per_second": 0} for line in lines[1]
    ]


def test_sampled_data(set_jax, monkeypatch):
    monkeypatch.setattr(mixture, "TRAIN", 64)
    monkeypatch.setattr(stacked, "HELD_OUT", 8)
    images = np.random.default_rng(0).integers(0, 256, (50, 2, 2, 1)).astype(np.uint8)

    def drawn():
        return [*mixture.load("ring8")[1:4], *stacked.held_out(images, np.arange(50, dtype=np.int32) % 10, 1000, 1)]

    expected = drawn()
    for name, value in OTHERS.items():
        set_jax(name, value)
    same(drawn(), expected)


@pytest.mark.usefixtures("others")
def test_the_threads_of_a_sweep():
    devices._executors.cache_clear()
    assert [x.dtype for x in devices.map_host(lambda n: jnp.zeros(n), [1, 2])] == [jnp.float32] * 2


def test_an_offset_to_every_seed_is_refused(set_jax, tmp_path):
    set_jax("jax_random_seed_offset", 2)
    with pytest.raises(UserError, match="jax_random_seed_offset=2 changes every random number; set it to 0"):
        jaxgan.load(tmp_path)
