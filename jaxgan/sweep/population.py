"""A population: independent GANs (members) trained by one compiled program.

Members share shapes, k and data, and differ in traced hyperparameters (`hparams.py`), including the seed. The functions
here are pure functions of one member, which `devices.MemberMap` maps over the population.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.algorithm1 import accumulate_steps
from jaxgan.config.hparams import traced
from jaxgan.game.batches import TrainingSet
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, all_finite

Sums = dict[str, jax.Array]  # metric sums since the last line of metrics.jsonl


class Member(NamedTuple):
    """One GAN of a population.

    Divergence is checked only at log lines, so it does not depend on how the steps between them are dispatched.
    """

    state: GanState
    sums: Sums
    kept: GanState  # the state at the last log line at which everything was finite (name as in checkpoints)
    alive: jax.Array  # bool; a diverged member stays at `kept`


def stack_hparams(configs: Sequence[ConfigDict]) -> HParams:
    """The traced hyperparameters of a population: {config field: [members]}."""
    members = [traced(config) for config in configs]
    return {key: np.stack([hparams[key] for hparams in members]) for key in members[0]}


def init_member(state: GanState, sums: Sums) -> Member:
    """A member at step 0, or at the end of an earlier sweep.

    Args:
      sums: zeros.
    """
    return Member(state, sums, jax.tree.map(jnp.copy, state), jnp.ones((), bool))


def make_run_steps(gan: Gan, skip_dead: bool) -> Callable[..., tuple[GanState, Sums]]:
    """Returns (hparams, state, sums, alive, data, n) -> (state after n iterations, sums plus their metrics).

    Args:
      skip_dead: diverged members make no steps; otherwise their steps are computed and discarded by `end_log_interval`,
        which is free under vmap.
    """

    def run_steps(hparams: HParams, state: GanState, sums: Sums, alive: jax.Array, data: TrainingSet, n: jax.Array):
        n = jnp.where(alive, n, jnp.zeros_like(n)) if skip_dead else n
        return accumulate_steps(gan, hparams, state, data, sums=sums, n=n)

    return run_steps


def end_log_interval(
    state: GanState, sums: Sums, last_finite: GanState, alive: jax.Array
) -> tuple[GanState, Sums, GanState, jax.Array]:
    """The fields of `Member` after a log line; a non-finite member is rolled back to `last_finite` and frozen."""
    alive = alive & all_finite(state) & all_finite(sums)
    state = jax.tree.map(lambda new, old: jnp.where(alive, new, old), state, last_finite)
    return state, jax.tree.map(jnp.zeros_like, sums), jax.tree.map(jnp.copy, state), alive
