"""A population: independent GANs, its members, that one compiled program trains.

Members share shapes, k and data, and differ in the traced numbers (`hparams.py`), the seed among them. Pure functions
of one member, which `devices.map_members` maps over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.algorithm1 import accumulate_steps
from jaxgan.game.batches import TrainingSet
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams, traced
from jaxgan.game.state import GanState, all_finite

Sums = dict[str, jax.Array]  # of the metrics of the steps since the last line of metrics.jsonl


class Member(NamedTuple):
    """One GAN of a population.

    Whether a member is still finite is asked at lines of metrics.jsonl alone, so it does not depend on where the steps
    between them are cut.
    """

    state: GanState
    sums: Sums
    kept: GanState  # the state at the last line at which all was finite
    alive: jax.Array  # bool; a member that has diverged stays as it was at that line


def stacked(configs: Sequence[ConfigDict]) -> HParams:
    """The traced numbers of a population: {config field: [members]}."""
    members = [traced(config) for config in configs]
    return {key: np.stack([hparams[key] for hparams in members]) for key in members[0]}


def begin(state: GanState, sums: Sums) -> Member:
    """A member at its first step, or at the step that an earlier sweep ended at.

    Args:
      sums: zeros.
    """
    return Member(state, sums, jax.tree.map(jnp.copy, state), jnp.ones((), bool))


def make_advance(gan: Gan, skip: bool) -> Callable[..., tuple[GanState, Sums]]:
    """(hparams, state, sums, alive, data, n) -> the state after `n` iterations, and the sums with their metrics.

    Args:
      skip: a member that is not alive makes no step; otherwise its steps are computed and discarded by `close_line`,
        which is free where members run side by side.
    """

    def advance(hparams: HParams, state: GanState, sums: Sums, alive: jax.Array, data: TrainingSet, n: jax.Array):
        n = jnp.where(alive, n, jnp.zeros_like(n)) if skip else n
        return accumulate_steps(gan, hparams, state, data, sums=sums, n=n)

    return advance


def close_line(
    state: GanState, sums: Sums, kept: GanState, alive: jax.Array
) -> tuple[GanState, Sums, GanState, jax.Array]:
    """What a member goes on from after a line: all of `Member`.

    Where a metric or a number of the state is not finite, the member goes back to `kept` for good.
    """
    alive = alive & all_finite(state) & all_finite(sums)
    state = jax.tree.map(lambda new, old: jnp.where(alive, new, old), state, kept)
    return state, jax.tree.map(jnp.zeros_like, sums), jax.tree.map(jnp.copy, state), alive
