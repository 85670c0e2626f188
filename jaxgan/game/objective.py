"""Builds the losses of both players that a configuration describes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import build_choice, declared
from jaxgan.game.gan import Objective
from jaxgan.game.hparams import HParams, bound
from jaxgan.game.inference import exchanged
from jaxgan.objectives.gradient_normalization import GradientNormalization
from jaxgan.objectives.latent_optimization import LatentOptimization
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.terms import TERMS, DTermInputs, Part, Term
from jaxgan.schedules import SCHEDULES


def build_objective(config: ConfigDict) -> Objective:
    """The losses of both players."""
    objective = config.objective
    stateful = stateful_terms(objective)
    schedule = build_choice(SCHEDULES, objective.penalty_schedule)

    def update_terms(hparams: HParams, inputs: DTermInputs) -> Any:
        stats = inputs.stats
        for name, term in stateful.items():
            fields = bound(term(**objective[name]), hparams, f"objective.{name}")
            stats = {**stats, name: fields.update_state(stats[name], inputs)}
        return stats

    d_terms, g_terms = weighted_terms(config, "D_PARTS"), weighted_terms(config, "G_PARTS")
    if not (objective.g_scale or g_terms):
        raise UserError(
            "objective.g_scale=0 leaves G without a loss; set objective.matching.weight=1, or objective.g_scale=1."
        )
    return Objective(
        loss=exchanged(LOSSES[objective.loss]) if config.encoder.joint else LOSSES[objective.loss],
        numbers={name: objective[name] for name in declared(LOSSES[objective.loss])},
        penalties=tuple((name, penalty) for name, penalty in PENALTIES.items() if objective.penalties[name]),
        penalty_every=objective.penalty_every,
        penalty_factor=lambda hparams, t: bound(schedule, hparams, "objective.penalty_schedule")(jnp.ones(()), t),
        d_terms=d_terms,
        g_terms=g_terms,
        update_terms=update_terms,
        top_k=objective.top_k < 1,
        features=any(part.features for _, part in active_parts(objective, "G_PARTS")),
        labelled=any(part.labelled for _, part in active_parts(objective, "D_PARTS")),
        optimize_z=_latent_optimization(config),
        normalization=_gradient_normalization(config),
    )


def _latent_optimization(config: ConfigDict) -> Callable[..., jax.Array] | None:
    """The step in z of both players; None without one."""
    section = LatentOptimization(**config.objective.latent_optimization)
    if not section.rate:
        return None
    return lambda hparams, *args: bound(section, hparams, "objective.latent_optimization")(*args)


def _gradient_normalization(config: ConfigDict) -> Callable[[HParams], GradientNormalization] | None:
    section = GradientNormalization(**config.objective.gradient_normalization)
    return partial(bound, section, path="objective.gradient_normalization") if section.target else None


def stateful_terms(objective: ConfigDict) -> dict[str, type[Any]]:
    """The active terms of D's loss that keep state, by name."""
    return {
        name: term
        for name, term in TERMS.items()
        if hasattr(term, "init_state") and any(objective[name][part.weight] for part in term.D_PARTS)
    }


def weighted_terms(config: ConfigDict, parts: str) -> tuple[tuple[str, Callable], ...]:
    """The active terms of a player's loss: (name, (hparams, inputs) -> weighted scalar)."""

    def weighted(name: str, term: type[Term], part: Part, hparams: HParams, inputs: Any) -> jax.Array:
        fields = bound(term(**config.objective[name]), hparams, f"objective.{name}")
        return getattr(fields, part.weight) * part.function(fields, inputs)

    return tuple(
        (part.name, partial(weighted, name, TERMS[name], part)) for name, part in active_parts(config.objective, parts)
    )


def active_parts(objective: ConfigDict, parts: str) -> list[tuple[str, Part]]:
    """The parts 'D_PARTS' or 'G_PARTS' of the terms that have a weight, with the names of these terms."""
    return [
        (name, part) for name, term in TERMS.items() for part in getattr(term, parts) if objective[name][part.weight]
    ]
