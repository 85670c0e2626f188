"""The optimizers against the paper's formulas written out in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import optimizers
from jaxgan.config import default, update
from jaxgan.hparams import traced


def run(config, player, gradients, start, examples):
    """Applies the gradients one after another; returns the parameters after each."""
    optimizer = optimizers.build(player, config, traced(config), examples)
    params, state, seen = start, optimizer.init(start), []
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(params)
    return seen


@pytest.mark.parametrize(("player", "k"), [("discriminator", 1), ("generator", 1), ("generator", 3)])
def test_the_papers_sgd(player, k):
    """inc = m inc - lr g; lr / 1.000004^t, floor; m from .5 in epoch 1 to .7 in epoch 5, then constant."""
    changes = {"learning_rate": 0.1, "decay": 1.01, "minimum_learning_rate": 0.08, "momentum_epochs": 5}
    config = update(
        default(),
        {f"optimizer.{player}.{key}": value for key, value in changes.items()}
        | {"train.batch_size": 10, "train.d_steps": k},
    )
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
    config = default()
    optimizer = optimizers.build("generator", config, traced(config), 50_000)
    state = optimizer.init(jnp.zeros(1))._replace(count=jnp.uint32(100_000))
    step, _ = optimizer.update(jnp.ones(1), state)
    assert -float(step[0]) == pytest.approx(0.1 / 1.000004**100_000, rel=1e-4)


def test_column_norms_stay_below_the_limit():
    config = update(default(), {"optimizer.generator.max_column_norm": 1.5})
    start = {"kernel": jnp.ones((4, 3)) * jnp.array([[0.1, 0.7, 0.75]]), "bias": jnp.full(3, 9.0)}
    gradient = {"kernel": -jnp.ones((4, 3)), "bias": -jnp.ones(3)}
    (after,) = run(config, "generator", [gradient], start, 1000)
    # Columns of four equal weights w + .1 have norm 2 (w + .1): 0.4 is left alone, 1.6 and 1.7 become 1.5.
    np.testing.assert_allclose(np.linalg.norm(after["kernel"], axis=0), [0.4, 1.5, 1.5], rtol=1e-6)
    np.testing.assert_allclose(after["bias"], 9.1, rtol=1e-6)


def test_adam_with_traced_numbers():
    """Kingma and Ba's formulas (arXiv:1412.6980), its learning rate falling as the paper's."""
    changes = {"name": "adam", "learning_rate": 0.01, "decay": 1.5, "minimum_learning_rate": 0.003}
    config = update(default(), {f"optimizer.discriminator.{key}": value for key, value in changes.items()})
    gradients = jax.random.normal(jax.random.key(0), (5, 3))
    got = run(config, "discriminator", gradients, jnp.zeros(3), 1000)[-1]
    m = v = p = np.zeros(3)
    for t, g in enumerate(np.asarray(gradients, np.float64), start=1):
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g * g
        p = p - max(0.01 / 1.5 ** (t - 1), 0.003) * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(got, p, rtol=1e-4)
