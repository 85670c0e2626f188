"""Small games as dynamical systems: the training step itself as a map, its Jacobian, its rate and its trajectories.

A game of `toy` players has two parameters: G(z) = theta, D(x) = psi x, and data that are all at 0. The map is
`algorithm1.train_step` with everything that it carries along: the parameters, and the floating-point numbers of the
optimizers and of lookahead. Everything is float32, as in training, so moduli are good to about 1e-7, and to about the
root of that where two eigenvalues meet.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.algorithm1 import train_step
from jaxgan.augment import NoAugment
from jaxgan.config import default, fingerprint, update
from jaxgan.files import write_atomically
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams, traced
from jaxgan.game.state import GanState
from jaxgan.networks.layers import DataSpec

PLAYERS = ("generator", "discriminator")
RADIUS = 1e-3  # of the neighbourhood of the equilibrium in which a rate is measured


class Game(NamedTuple):
    """A game of two parameters, ready to be stepped."""

    gan: Gan
    hparams: HParams
    data: TrainingSet
    # Who moves in each part of a step. More than one part makes alternating steps of an update that has only
    # simultaneous ones, for optimizers without memory: who waits has learning rate 0.
    turns: tuple[tuple[str, ...], ...] = (PLAYERS,)


def sgd(learning_rate: float, **fields: Any) -> dict[str, Any]:
    """Changes to a configuration: plain gradient steps for both players, and further fields of both optimizers."""
    fields = {"name": "sgd", "learning_rate": learning_rate} | fields
    return {f"optimizer.{player}.{name}": value for player in PLAYERS for name, value in fields.items()}


def dirac(changes: Mapping[str, Any], *, noise: bool = False, batch_size: int = 1) -> Game:
    """The Dirac-GAN of arXiv:1801.04406 under `changes` to the default configuration.

    Args:
      changes: {'objective.loss': ...}, the optimizers among them (`sgd`).
      noise: whether there is instance noise by quantiles (`QuantileNoise`), of deviation hparams['noise'].
      batch_size: examples are all alike, so that 1 is as good as more; with noise, the number of quantiles.
    """
    base = {"generator.name": "toy", "discriminator.name": "toy", "prior.size": 1, "train.batch_size": batch_size}
    config = update(default(), base | dict(changes))
    gan = build(config, DataSpec((1,)), batch_size)
    if noise:
        gan = gan._replace(augment=lambda hparams: QuantileNoise(deviation=hparams["noise"], count=batch_size))
    return Game(gan, traced(config), TrainingSet(jnp.zeros((batch_size, 1))))


@dataclass(frozen=True)
class QuantileNoise(NoAugment):
    """Instance noise in expectation: the same normal quantiles in every minibatch, with mean 0 and variance 1.

    The random noise of `augment.name=instance_noise` moves every step by chance; a rate is that of the mean step. As D
    is linear here, the Jacobian at 0 depends on the noise's first two moments alone, and is exact.
    """

    deviation: float | jax.Array = 0.1
    count: int = 256  # of the examples of a minibatch

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


def filled(state: GanState, numbers: jax.Array) -> GanState:
    """The state with its floating-point numbers replaced by `numbers` [d], its counters as they are."""
    leaves, tree = jax.tree.flatten(state)
    first = 0
    for i in _floats(state):
        size = leaves[i].size
        leaves[i] = jnp.reshape(numbers[first : first + size], leaves[i].shape)
        first += size
    return jax.tree.unflatten(tree, leaves)


def position(state: GanState) -> jax.Array:
    """(theta, psi): [2] float32."""
    return jnp.stack([state.generator.params["theta"][0], state.discriminator.params["psi"][0]])


def started(game: Game, hparams: HParams, theta: float | jax.Array, psi: float | jax.Array) -> GanState:
    """The state before the first step, at (theta, psi)."""
    state = game.gan.init(hparams)
    theta, psi = (jnp.reshape(jnp.asarray(a, jnp.float32), (1,)) for a in (theta, psi))
    return state._replace(
        generator=state.generator._replace(params={"theta": theta}),
        discriminator=state.discriminator._replace(params={"psi": psi}),
        slow=({"theta": theta}, {"psi": psi}) if state.slow else (),
    )


# --- What the step does -----------------------------------------------------------------------------------------------


def stepper(game: Game, hparams: HParams) -> Callable[[GanState], GanState]:
    def step(state: GanState) -> GanState:
        for movers in game.turns:
            still = {f"optimizer.{player}.learning_rate": jnp.zeros(()) for player in PLAYERS if player not in movers}
            state = train_step(gan=game.gan, hparams=hparams | still, state=state, data=game.data)[0]
        return state

    return step


def adjusted(A: np.ndarray, update: str, weight: float) -> np.ndarray:
    """The linear flow dw/dt = A w with the term of `train.update` added, if it has one: [d, d] -> [d, d].

    xi = -A w and J = -A, so that the flow is -(xi + weight J^T xi), or with (J^T - J) / 2 in place of J^T.
    """
    if update == "consensus":
        return A - weight * A.T @ A
    return A - weight * (A.T - A) / 2 @ A if update.startswith("symplectic") else A


def jacobian(game: Game, hparams: HParams, *, at: GanState, steps: int = 1) -> jax.Array:
    """d(state after `steps` steps) / d(state `at`), over its floating-point numbers: [d, d] float32."""
    step = stepper(game, hparams)

    def run(numbers: jax.Array) -> jax.Array:
        state = filled(at, numbers)
        for _ in range(steps):
            state = step(state)
        return vector(state)

    return jax.jacfwd(run)(vector(at))


def trajectory(game: Game, hparams: HParams, *, start: GanState, steps: int) -> jax.Array:
    """(theta, psi) before and after each of `steps` steps: [steps + 1, 2] float32."""
    step = stepper(game, hparams)

    def body(state: GanState, _) -> tuple[GanState, jax.Array]:
        state = step(state)
        return state, position(state)

    _, visited = jax.lax.scan(body, start, length=steps)
    return jnp.concatenate([position(start)[None], visited])


def growth(game: Game, hparams: HParams, *, start: GanState, steps: int, period: int = 1) -> jax.Array:
    """By what factor the state's distance from 0 grows in each `period` of steps: [steps // period] float32.

    After every period the state is scaled back to `RADIUS`: so it stays where the step is linear, and never underflows.
    """
    step = stepper(game, hparams)

    def body(state: GanState, _) -> tuple[GanState, jax.Array]:
        numbers = vector(state)
        state = filled(state, numbers * (RADIUS / jnp.linalg.norm(numbers)))
        for _ in range(period):
            state = step(state)
        return state, jnp.linalg.norm(vector(state)) / RADIUS

    return jax.lax.scan(body, start, length=steps // period)[1]


def rate(factors: np.ndarray) -> np.ndarray:
    """The geometric mean of the growth factors, [..., n] -> [...]: the contraction per period.

    While the state turns, its growth is periodic about its mean. A weighted mean that fades in and out smoothly
    (Das, Saiki, Sander and Yorke, arXiv:1508.00062) converges faster than any power of n. The first half is left out.
    """
    late = np.log(np.asarray(factors, np.float64))[..., factors.shape[-1] // 2 :]
    t = (np.arange(late.shape[-1]) + 0.5) / late.shape[-1]
    weights = np.exp(-1 / (t * (1 - t)))
    return np.exp(np.sum(late * weights, axis=-1) / np.sum(weights))


def moduli(jacobians: np.ndarray) -> np.ndarray:
    """The largest modulus of the eigenvalues: [..., d, d] -> [...]."""
    return np.abs(np.linalg.eigvals(np.asarray(jacobians, np.float64))).max(axis=-1)


def at_once(function: Callable, cases: Sequence[Any]) -> Iterator[Any]:
    """`function` of each case, in their order, as many at a time as there are cores: compilation uses one core."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(function, cases)


# --- What an experiment leaves ----------------------------------------------------------------------------------------


def kept(out: Path, setting: Mapping[str, Any], make: Callable[[], Any]) -> Any:
    """What `make` returns, from out/parts/ if it was made there before: so a stopped command goes on where it was.

    Args:
      setting: all that decides the result; two that differ have two files, which processes may write side by side.
      make: returns what JSON has, and arrays, which come back as lists.
    """
    path = out / "parts" / f"{fingerprint(setting)}.json"
    if not path.exists():
        write_atomically(path, _json({"setting": setting, "made": make()}))
    return json.loads(path.read_bytes())["made"]


def timed(make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What `make` returns, and as `cpu` the seconds of CPU time that it took."""
    begun = time.process_time()
    return {**make(), "cpu": time.process_time() - begun}


def _json(value: Mapping[str, Any]) -> bytes:
    """Numbers of NumPy become those of JSON."""
    plain = lambda a: a.tolist() if isinstance(a, np.ndarray | np.generic) else str(a)  # noqa: E731
    return (json.dumps(value, indent=1, default=plain) + "\n").encode()


def write_result(out: Path, result: Mapping[str, Any]) -> None:
    """result.json in `out`."""
    write_atomically(out / "result.json", _json(result))
