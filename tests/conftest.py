"""Strictness for every test: no silent type or rank promotion (pyproject.toml: warnings are errors)."""

import jax
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
