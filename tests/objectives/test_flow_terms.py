"""The terms of adversarial flow models by hand: centering, transport, and the gradient between D and G."""

from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.algorithm1 import train_step
from jaxgan.config import default, update, validate
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.gradient_normalization import GradientNormalization
from jaxgan.objectives.terms.centering import Centering, squared_sums
from jaxgan.objectives.terms.transport import Transport, transport_cost


def test_centering_is_the_mean_square_of_sums_and_moves_a_common_level():
    def value(real, fake):
        return squared_sums(Centering(), SimpleNamespace(real_logits=real, fake_logits=fake))

    real, fake = jnp.array([1.0, -2.0]), jnp.array([3.0, 0.0])
    assert float(value(real, fake)) == (16 + 4) / 2
    # Logits c - d on data and c + d on fakes: 4 c^2 whatever d, so no pull on the difference.
    level, difference = jax.grad(lambda c, d: value(c - d + 0 * real, c + d + 0 * real), (0, 1))(0.3, 0.7)
    assert float(level) == pytest.approx(8 * 0.3) and float(difference) == pytest.approx(0, abs=1e-6)


def test_transport_is_the_mean_squared_distance_over_elements():
    z = jnp.array([[1.0, 2.0, 3.0, 4.0]])
    fake = z.reshape(1, 2, 2, 1) + jnp.array([1.0, 0.0, 0.0, 3.0]).reshape(1, 2, 2, 1)
    assert float(transport_cost(Transport(), SimpleNamespace(fake=fake, z=z))) == 10 / 4
    config = update(default(), {"objective.transport.weight": 0.1, "generator.output": "linear", "prior.size": 3})
    with pytest.raises(UserError, match=r"prior\.size=2"):
        build(config, DataSpec((2,)), 100)
    build(update(config, {"prior.size": 2}), DataSpec((2,)), 100)


def test_the_factor_by_hand():
    """v = .9 (4) + .1 (.5) 6 = 3.9."""
    factor, mean_square = GradientNormalization(target=2.0)(jnp.float32(4), jnp.float32(0.5), 6)
    assert float(mean_square) == pytest.approx(3.9) and float(factor) == pytest.approx(2 / np.sqrt(3.9))


@cache
def game(m: int = 4, **changes):
    """G is a point theta, D(x) = psi x with psi at 5 and fixed, under the Wasserstein loss: G's gradient is -psi."""
    base = {"generator.name": "toy", "discriminator.name": "toy", "objective.loss": "wasserstein", "prior.size": 1,
            "train.batch_size": m, "discriminator.start": 5.0} | changes  # fmt: skip
    base |= {f"optimizer.{player}.name": "sgd" for player in ("generator", "discriminator")}
    config = update(default(), base | {"optimizer.generator.learning_rate": 0.1})
    validate(config)
    gan, hparams = build(config, DataSpec((1,)), 16), traced(config)
    hparams |= {"optimizer.discriminator.learning_rate": np.float32(0)}
    return gan, hparams, gan.init(hparams), TrainingSet(jnp.zeros((16, 1)))


@pytest.mark.parametrize("start", [5.0, 0.05])
@pytest.mark.parametrize("m", [2, 8])
def test_steps_of_g_do_not_depend_on_the_scale_of_d(start, m):
    """|g|^2 N = psi^2: steps of lr t / sqrt(1 - .9^n), the first sqrt 10 times that of the limit."""
    fields = {"objective.gradient_normalization.target": 0.7, "discriminator.start": start}
    gan, hparams, state, data = game(m, **fields)
    for n in range(1, 4):
        after, _ = train_step(gan=gan, hparams=hparams, state=state, data=data)
        moved = float(after.generator.params["theta"][0] - state.generator.params["theta"][0])
        assert moved == pytest.approx(0.1 * 0.7 / np.sqrt(1 - 0.9**n), rel=1e-5)
        state = after


def test_a_term_of_g_keeps_its_scale():
    """The transport term is not normalized: theta - z pulls with its own weight, here z = 0 in expectation."""
    fields = {"objective.gradient_normalization.target": 0.7, "objective.transport.weight": 0.25}
    gan, hparams, state, data = game(**fields)
    gan = gan._replace(sample_z=lambda hparams, key: jnp.zeros((1,)))
    after, metrics = train_step(gan=gan, hparams=hparams, state=state, data=data)
    theta = float(state.generator.params["theta"][0])
    moved = float(after.generator.params["theta"][0]) - theta
    assert moved == pytest.approx(0.1 * (0.7 / np.sqrt(0.1) - 0.25 * 2 * theta), rel=1e-5)
    assert float(metrics["transport"]) == pytest.approx(0.25 * theta**2)


@pytest.mark.parametrize("what", ["accumulate", "categories"])
def test_refusals(what):
    changes = {
        "accumulate": {"train.accumulate": 2, "objective.gradient_normalization.target": 1.0},
        "categories": {"objective.code.categories": 3, "objective.code.weight": 1.0,
                       "objective.latent_optimization.rate": 0.9},
    }[what]  # fmt: skip
    with pytest.raises(UserError, match=what):
        validate(update(default(), changes))
