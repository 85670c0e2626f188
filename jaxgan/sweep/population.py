"""A population: independent GANs, its members, that one compiled program trains.

Members share shapes, k and data, and differ in the traced numbers (`hparams.py`), the seed among them.
Pure functions of one member, which `parallel.over_members` maps over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.algorithm1 import train_steps
from jaxgan.gan import Gan
from jaxgan.hparams import HParams, traced
from jaxgan.state import GanState, all_finite


class Member(NamedTuple):
    """One GAN of a population; in a population every array has the members as its first axis."""

    state: GanState
    alive: jax.Array  # bool; a member that has diverged stays as it last was when all was finite


def stacked(configs: Sequence[ConfigDict]) -> HParams:
    """The traced numbers of a population: {config field: [members]}."""
    members = [traced(config) for config in configs]
    return {key: np.stack([hparams[key] for hparams in members]) for key in members[0]}


def advance(
    gan: Gan, hparams: HParams, member: Member, data: jax.Array, n: jax.Array
) -> tuple[Member, dict[str, jax.Array]]:
    """`n` iterations of Algorithm 1 for a member that is alive.

    Where a metric, a parameter or an optimizer number ends up not finite, the member keeps the state it
    had before these `n` iterations, for good.

    Returns:
      The member, and the mean of each metric over the iterations (NaN for one that was not alive).
    """
    train = partial(train_steps, gan, hparams)

    def go(state: GanState) -> tuple[Member, dict[str, jax.Array]]:
        new, metrics = train(state, data, n)
        good = all_finite(new) & jnp.all(jnp.isfinite(jnp.stack(list(metrics.values()))))
        return Member(jax.tree.map(partial(jnp.where, good), new, state), good), metrics

    def rest(state: GanState) -> tuple[Member, dict[str, jax.Array]]:
        shapes = jax.eval_shape(train, state, data, n)[1]
        return Member(state, member.alive), jax.tree.map(lambda s: jnp.full(s.shape, jnp.nan, s.dtype), shapes)

    return jax.lax.cond(member.alive, go, rest, member.state)
