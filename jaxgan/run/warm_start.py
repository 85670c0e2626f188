"""Initializes G's last layers from another run's G (`generator.initialize_from`)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.game.sampling import theta_g_of
from jaxgan.game.state import GanState
from jaxgan.run import trained

HIDDEN_LAYER_KINDS = ("Dense", "BatchNorm")  # modules that Flax numbers per hidden layer


def source_checkpoint(config: ConfigDict) -> dict[str, Any] | None:
    """The checkpoint that a new run is initialized from: {'workdir', 'step', 'sha256'}; None for none.

    It is the newest one of `generator.initialize_from`. run.json records it, so that a run killed before its first
    checkpoint starts from the same one again.

    Raises:
      UserError: no checkpoint there, or none that is intact.
    """
    source = config.generator.initialize_from
    if not source:
        return None
    gan = trained.load(source)
    return {"workdir": source, "step": gan.step, "sha256": gan.sha256}


def initialize(config: ConfigDict, state: GanState, checkpoint: dict[str, Any] | None) -> GanState:
    """Replaces G's last layers in `state` by those of a checkpoint.

    All layers of G are trained, as in the 2014 code, unless G is frozen; momenta start from 0.

    Args:
      checkpoint: what `source_checkpoint` returned when the run began; None leaves the state unchanged.

    Raises:
      UserError: that checkpoint is gone, or its layers do not match the last ones of this generator.
    """
    if checkpoint is None:
        return state
    source = config.generator.initialize_from
    theta_g, loaded = state.generator.params, _generator(source, checkpoint)
    current = theta_g["decoder"] if config.encoder.name != "none" else theta_g
    offset = _hidden_layers(current) - _hidden_layers(loaded)
    renamed = {}
    for name, layer in loaded.items():
        kind, _, number = name.partition("_")
        renamed[f"{kind}_{offset + int(number)}" if kind in HIDDEN_LAYER_KINDS else name] = layer
    for name, layer in renamed.items():
        have, need = (jax.tree.map(lambda x: x.shape, tree) for tree in (layer, current.get(name)))
        if have != need:
            raise UserError(
                f"generator.initialize_from={source} has {have} for layer {name} of this generator, which needs "
                f"{need}; make that generator's layers the last ones of this one's."
            )
    if config.generator.frozen and (new := [name for name in current if name not in renamed]):
        raise UserError(
            f"generator.frozen=true keeps G unchanged from {source}, which has no {', '.join(new)}; give this "
            f"generator the same layers."
        )
    initialized = {**current, **renamed}
    theta_g = initialized if current is theta_g else {**theta_g, "decoder": initialized}
    averages = tuple(jax.tree.map(jnp.copy, theta_g) for _ in state.averages)  # copies: the step donates both
    slow = (jax.tree.map(jnp.copy, theta_g), state.slow[1]) if state.slow else ()
    return state._replace(generator=state.generator._replace(params=theta_g), averages=averages, slow=slow)


def _generator(source: str, checkpoint: dict[str, Any]) -> dict:
    """The first average of theta_g in the checkpoint, or else theta_g itself."""
    step = checkpoint["step"]
    try:
        gan = trained.load(source, step)
        if gan.sha256 != checkpoint["sha256"]:
            raise UserError(f"{source} has another checkpoint of step {step} now.")
    except UserError as error:
        raise UserError(
            f"this run began with step {step} of generator.initialize_from={source}, which is gone: {error} "
            f"Restore it, or start again in another --workdir."
        ) from error
    theta_g = theta_g_of(gan.state)
    return theta_g["decoder"] if gan.config.encoder.name != "none" else theta_g


def _hidden_layers(params: dict) -> int:
    return sum(name.startswith("Dense_") for name in params)
