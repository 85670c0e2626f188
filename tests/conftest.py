"""Strictness for every test: no silent type or rank promotion (pyproject.toml: warnings are errors)."""

import gc
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

# Many tests train the same tiny GAN: its program is compiled once, for the processes that tests start too. Set the
# variable to a folder of your own to keep the programs from one run of the tests to the next.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # a worker has the variables of the process that started it
    CACHE = tempfile.TemporaryDirectory(prefix="jaxgan-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE.name
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

import jax  # it reads them
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import install_import_hook

from tests.helpers import shapes

install_import_hook(shapes.CHECKED, "tests.helpers.shapes.check")

from jaxgan.game.batches import TrainingSet, local_indices, sample_noise  # noqa: E402  (after the hook)

MAPS = Path("/proc/self/maps")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and (markers := config.option.markexpr):
        terminalreporter.write_line(f"No test was selected by -m '{markers}': add -m '' to run slow tests too.")


@pytest.fixture(scope="module", autouse=True)
def _release_programs():
    """After a file, releases compiled programs if they take many of the 65,530 memory maps that a process may have."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def tiny_config():
    """A function: the configuration of a GAN that trains in a blink, with changes."""
    from jaxgan.config import default, update

    base = {
        "data.name": "digits",
        "prior.size": 8,
        "generator.hidden": (16,),
        "generator.activations": ("relu",),
        "discriminator.hidden": (8, 8),
        "train.batch_size": 8,
        "train.steps": 20,
        "log.every": 5,
        "sample.every": 0,
        "sample.rows": 2,
        "evaluate.samples": 64,
        "checkpoint.every": 10,
    }

    def make(without: tuple[str, ...] = (), **changes):
        """Keywords are fields, with '__' for a dot; `without` names fields of `base` that another family lacks."""
        fields = {key: value for key, value in base.items() if key not in without}
        return update(default(), fields | {key.replace("__", "."): value for key, value in changes.items()})

    return make


SHAPE = (4, 4, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (50, *SHAPE)).astype(np.uint8)
LABELS = np.arange(50, dtype=np.int32) % 5


class Game(NamedTuple):
    """A tiny game on 50 random images of 4x4 pixels in five classes."""

    gan: Any
    hparams: dict
    state: Any  # of step 0
    data: Any  # TrainingSet

    @property
    def frame(self):
        from jaxgan.game.batches import Frame

        return Frame(self.gan, self.hparams)

    def steps(self, n: int, state=None):
        """The state after n steps of `train_step`, and the metrics of the last one."""
        from jaxgan import algorithm1
        from tests.helpers.zoo_games import compiled

        one = compiled(lambda h, s, d: algorithm1.train_step(gan=self.gan, hparams=h, state=s, data=d))
        state, metrics = self.state if state is None else state, None
        for _ in range(n):
            state, metrics = one(self.hparams, state, self.data)
        return state, metrics

    def noise(self, seed: int = 0):

        indices = local_indices(self.gan.batch_size, None)
        return sample_noise(self.gan, self.hparams, jax.random.key(seed), indices)


@pytest.fixture(scope="session")
def game(tiny_config):
    """A function: the game of `tiny_config` with changes, at step 0."""
    from jaxgan.config import validate
    from jaxgan.config.hparams import traced
    from jaxgan.game.build import build
    from jaxgan.networks.layers import DataSpec
    from tests.helpers.zoo_games import compiled

    def make(without: tuple[str, ...] = (), **changes) -> Game:
        config = tiny_config(without, **changes)
        validate(config)
        classes = 5 if config.conditional == "label" else 0
        spec = DataSpec(SHAPE, classes, (0.0, 1.0), IMAGES.mean(axis=0) / 255)
        gan, hparams = build(config, spec, len(IMAGES), label_classes=5), traced(config)
        data = TrainingSet(jnp.asarray(IMAGES), jnp.asarray(LABELS) if classes else ())
        return Game(gan, hparams, compiled(gan.init)(hparams), data)

    return make


@pytest.fixture
def eagerly(monkeypatch):
    """Makes `train_step` run step by step on numbers, not on tracers: its loop over k is a loop of Python."""

    def scan(f, carry, xs):
        outputs = []
        for x in xs:
            carry, y = f(carry, x)
            outputs.append(y)
        return carry, jax.tree.map(lambda *y: jnp.stack(y), *outputs)

    monkeypatch.setattr(jax.lax, "scan", scan)
