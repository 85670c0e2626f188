"""L1 and L2 of conditional samples: by hand, over hidden entries, and in the step of G."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.conditions import Condition
from jaxgan.config import default, update, validate
from jaxgan.errors import UserError
from jaxgan.game.batches import Batch, Frame, sample_noise
from jaxgan.game.step import generator_step
from jaxgan.objectives.terms.paired import mean_of_hidden
from tests.helpers import zoo_games as zoo


def test_the_mean_is_over_hidden_entries():
    errors = jnp.array([[1.0, 2.0, 6.0], [1.0, 2.0, 6.0], [4.0, 4.0, 4.0]])
    mask = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(mean_of_hidden(errors, mask), [4, 3, 0])
    np.testing.assert_allclose(mean_of_hidden(errors, None), [3, 3, 4])


@pytest.mark.parametrize("conditional", ["half_mask", "noisy"])
def test_the_terms_are_errors_of_the_samples_of_the_step(conditional):
    weights = {"objective.paired.l1": 3.0, "objective.paired.l2": 0.5}
    game = zoo.game("paired", zoo.family("mlp", "mlp") | zoo.SGD | weights | {"conditional": conditional})
    state = zoo.compiled(game.gan.init)(game.hparams)

    x = game.gan.decode(game.data.x[: zoo.M])
    noise = sample_noise(game.gan, game.hparams, jax.random.key(0), jnp.arange(zoo.M, dtype=jnp.uint32))
    told = game.gan.condition(game.hparams, x, Condition(), noise.condition_keys)
    batch = Batch(x, told, noise)
    step = zoo.compiled(lambda: generator_step(Frame(game.gan, game.hparams), *state[2:4], batch))
    _, metrics = step()
    G = state.generator
    error = np.asarray(game.gan.G(G.params, G.stats, noise.z, told)[0]) - np.asarray(x)
    scored = np.ones_like(error) if told.mask is None else 1 - np.broadcast_to(told.mask, error.shape)
    assert metrics["paired_l1"] == pytest.approx(3 * (np.abs(error) * scored).sum() / scored.sum(), rel=1e-5)
    assert metrics["paired_l2"] == pytest.approx(0.5 * (error**2 * scored).sum() / scored.sum(), rel=1e-5)


def test_an_unconditional_game_has_no_pairs():
    with pytest.raises(UserError, match=r"objective\.paired compares samples .*; set condition\.name"):
        validate(update(default(), {"objective.paired.l1": 1.0}))
