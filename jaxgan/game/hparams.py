"""The values of a configuration that enter the training step as traced arrays.

Runs that differ only in these share one compiled program, and a population is a map over them. A field's declaration
includes whether it is traced (`jaxgan.fields`); `jaxgan.config.hparams` reads the values from a configuration.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

# A pytree: {config field: scalar array}, or [members] arrays for a population.
HParams = dict[str, Any]

PENALTY_WEIGHTS = "objective.penalties."


def section_hparams(hparams: HParams, path: str) -> dict[str, jax.Array]:
    """The traced fields of one section, by their names there: section_hparams(hparams, 'optimizer.generator')['b1']."""
    names = {key: key.removeprefix(f"{path}.") for key in hparams}
    return {name: hparams[key] for key, name in names.items() if name != key and "." not in name}


def bound(part: Any, hparams: HParams, path: str) -> Any:
    """A dataclass of the fields of the section `path`, with arrays in place of the traced values."""
    return dataclasses.replace(part, **section_hparams(hparams, path))
