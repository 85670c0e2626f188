"""Schedules of hyperparameters, as functions of the number of updates made; their fields may be traced.

A member of `SCHEDULES` is a config section that schedules a number given elsewhere, such as a learning rate.
`interpolate` is the underlying curve, for values whose end points are fields of another section (`augment.shape`,
`generator.ema.rise`); only it has an 'exponential' that reaches its end point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.errors import UserError
from jaxgan.fields import TRACED, Choice, Traced, at_least

LOGARITHM = Traced(lambda x: np.float32(math.log(x)))


@dataclass(frozen=True)
class Constant:
    """The same value in every update."""

    def __call__(self, base: jax.Array, t: jax.Array) -> jax.Array:
        """base: float32 scalar, the initial value; t: uint32 scalar, updates made before this one."""
        return base


@dataclass(frozen=True)
class Exponential:
    """max(base / decay^t, minimum), as in goodfeli/adversarial."""

    # divisor per update; traced as its logarithm: float32 resolves 1.000004 - 1 to two digits, the logarithm to seven
    decay: Annotated[float, LOGARITHM, at_least(1)] = 1.000004
    minimum: Annotated[float, TRACED, at_least(0)] = 1e-6

    def __call__(self, base: jax.Array, t: jax.Array) -> jax.Array:
        return jnp.maximum(base * jnp.exp(-self.decay * t.astype(jnp.float32)), self.minimum)


@dataclass(frozen=True)
class Linear:
    """From base to `final` in a straight line between updates `start` and `steps`, then constant."""

    steps: Annotated[float, TRACED] = 20_000.0
    start: Annotated[float, TRACED] = 0.0
    final: Annotated[float, TRACED, at_least(0)] = 0.0

    def check(self) -> None:
        if not 0 <= self.start < self.steps:
            raise UserError(
                f"a linear schedule runs from start={self.start} of 0 or more to a later steps={self.steps}."
            )

    def __call__(self, base: jax.Array, t: jax.Array) -> jax.Array:
        progress = (t.astype(jnp.float32) - self.start) / (self.steps - self.start)
        return interpolate("linear", base, self.final, progress=progress)


@dataclass(frozen=True)
class Cosine:
    """From base to `final` along half a cosine over `steps` updates, then constant (as R3GAN, arXiv:2501.05441)."""

    steps: Annotated[float, TRACED, at_least(1)] = 20_000.0
    final: Annotated[float, TRACED, at_least(0)] = 0.0

    def __call__(self, base: jax.Array, t: jax.Array) -> jax.Array:
        return interpolate("cosine", base, self.final, progress=t.astype(jnp.float32) / self.steps)


SHAPES = ("constant", "linear", "cosine", "exponential")


def interpolate(shape: str, start: jax.Array | float, final: jax.Array | float, *, progress: jax.Array) -> jax.Array:
    """Interpolates from `start` to `final` as `progress` goes from 0 to 1; constant outside.

    Args:
      shape: of `SHAPES`. 'constant' stays at start; 'exponential' is geometric, between end points above 0.
      start, final: float32 scalars.
      progress: float32 scalar.
    """
    progress = jnp.clip(progress, 0.0, 1.0)
    match shape:
        case "linear":
            return start + (final - start) * progress
        case "cosine":
            return start + (final - start) * (1 - jnp.cos(jnp.pi * progress)) / 2
        case "exponential":
            return start * (final / start) ** progress
    return jnp.asarray(start, jnp.float32)


def check_interpolation(what: str, shape: str, *ends: float) -> None:
    """Raises UserError if `interpolate` does not support a section's `shape` with its end points."""
    if shape not in SHAPES:
        raise UserError(f"{what}.shape must be one of {', '.join(SHAPES)}, not {shape!r}.")
    if not all(end >= 0 for end in ends) or (shape == "exponential" and not all(end > 0 for end in ends)):
        bound = "above 0 if the shape is exponential" if min(ends) == 0 else "0 or more"
        raise UserError(f"{what} goes from {ends[0]} to {ends[1]}, which must be {bound}.")


SCHEDULES = {"constant": Constant, "exponential": Exponential, "linear": Linear, "cosine": Cosine}


@dataclass(frozen=True)
class ScheduleSection:
    """A schedule over the updates of a player."""

    name: Annotated[str, Choice(SCHEDULES)] = "constant"  # of jaxgan/schedules.py
