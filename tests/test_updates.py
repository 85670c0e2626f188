"""The updates of both players on the bilinear game min max psi theta, whose spectral radii are known."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.algorithm1 import Data, train_step
from jaxgan.config import default, update
from jaxgan.gan import build
from jaxgan.hparams import traced
from jaxgan.networks.layers import DataSpec

H = 0.3
POINTS = Data(jnp.zeros((16, 1)))  # p_data: all at 0, so that D(x) = 0 and V is bilinear


@cache
def game(**changes):
    """G is a point theta, D(x) = psi x, under the Wasserstein loss: psi descends psi theta, theta ascends it."""
    base = {
        "generator.name": "toy",
        "discriminator.name": "toy",
        "objective.loss": "wasserstein",
        "train.batch_size": 4,
        "prior.size": 1,
    }
    for player in ("generator", "discriminator"):
        base |= {f"optimizer.{player}.name": "sgd", f"optimizer.{player}.learning_rate": H}
    config = update(default(), base | {key.replace("__", "."): value for key, value in changes.items()})
    gan = build(config, DataSpec((1,)), 16)
    return gan, traced(config), gan.init(traced(config))


def radius(steps: int, start: int = 0, **changes) -> float:
    """The spectral radius of the Jacobian of `steps` training steps, over all floating numbers of the state."""
    gan, hparams, state = game(**changes)
    leaves, tree = jax.tree.flatten(state)
    floats = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def run(numbers):
        filled = list(leaves)
        for i, number in zip(floats, numbers, strict=True):
            filled[i] = jnp.reshape(number, leaves[i].shape)
        moved = jax.tree.unflatten(tree, filled)
        for n in range(steps):
            moved = train_step(gan=gan, hparams=hparams, state=moved._replace(step=jnp.uint32(start + n)), data=POINTS)[
                0
            ]
        return jnp.stack([jnp.reshape(jax.tree.leaves(moved)[i], ()) for i in floats])

    return float(
        np.abs(np.linalg.eigvals(np.asarray(jax.jacfwd(run)(jnp.full((len(floats),), 0.7)), np.float64))).max()
    )


@pytest.mark.parametrize(
    ("steps", "changes", "expected"),
    [
        (1, {"train__update": "simultaneous"}, np.hypot(1, H)),  # 1.044031: diverges
        (1, {"train__update": "alternating"}, 1.0),  # cycles
        (1, {"train__update": "extragradient"}, abs(1 - H**2 + 1j * H)),  # .958175
        (5, {"train__update": "simultaneous", "train__lookahead": 5}, 0.839587),
        (5, {"train__update": "alternating", "train__lookahead": 5}, 0.729749),
    ],
)
def test_spectral_radii(steps, changes, expected):
    assert radius(steps, **changes) == pytest.approx(expected, abs=1e-6)


def test_optimistic_steps_have_their_radius():
    optimistic = {f"optimizer__{player}__optimistic": True for player in ("generator", "discriminator")}
    gan, hparams, state = game(train__update="simultaneous", **optimistic)
    # The first step is plain; measured from the second on, so with the counts moved.
    state = train_step(gan=gan, hparams=hparams, state=state, data=POINTS)[0]
    distances = []
    for _ in range(60):
        state = train_step(gan=gan, hparams=hparams, state=state, data=POINTS)[0]
        distances.append(
            np.hypot(*(float(p.params[name][0]) for p, name in zip(state[2:4], ("theta", "psi"), strict=True)))
        )
    rate = (distances[59] / distances[19]) ** (1 / 40)
    roots = np.abs(np.roots([1, -(1 + 2j * H), 1j * H])).max()  # w' = w + 2 i h w - i h w_before
    assert rate == pytest.approx(roots, abs=2e-3)
    assert roots == pytest.approx(0.948683, abs=1e-6)


def test_alternating_wgan_conserves_its_energy():
    gan, hparams, state = game(train__update="alternating")
    energy = []
    for _ in range(50):
        theta, psi = float(state.generator.params["theta"][0]), float(state.discriminator.params["psi"][0])
        energy.append(theta**2 + psi**2 - H * theta * psi)
        state = train_step(gan=gan, hparams=hparams, state=state, data=POINTS)[0]
    np.testing.assert_allclose(energy, energy[0], rtol=1e-5)
