"""The optimizers against the paper's formulas written out in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.config import default, update, validate
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.game.build import player_optimizer
from jaxgan.optimizers import limit_column_norm


def choose(player, name, schedule="constant", **fields):
    """A configuration with one player's optimizer and its schedule chosen; `schedule__x` is a field of the latter."""
    path = f"optimizer.{player}"
    changes = {f"{path}.name": name, f"{path}.schedule.name": schedule}
    return update(default(), changes | {f"{path}.{key.replace('__', '.')}": value for key, value in fields.items()})


def run(config, player, gradients, start, examples):
    """Applies the gradients one after another; returns the parameters after each."""
    optimizer = player_optimizer(config, examples, player, traced(config))
    params, state, seen = start, optimizer.init(start), []
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(params)
    return seen


@pytest.mark.parametrize(("player", "k"), [("discriminator", 1), ("generator", 1), ("generator", 3)])
def test_the_papers_sgd(player, k):
    """inc = m inc - lr g; lr / 1.000004^t, floor; m from .5 in epoch 1 to .7 in epoch 5, then constant."""
    config = update(
        choose(
            player, "paper_sgd", "exponential", learning_rate=0.1, momentum_epochs=5.0, schedule__decay=1.01,
            schedule__minimum=0.08,
        ),
        {"train.batch_size": 10, "train.d_steps": k},
    )  # fmt: skip
    examples = 60 * k  # G updates once for k batches: 6 updates an epoch either way
    gradients = np.random.default_rng(0).normal(size=(50, 4))
    got = run(config, player, jnp.asarray(gradients, jnp.float32), jnp.ones(4), examples)
    p, inc = np.ones(4), np.zeros(4)
    for t, g in enumerate(gradients):
        epoch = 1 + t // 6
        m = 0.5 + (0.7 - 0.5) * min((epoch - 1) / (5 - 1), 1)
        lr = max(0.1 / 1.01**t, 0.08)
        inc = m * inc - lr * g
        p = p + inc
        np.testing.assert_allclose(got[t], p, rtol=2e-5, atol=2e-6, err_msg=f"update {t}")


def test_the_papers_decay_keeps_its_digits():
    """1.000004 has two correct digits as a float32; after 100,000 updates the rate is .1 / 1.000004^1e5."""
    config = choose("generator", "paper_sgd", "exponential")
    optimizer = player_optimizer(config, 50_000, "generator", traced(config))
    state = optimizer.init(jnp.zeros(1))._replace(count=jnp.uint32(100_000))
    step, _ = optimizer.update(jnp.ones(1), state)
    assert -float(step[0]) == pytest.approx(0.1 / 1.000004**100_000, rel=1e-4)


def test_column_norms_stay_below_the_limit():
    config = choose("generator", "sgd", learning_rate=0.1, max_column_norm=1.5)
    start = {"kernel": jnp.ones((4, 3)) * jnp.array([[0.1, 0.7, 0.75]]), "bias": jnp.full(3, 9.0)}
    gradient = {"kernel": -jnp.ones((4, 3)), "bias": -jnp.ones(3)}
    (after,) = run(config, "generator", [gradient], start, 1000)
    # Columns of four equal weights w + .1 have norm 2 (w + .1): 0.4 is left alone, 1.6 and 1.7 become 1.5.
    np.testing.assert_allclose(np.linalg.norm(after["kernel"], axis=0), [0.4, 1.5, 1.5], rtol=1e-6)
    np.testing.assert_allclose(after["bias"], 9.1, rtol=1e-6)


def test_adam_with_traced_numbers():
    """Kingma and Ba's formulas (arXiv:1412.6980), its learning rate falling as the paper's."""
    config = choose(
        "discriminator", "adam", "exponential", learning_rate=0.01, schedule__decay=1.5, schedule__minimum=0.003
    )
    gradients = jax.random.normal(jax.random.key(0), (5, 3))
    got = run(config, "discriminator", gradients, jnp.zeros(3), 1000)[-1]
    m = v = p = np.zeros(3)
    for t, g in enumerate(np.asarray(gradients, np.float64), start=1):
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g * g
        p = p - max(0.01 / 1.5 ** (t - 1), 0.003) * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(got, p, rtol=1e-4)


def test_transposed_kernels_have_their_units_on_the_last_axis_but_one():
    """[kh, kw, out, in]: the weights that come into an output channel; other kernels are [..., in, out]."""
    transform = limit_column_norm(1.0)
    rng = np.random.default_rng(0)
    start = {name: jnp.asarray(rng.normal(size=(2, 2, 3, 5)), jnp.float32) for name in ("transposed_kernel", "kernel")}
    zero = jax.tree.map(jnp.zeros_like, start)
    updates, _ = transform.update({"layer": zero}, transform.init(start), {"layer": start})
    after = optax.apply_updates(start, updates["layer"])
    for name, units in (("transposed_kernel", 2), ("kernel", 3)):
        axes = tuple({0, 1, 2, 3} - {units})
        before = np.linalg.norm(
            np.moveaxis(np.asarray(start[name], np.float64), units, 0).reshape(start[name].shape[units], -1), axis=1
        )
        assert (before > 1).all()
        np.testing.assert_allclose(np.sqrt(np.sum(np.square(after[name]), axis=axes)), 1.0, rtol=1e-6)


def test_sgd_with_momentum():
    gradients = np.random.default_rng(1).normal(size=(4, 3))
    got = run(
        choose("generator", "sgd", learning_rate=0.3, momentum=0.5),
        "generator",
        jnp.asarray(gradients, jnp.float32),
        jnp.zeros(3),
        10,
    )
    p = inc = np.zeros(3)
    for t, g in enumerate(gradients):
        inc = 0.5 * inc - 0.3 * g
        p = p + inc
        np.testing.assert_allclose(got[t], p, rtol=1e-5, atol=1e-6)


def test_rmsprop():
    """Tieleman and Hinton (2012): g / sqrt(mean square + eps), the mean from 0."""
    gradients = np.random.default_rng(2).normal(size=(4, 3))
    config = choose("discriminator", "rmsprop", learning_rate=0.01, decay=0.8, eps=1e-3)
    got = run(config, "discriminator", jnp.asarray(gradients, jnp.float32), jnp.zeros(3), 10)
    p = v = np.zeros(3)
    for t, g in enumerate(gradients):
        v = 0.8 * v + 0.2 * g * g
        p = p - 0.01 * g / np.sqrt(v + 1e-3)
        np.testing.assert_allclose(got[t], p, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("sgd", "learning_rate", 0.0), ("sgd", "momentum", 1.0), ("paper_sgd", "final_momentum", -0.1),
        ("paper_sgd", "momentum_epochs", 0.0), ("adam", "b1", 1.0), ("adam", "eps", 0.0), ("rmsprop", "decay", 1.0),
        ("rmsprop", "learning_rate", -1.0),
    ],
)  # fmt: skip
def test_numbers_that_make_no_optimizer(name, field, value):
    with pytest.raises(UserError, match=rf"optimizer.generator.{field} must be .*not {value}"):
        validate(choose("generator", name, **{field: value}))
