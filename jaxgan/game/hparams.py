"""The numbers of a configuration that enter the step as traced arrays.

Runs that differ only in these share one compiled program, and a population is a map over them: the seed, and every
number of the prior, the condition, the objective, the optimizers and the augmentation. Names, sizes and counts are
static.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan.config import SECTIONS, flatten, get
from jaxgan.objectives.terms import TERMS

# A pytree: {config field: scalar array}, or [members] arrays for a population.
HParams = dict[str, jax.Array]

_TRACED_SECTIONS = ("prior.", "condition.", "objective.", "optimizer.", "augment.")
PENALTY_WEIGHTS = "objective.penalties."
_STATIC = tuple(
    f"optimizer.{player}.{name}" for player in ("generator", "discriminator") for name in ("max_column_norm", "clip")
)


def is_traced(key: str, value: Any) -> bool:
    """Whether the field enters the step as an array."""
    return key == "seed" or (isinstance(value, float) and key.startswith(_TRACED_SECTIONS) and key not in _STATIC)


def traced(config: ConfigDict) -> HParams:
    """The traced numbers of `config`, as scalar NumPy arrays (some in a form that float32 can resolve)."""
    flat = flatten(config)
    numbers = {key: np.float32(value) for key, value in flat.items() if is_traced(key, value)}
    for path, section in SECTIONS.items():
        choice = section.choices[get(config, path)[section.key]]
        for name, form in getattr(choice, "TRACED_AS", {}).items():
            numbers[f"{path}.{name}"] = np.float32(form(flat[f"{path}.{name}"]))
    return {key: np.asarray(value) for key, value in numbers.items()} | {"seed": np.asarray(config.seed, np.uint32)}


def static(config: ConfigDict) -> dict[str, Any]:
    """What a compiled program depends on: all fields but the traced ones, and which terms of the losses are on."""
    flat = flatten(config)
    fixed = {key: value for key, value in flat.items() if not is_traced(key, value)}
    parts = ((name, part) for name, term in TERMS.items() for part in term.D_PARTS + term.G_PARTS)
    weights = (PENALTY_WEIGHTS, *(f"objective.{name}.{part.weight}" for name, part in parts))
    whole = {"objective.top_k": flat["objective.top_k"] < 1}
    return fixed | whole | {key: value > 0 for key, value in flat.items() if key.startswith(weights)}


def section_hparams(hparams: HParams, path: str) -> dict[str, jax.Array]:
    """The traced fields of one section, by their names there: section_hparams(hparams, 'optimizer.generator')['b1']."""
    names = {key: key.removeprefix(f"{path}.") for key in hparams}
    return {name: hparams[key] for key, name in names.items() if name != key and "." not in name}
