"""The updates of both players on the bilinear game min max psi theta, whose spectral radii are known."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxgan.algorithm1 import train_step
from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.game.batches import TrainingSet, sample_noise
from jaxgan.game.build import build
from jaxgan.game.state import run_stream
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.adjustments import ADJUSTMENTS
from jaxgan.objectives.losses import LOSSES

H = 0.3
POINTS = TrainingSet(jnp.zeros((16, 1)))  # p_data: all at 0, so that D(x) = 0 and V is bilinear


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
        # The field turns: J = [[0, -1], [1, 0]] and J^T J = A^T J = I, so z = 1 - h (weight +- i).
        (1, {"train__update": "consensus"}, np.hypot(0.7, 0.3)),  # .761577
        (1, {"train__update": "symplectic", "objective__adjustment": 0.5}, np.hypot(0.85, 0.3)),  # .901388
        (1, {"train__update": "symplectic_aligned"}, np.hypot(0.7, 0.3)),
        # With R1 of 1/2, J = [[0, -1], [1, 1/2]]: 1 - h (J + J^T J) = [[.7, .15], [-.45, .475]].
        (1, {"train__update": "consensus", "objective__penalties__r1": 0.5}, np.sqrt(0.7 * 0.475 + 0.15 * 0.45)),
        # ... and A^T J = [[1, 1/2], [0, 1]]: 1 - h (J + A^T J) = [[.7, .15], [-.3, .55]].
        (1, {"train__update": "symplectic", "objective__penalties__r1": 0.5}, np.sqrt(0.7 * 0.55 + 0.15 * 0.3)),
    ],
)
def test_spectral_radii(steps, changes, expected):
    assert radius(steps, **changes) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
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


@pytest.mark.slow
def test_alternating_wgan_conserves_its_energy():
    gan, hparams, state = game(train__update="alternating")
    energy = []
    for _ in range(50):
        theta, psi = float(state.generator.params["theta"][0]), float(state.discriminator.params["psi"][0])
        energy.append(theta**2 + psi**2 - H * theta * psi)
        state = train_step(gan=gan, hparams=hparams, state=state, data=POINTS)[0]
    np.testing.assert_allclose(energy, energy[0], rtol=1e-5)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(
    ("xi", "damping", "sign"),
    [((1.0, 0.0), 1.0, 1), ((1.0, 0.0), -1.0, -1), ((0.5, 0.0), -1.0, -1), ((0.44, 0.0), -1.0, 1)],
)
def test_the_symplectic_term_by_hand(xi, damping, sign, align):
    """J = damping I + A with A = [[0, -2], [2, 0]]. Aligned: the sign of <xi, J^T xi> <A^T xi, J^T xi> / 2 + .1.

    For xi = (s, 0) that is the sign of damping 4 s^4 / 2 + .1; a fixed point with damping -1 is unstable.
    """
    J = np.array([[damping, -2.0], [2.0, damping]])
    product = lambda matrix: lambda v: tuple(jnp.asarray(matrix @ np.array(v), jnp.float32))  # noqa: E731
    given = tuple(jnp.asarray(xi, jnp.float32)), product(J), product(J.T)
    term = ADJUSTMENTS["symplectic_aligned" if align else "symplectic"](*given)
    np.testing.assert_allclose(term, (0, (sign if align else 1) * -2 * xi[0]), atol=1e-6)
    np.testing.assert_allclose(ADJUSTMENTS["consensus"](*given), (damping * xi[0], -2 * xi[0]), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_adjusted_gradients_of_networks_against_the_whole_jacobian(name):
    """A step of two small networks, from the definitions: xi, and J as a matrix."""
    h, weight = 0.1, 0.7
    base = {"generator.hidden": (3,), "generator.activations": ("tanh",), "generator.output": "linear",
            "generator.irange": 1.0, "generator.output_irange": 1.0, "discriminator.hidden": (4,),
            "discriminator.activation": "tanh", "discriminator.irange": 1.0, "prior.size": 2, "train.batch_size": 8,
            "train.update": name, "objective.adjustment": weight}  # fmt: skip
    for player in ("generator", "discriminator"):
        base |= {f"optimizer.{player}.name": "sgd", f"optimizer.{player}.learning_rate": h}
    config = update(default(), base)
    gan, hparams = build(config, DataSpec((2,)), 8), traced(config)
    data = TrainingSet(jnp.asarray(np.random.default_rng(0).normal(size=(8, 2)), jnp.float32))
    state = gan.init(hparams)
    after, metrics = jax.jit(lambda: train_step(gan=gan, hparams=hparams, state=state, data=data))()

    key = jax.random.fold_in(jax.random.fold_in(run_stream(hparams, "train"), 0), 0)
    z = sample_noise(gan, hparams, key, jnp.arange(8, dtype=jnp.uint32)).z
    theta, unravel = ravel_pytree((state.generator.params, state.discriminator.params))

    def field(theta):
        def loss(player, theta_g, theta_d):
            logits = lambda x: gan.D(theta_d, {}, x)[0].logits  # noqa: E731
            fake = logits(gan.G(theta_g, {}, z)[0])
            # All eight points of the data are in the minibatch.
            return jnp.mean(getattr(LOSSES["non_saturating"], player)(logits(data.x), fake))

        theta_g, theta_d = unravel(theta)
        g = jax.grad(loss, 1)("generator", theta_g, theta_d)
        return ravel_pytree((g, jax.grad(loss, 2)("discriminator", theta_g, theta_d)))[0]

    xi, J = (np.asarray(a, np.float64) for a in (field(theta), jax.jacobian(field)(theta)))
    term = J.T @ xi if name == "consensus" else (J.T - J) / 2 @ xi
    if name == "symplectic_aligned":
        term *= np.sign((xi @ J.T @ xi) * (term @ J.T @ xi) / 8 + 0.1)  # two kernels and two biases each
    moved = np.asarray(theta - ravel_pytree((after.generator.params, after.discriminator.params))[0]) / h
    np.testing.assert_allclose(moved, xi + weight * term, atol=2e-6, rtol=2e-5)
    assert np.linalg.norm(term) > 0.1 * np.linalg.norm(xi)
    players = np.split(xi, [ravel_pytree(state.generator.params)[0].size])
    for norm, part in zip((metrics["g_gradient_norm"], metrics["d_gradient_norm"]), players, strict=True):
        assert norm == pytest.approx(np.linalg.norm(part), rel=1e-5)


def test_an_adjusted_member_of_a_population_is_the_single_run():
    """The weight is a traced number: populations differ in it, and 0 leaves simultaneous steps."""
    gan, hparams, state = game(train__update="symplectic_aligned", objective__penalties__r1=0.5)

    def step(weight):
        numbers = hparams | {"objective.adjustment": weight}
        return train_step(gan=gan, hparams=numbers, state=state, data=POINTS)[0][2:4]

    weights = np.float32([0, 0.3, 2])
    together = jax.jit(jax.vmap(step))(weights)
    for i, weight in enumerate(weights):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-6), together, jax.jit(step)(weight))
    gan, hparams, state = game(train__update="simultaneous", objective__penalties__r1=0.5)
    plain = train_step(gan=gan, hparams=hparams, state=state, data=POINTS)[0][2:4]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-6), together, plain)
