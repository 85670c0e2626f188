"""The players' optimizers, on optax. The attributes of each are its config fields.

Hyperparameters are traced, so an optimizer is built inside the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import TRACED, Choice, above, at_least, within
from jaxgan.schedules import ScheduleSection


class EpochSize(NamedTuple):
    """Converts a player's updates into epochs."""

    examples_per_update: int  # real examples per update of this player
    examples: int  # in the training set


class MomentumState(NamedTuple):
    count: jax.Array  # uint32, updates made
    velocity: optax.Params


LearningRate = Annotated[float, TRACED, above(0)]
Decay = Annotated[float, TRACED, within(0, 1, "[)")]  # of a moving average, or the momentum that it is


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with classical momentum: inc = m inc - lr g; p += inc."""

    learning_rate: LearningRate = 0.01
    momentum: Decay = 0.0

    def transformation(self, learning_rate: optax.Schedule, epochs: EpochSize) -> optax.GradientTransformation:
        """The optax transformation at a learning rate that follows its schedule."""
        del epochs
        return _classical_momentum(learning_rate, lambda count: jnp.asarray(self.momentum, jnp.float32))


@dataclass(frozen=True)
class PaperSGD:
    """SGD of goodfeli/adversarial, whose momentum rises linearly with the epoch.

    In epoch e (from 1), from `momentum` at e = 1 to `final_momentum` at e = `momentum_epochs`.
    """

    learning_rate: LearningRate = 0.1
    momentum: Decay = 0.5
    final_momentum: Decay = 0.7
    momentum_epochs: Annotated[float, TRACED, above(0)] = 250.0  # 1 = final_momentum from the start

    def transformation(self, learning_rate: optax.Schedule, epochs: EpochSize) -> optax.GradientTransformation:
        """The optax transformation at a learning rate that follows its schedule."""

        def momentum(count: jax.Array) -> jax.Array:
            # config.validate keeps this product below 2^32.
            done = (count * jnp.uint32(epochs.examples_per_update)) // jnp.uint32(epochs.examples)
            ramp = done.astype(jnp.float32) / jnp.maximum(self.momentum_epochs - 1.0, 1.0)
            ramp = jnp.where(self.momentum_epochs <= 1, 1.0, jnp.minimum(ramp, 1.0))
            return self.momentum + (self.final_momentum - self.momentum) * ramp

        return _classical_momentum(learning_rate, momentum)


def _classical_momentum(learning_rate: optax.Schedule, momentum: optax.Schedule) -> optax.GradientTransformation:
    def init(params: optax.Params) -> MomentumState:
        return MomentumState(jnp.zeros((), jnp.uint32), jax.tree.map(jnp.zeros_like, params))

    def update(gradients, state, params=None):
        del params
        m, lr = momentum(state.count), learning_rate(state.count)
        velocity = jax.tree.map(lambda v, g: m * v - lr * g, state.velocity, gradients)
        return velocity, MomentumState(state.count + 1, velocity)

    return optax.GradientTransformation(init, update)


@dataclass(frozen=True)
class Adam:
    """Adam (arXiv:1412.6980)."""

    learning_rate: LearningRate = 2e-4
    b1: Decay = 0.5  # decay of the first moment
    b2: Decay = 0.999  # decay of the second moment
    eps: Annotated[float, TRACED, above(0)] = 1e-8  # added to the denominator, after the bias corrections

    def transformation(self, learning_rate: optax.Schedule, epochs: EpochSize) -> optax.GradientTransformation:
        """The optax transformation at a learning rate that follows its schedule."""
        del epochs
        return _allow_dtype_promotion(optax.adam(learning_rate, self.b1, self.b2, self.eps))


@dataclass(frozen=True)
class RMSProp:
    """RMSProp (Tieleman and Hinton 2012), as the WGAN of arXiv:1701.07875 uses it."""

    learning_rate: LearningRate = 5e-5
    decay: Decay = 0.9  # of the mean of squared gradients
    eps: Annotated[float, TRACED, above(0)] = 1e-8  # added inside the root

    def transformation(self, learning_rate: optax.Schedule, epochs: EpochSize) -> optax.GradientTransformation:
        """The optax transformation at a learning rate that follows its schedule."""
        del epochs
        return _allow_dtype_promotion(optax.rmsprop(learning_rate, self.decay, self.eps))


OPTIMIZERS = {"sgd": SGD, "paper_sgd": PaperSGD, "adam": Adam, "rmsprop": RMSProp}


@dataclass(frozen=True)
class OptimizerSection:
    """Settings of a player's updates that all optimizers share."""

    name: Annotated[str, Choice(OPTIMIZERS)] = "adam"  # of jaxgan/optimizers.py
    max_column_norm: Annotated[float, at_least(0)] = 0.0  # maximum norm of a unit's incoming weights; 0 = no limit
    # maximum absolute value of a weight, enforced after every update (WGAN); 0 = no limit
    clip: Annotated[float, at_least(0)] = 0.0
    optimistic: bool = False  # twice the current update minus the previous one (arXiv:1711.00141)
    schedule: ScheduleSection = ScheduleSection()  # of the learning rate
    b2_schedule: ScheduleSection = ScheduleSection()  # of an optimizer's b2


@dataclass(frozen=True)
class OptimizersSection:
    """The optimizers of both players."""

    generator: OptimizerSection = OptimizerSection()
    discriminator: OptimizerSection = OptimizerSection()


def check(config: ConfigDict) -> None:
    """Raises UserError if b2 is scheduled but the optimizer has none, or if the schedule leaves its range."""
    for player in ("generator", "discriminator"):
        optimizer, schedule = config.optimizer[player], config.optimizer[player].b2_schedule
        if schedule.name == "constant":
            continue
        if "b2" not in optimizer:
            raise UserError(
                f"optimizer.{player}.b2_schedule.name={schedule.name} needs a field b2, which optimizer.{player}.name="
                f"{optimizer.name} does not have; use adam, or a constant schedule."
            )
        for name in ("final", "minimum"):
            if not schedule.get(name, 0.0) < 1:
                raise UserError(f"optimizer.{player}.b2_schedule.{name} must be in [0, 1), not {schedule[name]}.")


def _allow_dtype_promotion(original: optax.GradientTransformation) -> optax.GradientTransformation:
    """Allows dtype promotion inside an optax optimizer, which mixes dtypes if hyperparameters are traced."""

    def update(gradients, state, params=None):
        with jax.numpy_dtype_promotion("standard"):
            return original.update(gradients, state, params)

    return optax.GradientTransformation(original.init, update)


def with_scheduled_hparams(
    make_at: Callable[[jax.Array], optax.GradientTransformation],
) -> optax.GradientTransformation:
    """An optimizer with scheduled hyperparameters: `make_at`(t) is the one to apply after t (uint32) updates.

    Its state, which counts the updates, has the same structure for all t.
    """

    def update(gradients, state, params=None):
        count = optax.tree.get_all_with_path(state, "count")[0][1]
        return make_at(count).update(gradients, state, params)

    return optax.GradientTransformation(make_at(jnp.zeros((), jnp.uint32)).init, update)


class OptimisticState(NamedTuple):
    count: jax.Array  # uint32, updates made
    last: optax.Updates  # the optimizer's previous update


def optimistic() -> optax.GradientTransformation:
    """Twice the current update minus the previous one (optimistic mirror descent, arXiv:1711.00141).

    The first update is unchanged. After SGD: w <- w - 2 h g_t + h g_(t-1).
    """

    def init(params: optax.Params) -> OptimisticState:
        return OptimisticState(jnp.zeros((), jnp.uint32), jax.tree.map(jnp.zeros_like, params))

    def update(updates, state, params=None):
        del params
        first = state.count == 0
        twice = jax.tree.map(lambda u, last: jnp.where(first, u, 2 * u - last), updates, state.last)
        return twice, OptimisticState(state.count + 1, updates)

    return optax.GradientTransformation(init, update)


def clip_weights(limit: float) -> optax.GradientTransformation:
    """Keeps every parameter, biases and scales included, in [-limit, limit] (WGAN, arXiv:1701.07875, Algorithm 1).

    Comes last in a chain: shortens the update.
    """

    def update(updates, state, params):
        return jax.tree.map(lambda u, p: jnp.clip(p + u, -limit, limit) - p, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def limit_column_norm(limit: float) -> optax.GradientTransformation:
    """Keeps the norm of every unit's incoming weights at most `limit` (pylearn2's max_col_norm).

    Comes last in a chain: shortens the update so that the new weights obey the limit. Weights are
    parameters of rank 2 or more. Their last axis indexes the units, in kernels of transposed convolutions
    (`transposed_kernel`) the last but one; biases are unconstrained.
    """

    def update(updates, state, params):
        def project(path, u, p):
            if p.ndim < 2:
                return u
            units = p.ndim - (2 if path[-1].key == "transposed_kernel" else 1)
            w = p + u
            norm = jnp.sqrt(jnp.sum(w * w, axis=tuple({*range(p.ndim)} - {units}), keepdims=True))
            return jnp.where(norm > limit, w * (limit / jnp.maximum(norm, limit)) - p, u)

        return jax.tree_util.tree_map_with_path(project, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
