"""Small games as dynamical systems: the training step itself as a map, its Jacobian, its rate and its trajectories.

A game of `toy` players has two parameters, G(z) = theta and D(x) = psi x, and all its data are 0. The map is
`algorithm1.train_step` on its whole state: the parameters and the floating-point numbers of the optimizers and of
lookahead. Everything is float32, as in training, so moduli are accurate to about 1e-7, and to about the square root of
that where two eigenvalues meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.algorithm1 import train_step
from jaxgan.augment import NoAugment
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState
from jaxgan.networks.layers import DataSpec

PLAYERS = ("generator", "discriminator")
RADIUS = 1e-3  # of the neighbourhood of the equilibrium in which a rate is measured


class Game(NamedTuple):
    """A game of two parameters with its hyperparameters and data."""

    gan: Gan
    hparams: HParams
    data: TrainingSet
    # The players updated in each part of a step. With two parts, an update that is only simultaneous alternates; the
    # other player has learning rate 0, which is right for optimizers without memory.
    turns: tuple[tuple[str, ...], ...] = (PLAYERS,)


def sgd(learning_rate: float, **fields: Any) -> dict[str, Any]:
    """Changes to a configuration: plain gradient steps for both players, and other fields of both optimizers."""
    fields = {"name": "sgd", "learning_rate": learning_rate} | fields
    return {f"optimizer.{player}.{name}": value for player in PLAYERS for name, value in fields.items()}


def dirac(changes: Mapping[str, Any], *, noise: bool = False, batch_size: int = 1) -> Game:
    """The Dirac-GAN of arXiv:1801.04406 under `changes` to the default configuration.

    Args: changes: {'objective.loss': ...}, including those of the optimizers (`sgd`).
      noise: whether to add instance noise by quantiles (`QuantileNoise`) with standard deviation hparams['noise'].
      batch_size: 1 suffices, as all examples are equal; with noise, the number of quantiles.
    """
    base = {"generator.name": "toy", "discriminator.name": "toy", "prior.size": 1, "train.batch_size": batch_size}
    config = update(default(), base | dict(changes))
    gan = build(config, DataSpec((1,)), batch_size)
    if noise:
        gan = gan._replace(augment=lambda hparams: QuantileNoise(deviation=hparams["noise"], count=batch_size))
    return Game(gan, traced(config), TrainingSet(jnp.zeros((batch_size, 1))))


def with_latent(game: Game) -> Game:
    """The game with G(z) = theta + z, and all z at 0, so that only latent optimization moves them."""
    G = lambda params, stats, z, *_, **flags: (params["theta"][None] + z, stats)  # noqa: E731
    return game._replace(gan=game.gan._replace(G=G, sample_z=lambda hparams, key: jnp.zeros((1,))))


@dataclass(frozen=True)
class QuantileNoise(NoAugment):
    """Instance noise in expectation: the same normal quantiles in every minibatch, with mean 0 and variance 1.

    `augment.name=instance_noise` makes every step random, while a rate is that of the mean step. As D is linear here,
    the Jacobian at 0 depends only on the first two moments of the noise, and is exact.
    """

    deviation: float | jax.Array = 0.1
    count: int = 256  # number of quantiles

    def __call__(self, x: jax.Array, keys: jax.Array, state: Any) -> jax.Array:
        levels = [NormalDist().inv_cdf((i + 0.5) / self.count) for i in range(self.count)]
        levels = np.array(levels) / np.std(levels)
        noise = jnp.asarray(np.tile(levels, len(x) // self.count), jnp.float32)
        return x + self.deviation * noise.reshape(-1, *[1] * (x.ndim - 1))


# --- The state as a vector --------------------------------------------------------------------------------------------


def _floats(state: GanState) -> list[int]:
    return [i for i, leaf in enumerate(jax.tree.leaves(state)) if jnp.issubdtype(leaf.dtype, jnp.floating)]


def vector(state: GanState) -> jax.Array:
    """The floating-point numbers of the state: [d] float32."""
    leaves = jax.tree.leaves(state)
    return jnp.concatenate([jnp.reshape(leaves[i], (-1,)) for i in _floats(state)])


def with_floats(state: GanState, numbers: jax.Array) -> GanState:
    """The state with its floating-point numbers replaced by `numbers` [d] and its counters unchanged."""
    leaves, tree = jax.tree.flatten(state)
    first = 0
    for i in _floats(state):
        size = leaves[i].size
        leaves[i] = jnp.reshape(numbers[first : first + size], leaves[i].shape)
        first += size
    return jax.tree.unflatten(tree, leaves)


def coordinates(state: GanState) -> jax.Array:
    """(theta, psi): [2] float32."""
    return jnp.stack([state.generator.params["theta"][0], state.discriminator.params["psi"][0]])


def initial_state(game: Game, hparams: HParams, theta: float | jax.Array, psi: float | jax.Array) -> GanState:
    """The state before the first step, at (theta, psi)."""
    state = game.gan.init(hparams)
    theta, psi = (jnp.reshape(jnp.asarray(a, jnp.float32), (1,)) for a in (theta, psi))
    return state._replace(
        generator=state.generator._replace(params={"theta": theta}),
        discriminator=state.discriminator._replace(params={"psi": psi}),
        slow=({"theta": theta}, {"psi": psi}) if state.slow else (),
    )


# --- The step as a map ------------------------------------------------------------------------------------------------


def make_step(game: Game, hparams: HParams) -> Callable[[GanState], GanState]:
    """The function of one training step: state -> next state."""

    def step(state: GanState) -> GanState:
        for active in game.turns:
            frozen = {f"optimizer.{player}.learning_rate": jnp.zeros(()) for player in PLAYERS if player not in active}
            state = train_step(gan=game.gan, hparams=hparams | frozen, state=state, data=game.data)[0]
        return state

    return step


def corrected_flow(A: np.ndarray, update: str, weight: float) -> np.ndarray:
    """The matrix of the linear flow dw/dt = A w with the correction of `train.update`, if any: [d, d] -> [d, d].

    xi = -A w and J = -A, so that the flow is -(xi + weight J^T xi), or with (J^T - J) / 2 in place of J^T.
    """
    if update == "consensus":
        return A - weight * A.T @ A
    return A - weight * (A.T - A) / 2 @ A if update.startswith("symplectic") else A


def jacobian(game: Game, hparams: HParams, *, at: GanState, steps: int = 1) -> jax.Array:
    """d(state after `steps` steps) / d(state `at`), over its floating-point numbers: [d, d] float32."""
    step = make_step(game, hparams)

    def run(numbers: jax.Array) -> jax.Array:
        state = with_floats(at, numbers)
        for _ in range(steps):
            state = step(state)
        return vector(state)

    return jax.jacfwd(run)(vector(at))


def difference_jacobian(game: Game, hparams: HParams, *, distance: float = 1e-4) -> np.ndarray:
    """d(theta, psi) / d(theta, psi) of one step at the equilibrium, by central differences: [2, 2].

    Unlike `jacobian`, it sees what a step takes for a constant where it forms a gradient.
    """
    step = make_step(game, hparams)

    def after(theta: jax.Array) -> jax.Array:
        return coordinates(step(initial_state(game, hparams, theta[0], theta[1])))

    points = distance * jnp.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    values = np.asarray(jax.vmap(after)(points), np.float64)
    return (values[::2] - values[1::2]).T / (2 * distance)


def trajectory(game: Game, hparams: HParams, *, start: GanState, steps: int) -> jax.Array:
    """(theta, psi) before and after each of `steps` steps: [steps + 1, 2] float32."""
    step = make_step(game, hparams)

    def body(state: GanState, _) -> tuple[GanState, jax.Array]:
        state = step(state)
        return state, coordinates(state)

    _, visited = jax.lax.scan(body, start, length=steps)
    return jnp.concatenate([coordinates(start)[None], visited])


def growth(game: Game, hparams: HParams, *, start: GanState, steps: int, period: int = 1) -> jax.Array:
    """The factors by which the state's norm grows per `period` of steps: [steps // period] float32.

    After every period the state is rescaled to the norm `RADIUS`, where the step is linear and nothing underflows.
    """
    step = make_step(game, hparams)

    def body(state: GanState, _) -> tuple[GanState, jax.Array]:
        numbers = vector(state)
        state = with_floats(state, numbers * (RADIUS / jnp.linalg.norm(numbers)))
        for _ in range(period):
            state = step(state)
        return state, jnp.linalg.norm(vector(state)) / RADIUS

    return jax.lax.scan(body, start, length=steps // period)[1]


def rate(factors: np.ndarray) -> np.ndarray:
    """The geometric mean of the growth factors, [..., n] -> [...]: the contraction per period.

    While the state rotates, its growth oscillates about its mean. A weighted mean with smooth weights that vanish at
    both ends (Das, Saiki, Sander and Yorke, arXiv:1508.00062) converges faster than any power of n. The first half is
    discarded.
    """
    late = np.log(np.asarray(factors, np.float64))[..., factors.shape[-1] // 2 :]
    t = (np.arange(late.shape[-1]) + 0.5) / late.shape[-1]
    weights = np.exp(-1 / (t * (1 - t)))
    return np.exp(np.sum(late * weights, axis=-1) / np.sum(weights))


def moduli(jacobians: np.ndarray) -> np.ndarray:
    """The spectral radius: [..., d, d] -> [...]."""
    return np.abs(np.linalg.eigvals(np.asarray(jacobians, np.float64))).max(axis=-1)
