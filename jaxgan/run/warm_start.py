"""A generator whose last layers begin as another generator (`generator.initialize_from`)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.game.state import GanState
from jaxgan.run import trained

HIDDEN = ("Dense", "BatchNorm")  # parts of a hidden layer, which Flax numbers


def source_of(config: ConfigDict) -> dict[str, Any] | None:
    """Which checkpoint a run that begins now begins with: {'workdir', 'step', 'sha256'}; None for none.

    It is the newest one of `generator.initialize_from`. run.json keeps it: a run that is killed before its first
    checkpoint begins again with the same.

    Raises:
      UserError: no checkpoint there, or none that is intact.
    """
    source = config.generator.initialize_from
    if not source:
        return None
    found = trained.load(source)
    return {"workdir": source, "step": found.step, "sha256": found.sha256}


def initialize(config: ConfigDict, state: GanState, found: dict[str, Any] | None) -> GanState:
    """`state` with G's last layers from a checkpoint.

    All of G is trained further, as in the 2014 code; momenta start from 0.

    Args:
      found: what `source_of` returned when the run began; None leaves the state as it is.

    Raises:
      UserError: that checkpoint is gone, or its layers are not like the last ones of this generator.
    """
    if found is None:
        return state
    source = config.generator.initialize_from
    ours, theirs = state.generator.params, _generator(source, found)
    below = _hidden_layers(ours) - _hidden_layers(theirs)
    moved = {}
    for name, layer in theirs.items():
        kind, _, number = name.partition("_")
        moved[f"{kind}_{below + int(number)}" if kind in HIDDEN else name] = layer
    for name, layer in moved.items():
        have, need = (jax.tree.map(lambda x: x.shape, tree) for tree in (layer, ours.get(name)))
        if have != need:
            raise UserError(
                f"generator.initialize_from={source} has {have} for the layer that is {name} of this "
                f"generator, which needs {need}; make that generator's layers the last ones of this one's."
            )
    theta_g = {**ours, **moved}
    averages = tuple(jax.tree.map(jnp.copy, theta_g) for _ in state.averages)  # copies: the step donates both
    slow = (jax.tree.map(jnp.copy, theta_g), state.slow[1]) if state.slow else ()
    return state._replace(generator=state.generator._replace(params=theta_g), averages=averages, slow=slow)


def _generator(source: str, found: dict[str, Any]) -> dict:
    """theta_g of the checkpoint, or its first average."""
    try:
        gan = trained.load(source, found["step"])
        if gan.sha256 != found["sha256"]:
            raise UserError(f"{source} has another checkpoint of step {found['step']} now.")
    except UserError as error:
        raise UserError(
            f"this run began with step {found['step']} of generator.initialize_from={source}, which is gone: {error} "
            f"Bring it back, or start anew in another --workdir."
        ) from error
    return gan.state.averages[0] if gan.averages else gan.state.generator.params


def _hidden_layers(params: dict) -> int:
    return sum(name.startswith("Dense_") for name in params)
