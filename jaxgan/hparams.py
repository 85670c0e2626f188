"""The numbers of a configuration that enter the step as traced arrays.

Runs that differ only in these share one compiled program, and a population is a map over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan.config import flatten
from jaxgan.objectives.losses import generator_loss_index

# A pytree: {config field: scalar array}, or [members] arrays for a population.
HParams = dict[str, jax.Array]

TRACED: dict[str, Callable[[Any], np.generic]] = {
    "seed": np.uint32,
    "prior.scale": np.float32,
    "objective.loss": lambda name: np.int32(generator_loss_index(name)),
} | {
    f"optimizer.{player}.{field}": cast
    for player in ("generator", "discriminator")
    for field, cast in {
        "learning_rate": np.float32,
        "decay": lambda decay: np.float32(math.log(decay)),  # 1.000004 has two digits in float32
        "minimum_learning_rate": np.float32,
        "momentum": np.float32,
        "final_momentum": np.float32,
        "momentum_epochs": np.float32,
        "b1": np.float32,
        "b2": np.float32,
        "eps": np.float32,
    }.items()
}


def traced(config: ConfigDict) -> HParams:
    """The traced numbers of `config`, as scalar NumPy arrays (decay as its logarithm)."""
    flat = flatten(config)
    return {key: np.asarray(cast(flat[key])) for key, cast in TRACED.items()}


def static(config: ConfigDict) -> dict[str, Any]:
    """The fields that a compiled program depends on: all but the traced ones."""
    return {key: value for key, value in flatten(config).items() if key not in TRACED}
