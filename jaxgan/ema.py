"""Averages of theta_g over the steps, which draw better samples than theta_g itself; several at once.

Each is a rule for how much of the old average an update keeps; one line does the rest. What a run keeps is in
`generator.ema`; `gan.sample(..., ema=NAME)` draws from any of them.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.schedules import between


class Average(NamedTuple):
    name: str  # such as 'gamma=1' or 'half_life=10000'
    kind: str  # 'gamma' or 'half_life'
    number: float

    @property
    def words(self) -> str:
        if self.kind == "gamma":
            return f"power-function EMA of G, weights ~ step^{self.number:g}"
        return f"EMA of G with a half-life of {self.number:,.0f} images"


def averages(ema: ConfigDict) -> tuple[Average, ...]:
    """The averages that `generator.ema` asks for, in the order in which the state holds them."""
    return tuple(
        Average(f"{kind}={n!r}".removesuffix(".0"), kind, float(n))
        for kind in ("gamma", "half_life")
        for n in ema[kind]
    )


def kept(average: Average, t: jax.Array, *, m: int, ramp: float, rise: float) -> jax.Array:
    """The share of the old average that stays in update t.

    Power-function: (1 - 1/t)^(gamma + 1), so that theta_g after step s weighs ~ s^gamma whatever the length of the
    run (arXiv:2312.02696, eq. 127 of its appendix; gamma 1 has the relative width .2357). Half of the weight lies on
    the last 1 - 2^(-1/(gamma + 1)) of the steps. Half-life H: 2^(-m/H), H in images and at most `ramp` times the
    images so far (ramp > 0), as in StyleGAN2-ADA; from 0 to H along half a cosine over the first `rise` images
    (rise > 0), as in R3GAN.

    Args:
      t: float32 scalar, updates of G made, this one included.
      m: examples per update.
    """
    if average.kind == "gamma":
        return (1.0 - 1.0 / t) ** (average.number + 1.0)
    half_life = jnp.asarray(average.number, jnp.float32)
    if rise:
        half_life = between("cosine", 0.0, half_life, done=m * t / rise)
    if ramp:
        half_life = jnp.minimum(half_life, ramp * m * t)
    return jnp.exp2(-m / jnp.maximum(half_life, 1e-8))


def updated(average: optax.Params, theta_g: optax.Params, share: jax.Array) -> optax.Params:
    """`share` of the old average and the rest of theta_g.

    In float32 an average of w does not notice a theta_g nearer than about 6e-8 |w| / (1 - share).
    """
    return jax.tree.map(lambda old, new: new + share * (old - new), average, theta_g)
