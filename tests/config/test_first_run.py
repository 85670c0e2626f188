"""The configuration of the first run learns from the first step on; the recipe of 2014 is unchanged."""

import importlib
import sys
from pathlib import Path

import pytest

from jaxgan.config import flatten, update
from jaxgan.run.writers import read_metrics
from jaxgan.train import train


def config_of(name: str):
    sys.path.insert(0, str(Path(__file__).parents[2]))
    return importlib.import_module(f"configs.{name}").get_config()


def test_the_first_run_learns_from_the_first_line_on(tmp_path):
    """V leaves -log 4 = -1.386 within 50 steps; by the recipe of 2014 it does not, although D has learned nothing."""
    last = {}
    for name in ("digits", "digits_2014"):
        changes = {"train.steps": 50, "log.every": 25, "sample.every": 0, "evaluate.metrics": (), "seed": 3}
        assert train(update(config_of(name), changes), tmp_path / name) == 0
        last[name] = read_metrics(tmp_path / name)[-1]["value"]
    assert last["digits"] > -1.33
    assert last["digits_2014"] == pytest.approx(-1.386, abs=0.01)


def test_the_recipe_of_2014_on_digits_is_what_it_was():
    """The paper's recipe for MNIST (tests/config/test_config.py) with smaller networks, on the default data."""
    own = {
        "generator.hidden": (256, 256), "discriminator.hidden": (128, 128), "discriminator.activation": "maxout",
        "discriminator.pieces": 4, "train.steps": 15_000, "train.update": "alternating", "data.name": "digits",
        "data.validation": 150, "sample.every": 3_000, "evaluate.every": 3_000, "checkpoint.every": 3_000,
    }  # fmt: skip
    assert flatten(config_of("digits_2014")) == flatten(update(config_of("mnist"), own))
