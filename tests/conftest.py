"""Strictness for every test: no silent type or rank promotion (pyproject.toml: warnings are errors)."""

import tempfile

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Many tests train the same tiny GAN: compile its program once.
CACHE = tempfile.TemporaryDirectory(prefix="jaxgan-tests-")
jax.config.update("jax_compilation_cache_dir", CACHE.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


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
        "discriminator.pieces": 2,
        "train.batch_size": 8,
        "train.steps": 20,
        "log.every": 5,
        "sample.every": 0,
        "sample.rows": 2,
        "evaluate.samples": 64,
        "checkpoint.every": 10,
    }
    return lambda **changes: update(default(), base | {key.replace("__", "."): v for key, v in changes.items()})
