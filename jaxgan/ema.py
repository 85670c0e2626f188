"""Exponential and power-function EMAs of theta_g, whose samples are better than those of theta_g itself.

An average is a rule for the EMA decay at each update. `generator.ema` lists those that a run tracks;
`gan.sample(..., ema=NAME)` uses any of them. Other power-function averages can be reconstructed after training from
snapshots at several steps (`reconstruct`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import at_least
from jaxgan.schedules import interpolate


@dataclass(frozen=True)
class EmaSection:
    """EMAs of theta_g, the first of which is used for samples and scores."""

    gamma: Sequence[float] = ()  # power-function averages (arXiv:2312.02696): theta_g after step t weighs ~ t^gamma
    half_life: Sequence[float] = ()  # exponential averages: half-lives in images
    # r: half-lives are at most r times the images seen so far; 0 = no limit
    ramp: Annotated[float, at_least(0)] = 0.0
    # images over which half-lives rise from 0 along half a cosine; 0 = no warmup
    rise: Annotated[float, at_least(0)] = 0.0

    def check(self) -> None:
        for name in ("gamma", "half_life"):
            key, numbers = f"generator.ema.{name}", tuple(getattr(self, name))
            if len(set(numbers)) < len(numbers):
                raise UserError(f"{key}={numbers} names an average twice.")
            for number in numbers:
                if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
                    raise UserError(f"{key} holds numbers of 0 or more, such as (1.0,), not {number!r}.")


class Average(NamedTuple):
    name: str  # such as 'gamma=1' or 'half_life=10000'
    kind: str  # 'gamma' or 'half_life'
    number: float

    @property
    def description(self) -> str:
        if self.kind == "gamma":
            return f"power-function EMA of G, weights ~ step^{self.number:g}"
        return f"EMA of G with a half-life of {self.number:,.0f} images"


class Averages(NamedTuple):
    """The averages of theta_g that a run tracks."""

    rules: tuple[Average, ...]  # in the order in which the state holds them
    rampup: float  # a half-life is at most this times the images so far; 0 = no limit
    warmup: float  # images over which half-lives rise from 0; 0 = none

    def update(
        self, old: tuple[optax.Params, ...], theta_g: optax.Params, step: jax.Array, *, m: int
    ) -> tuple[optax.Params, ...]:
        """The averages after update number `step` of G, counted from 1, each of `m` examples."""
        decay = partial(ema_decay, t=step.astype(jnp.float32), m=m, rampup=self.rampup, warmup=self.warmup)
        return tuple(update_ema(average, theta_g, decay(rule)) for rule, average in zip(self.rules, old, strict=True))


def averages(ema: ConfigDict) -> Averages:
    """The averages of the section `generator.ema`."""
    rules = tuple(
        Average(f"{kind}={n!r}".removesuffix(".0"), kind, float(n))
        for kind in ("gamma", "half_life")
        for n in ema[kind]
    )
    return Averages(rules, rampup=ema.ramp, warmup=ema.rise)


def ema_decay(rule: Average, t: jax.Array, *, m: int, rampup: float, warmup: float) -> jax.Array:
    """The EMA decay at update t: the weight of the old average.

    Power-function: (1 - 1/t)^(gamma + 1), so that theta_g after step s weighs ~ s^gamma whatever the length of the
    run (arXiv:2312.02696, eq. 127 of its appendix; gamma 1 has the relative width .2357). Half of the weight lies on
    the last 1 - 2^(-1/(gamma + 1)) of the steps. Half-life H: 2^(-m/H), H in images and at most `rampup` times the
    images so far (rampup > 0), as in StyleGAN2-ADA; from 0 to H along half a cosine over the first `warmup` images
    (warmup > 0), as in R3GAN.

    Args:
      t: float32 scalar, updates of G made, this one included.
      m: examples per update.
    """
    if rule.kind == "gamma":
        return (1.0 - 1.0 / t) ** (rule.number + 1.0)
    half_life = jnp.asarray(rule.number, jnp.float32)
    if warmup:
        half_life = interpolate("cosine", 0.0, half_life, progress=m * t / warmup)
    if rampup:
        half_life = jnp.minimum(half_life, rampup * m * t)
    return jnp.exp2(-m / jnp.maximum(half_life, 1e-8))


def update_ema(average: optax.Params, theta_g: optax.Params, decay: jax.Array) -> optax.Params:
    """decay * average + (1 - decay) * theta_g.

    In float32 the average does not move if theta_g is within about 6e-8 |w| / (1 - decay) of its value w.
    """
    return jax.tree.map(lambda old, new: new + decay * (old - new), average, theta_g)


# --- Post-hoc reconstruction, arXiv:2312.02696, section 3.2 and appendix C ------------------------------------------


class Snapshot(NamedTuple):
    """A power-function average stored in a checkpoint."""

    gamma: float
    step: int


def sigma_rel(gamma: float) -> float:
    """The relative width of a power-function average: the standard deviation of its weights over the length of the run.

    sqrt((g + 1) / ((g + 2)^2 (g + 3))), .2357 for gamma 1.
    """
    return math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))


def gamma_from_sigma_rel(width: float) -> float:
    """The gamma >= 0 of the power-function average with a given relative width.

    Raises:
      UserError: no gamma has this width.
    """
    if not 0 < width <= sigma_rel(0.0):
        raise UserError(f"the relative width of an average is above 0 and at most {sigma_rel(0.0):.4f}, not {width}.")
    roots = np.roots([1.0, 7.0, 16 - width**-2, 12 - width**-2])
    return max(float(roots.real[np.abs(roots.imag) < 1e-6].max()), 0.0)


def profile_inner_product(a: Snapshot, b: Snapshot) -> float:
    """The integral of the product of two profiles p(t) = (g + 1) t^g / step^(g + 1) on [0, step]."""
    ratio = (a.step / b.step) ** (b.gamma if a.step < b.step else -a.gamma)
    return (a.gamma + 1) * (b.gamma + 1) * ratio / ((a.gamma + b.gamma + 1) * max(a.step, b.step))


def posthoc_weights(snapshots: Sequence[Snapshot], target: Snapshot) -> tuple[np.ndarray, float]:
    """Weights of snapshots that approximate the target average.

    The least-squares fit of the target profile by the snapshots' profiles, normalized to sum 1 as in the authors' code.

    Returns:
      [snapshots] float64 of sum 1, and the relative error: the norm of the difference of the profiles over that of the
      target.
    """
    products = np.array([[profile_inner_product(a, b) for b in snapshots] for a in snapshots])
    goal = np.array([profile_inner_product(a, target) for a in snapshots])
    weights = np.linalg.lstsq(products, goal, rcond=None)[0]
    weights = weights / weights.sum()
    square = weights @ products @ weights - 2 * weights @ goal + profile_inner_product(target, target)
    return weights, math.sqrt(max(square, 0.0) / profile_inner_product(target, target))


def reconstruct(averages: Iterable[optax.Params], weights: Iterable[float]) -> optax.Params:
    """The weighted sum of averages (`posthoc_weights`), accumulated in float64, returned as float32."""
    weighted = (jax.tree.map(lambda a, w=w: w * np.asarray(a, np.float64), tree)
                for tree, w in zip(averages, weights, strict=True))  # fmt: skip
    total = next(weighted)
    for tree in weighted:
        total = jax.tree.map(np.add, total, tree)
    return jax.tree.map(lambda a: a.astype(np.float32), total)
