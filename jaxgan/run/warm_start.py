"""A generator whose last layers begin as another generator (`generator.initialize_from`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.run import trained
from jaxgan.state import GanState


def source_of(config: ConfigDict) -> dict[str, Any] | None:
    """Which checkpoint a run that begins now begins with: {'workdir', 'step', 'sha256'}; None for none.

    Raises:
      UserError: no checkpoint there, or none that is intact.
    """
    source = config.generator.initialize_from
    if not source:
        return None
    found = trained.load(source)
    about = json.loads((Path(source) / "checkpoints" / str(found.step) / "about" / "metadata").read_text())
    return {"workdir": source, "step": found.step, "sha256": about["sha256"]}


def initialize(config: ConfigDict, state: GanState) -> GanState:
    """`state` with G's last layers from the newest checkpoint of `generator.initialize_from`, if that is set.

    All of G goes on learning, as in the 2014 code; momenta start from 0.

    Raises:
      UserError: no checkpoint there, or layers that are not like the last ones of this generator.
    """
    source = config.generator.initialize_from
    if not source:
        return state
    ours, theirs = state.generator.params, trained.load(source)
    theirs = theirs.state.averages[0] if theirs.averages else theirs.state.generator.params
    below = _hidden_layers(ours) - _hidden_layers(theirs)
    moved = {name: theirs[name] for name in theirs if not name.startswith("Dense_")}
    moved |= {f"Dense_{below + i}": theirs[f"Dense_{i}"] for i in range(_hidden_layers(theirs))}
    for name, layer in moved.items():
        have, need = (jax.tree.map(lambda x: x.shape, tree) for tree in (layer, ours.get(name)))
        if have != need:
            raise UserError(
                f"generator.initialize_from={source} has {have} for the layer that is {name} of this "
                f"generator, which needs {need}; make that generator's layers the last ones of this one's."
            )
    theta_g = {**ours, **moved}
    averages = tuple(jax.tree.map(jnp.copy, theta_g) for _ in state.averages)  # copies: the step donates both
    return state._replace(generator=state.generator._replace(params=theta_g), averages=averages)


def _hidden_layers(params: dict) -> int:
    return sum(name.startswith("Dense_") for name in params)
