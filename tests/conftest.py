"""Strictness for every test: no silent type or rank promotion (pyproject.toml: warnings are errors)."""

import os
import tempfile

# Many tests train the same tiny GAN: its program is compiled once, for the processes that tests start too.
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has the variables of the process that started it
    CACHE = tempfile.TemporaryDirectory(prefix="jaxgan-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"

import jax  # it reads them
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


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
    return lambda **changes: update(default(), base | {key.replace("__", "."): v for key, v in changes.items()})
