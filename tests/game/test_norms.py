"""Batch statistics as state: which player they belong to, when they are updated, and which ones samples use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import algorithm1
from jaxgan.conditions import UNCONDITIONAL
from jaxgan.evaluation.samples import sample_stream
from jaxgan.game.batches import Batch
from jaxgan.game.sampling import STATISTICS_BATCHES, sample_inputs, standing_statistics
from jaxgan.game.state import run_stream
from jaxgan.game.step import discriminator_step
from jaxgan.networks.norms import MOMENTUM, BatchNorm
from tests.conftest import IMAGES
from tests.helpers import normalized

STATS = "batch_stats"


@pytest.fixture(scope="module")
def norm_game(game):
    """The game of tests/helpers/normalized.py, whose changes are fields of the configuration."""
    normalized.register()
    perceptron = ("generator.hidden", "generator.activations", "discriminator.hidden")

    def make(**changes):
        return game(without=perceptron, **normalized.NAMES, **changes)

    yield make
    normalized.unregister()


def float64(tree):
    return jax.tree.map(lambda a: np.asarray(a, np.float64), tree)


def normalize(x, scale, bias, mean, variance, eps=1e-5):
    return (x - mean) / np.sqrt(variance + eps) * scale + bias


@pytest.mark.parametrize("shape", [(7, 3), (5, 4, 6, 3)])
def test_the_formula_against_float64(shape):
    """arXiv:1502.03167, Algorithm 1: variance with divisor n, eps inside the root; running values for evaluation."""
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, shape).astype(np.float32)
    norm, axes = BatchNorm(), tuple(range(len(shape) - 1))
    variables = norm.init(jax.random.key(0), jnp.asarray(x))
    assert not np.any(variables[STATS]["mean"])
    assert np.all(np.asarray(variables[STATS]["variance"]) == 1)
    scale, bias = rng.normal(1, 0.1, 3).astype(np.float32), rng.normal(size=3).astype(np.float32)
    variables = {"params": {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}, STATS: variables[STATS]}
    out, new = norm.apply(variables, jnp.asarray(x), mutable=[STATS])
    x = x.astype(np.float64)
    mean, variance = x.mean(axis=axes), x.var(axis=axes)
    np.testing.assert_allclose(out, normalize(x, scale, bias, mean, variance), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(new[STATS]["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(new[STATS]["variance"], 0.9 + 0.1 * variance, rtol=1e-5)
    out = norm.apply({**variables, **new}, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(out, normalize(x, scale, bias, 0.1 * mean, 0.9 + 0.1 * variance), rtol=1e-4, atol=1e-5)


def layer_input(params, x):
    """The input of D's normalization layer, float64."""
    return x.reshape(len(x), -1) @ float64(params["Dense_0"]["kernel"])


def d_by_hand(params, x):
    """D(x) normalized by the statistics of x, float64."""
    h = layer_input(params, x)
    norm, last = float64(params["BatchNorm_0"]), float64(params["Dense_1"])
    h = normalize(h, norm["scale"], norm["bias"], h.mean(axis=0), h.var(axis=0))
    return (np.where(h > 0, h, 0.01 * h) @ last["kernel"] + last["bias"])[:, 0]


def test_real_then_fake_each_by_its_own_and_running_statistics_chained(norm_game):
    """Not both together, and not both from the same start: the second pass goes on from the first."""
    gan, _, state, _ = g = norm_game()
    x = gan.decode(jnp.asarray(IMAGES[: gan.batch_size]))
    noise = g.noise()
    G, D = state.generator, state.discriminator
    new, metrics = discriminator_step(g.frame, G, D, Batch(x, UNCONDITIONAL, noise))
    fake, _ = gan.G(G.params, G.stats, noise.z, train=True)
    real, fake = np.asarray(x, np.float64), np.asarray(fake, np.float64)
    real_logits, fake_logits = d_by_hand(D.params, real), d_by_hand(D.params, fake)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    assert metrics["d_real"] == pytest.approx(sigmoid(real_logits).mean(), rel=1e-4)
    assert metrics["d_fake"] == pytest.approx(sigmoid(fake_logits).mean(), rel=1e-4)
    moments = [(h.mean(axis=0), h.var(axis=0)) for h in (layer_input(D.params, real), layer_input(D.params, fake))]
    (real_mean, real_variance), (fake_mean, fake_variance) = moments
    found = new.stats[STATS]["BatchNorm_0"]
    np.testing.assert_allclose(found["mean"], 0.9 * (0.1 * real_mean) + 0.1 * fake_mean, rtol=1e-4, atol=1e-6)
    expected = 0.9 * (0.9 + 0.1 * real_variance) + 0.1 * fake_variance
    np.testing.assert_allclose(found["variance"], expected, rtol=1e-4)
    # Neither pass is lost: what only one of them would leave is something else.
    for only in (0.1 * real_mean, 0.1 * fake_mean):
        assert np.abs(np.asarray(found["mean"]) - only).max() > 1e-3


def test_each_step_moves_the_statistics_of_its_player_alone(norm_game, monkeypatch, eagerly):
    g = norm_game(**{"train.d_steps": 2, "objective.loss": "relativistic"})
    gan, hparams, state, data = g
    calls = []
    for name in ("discriminator_step", "generator_step"):
        step = getattr(algorithm1, name)
        monkeypatch.setattr(
            algorithm1,
            name,
            lambda frame, G, D, batch, step=step: (
                calls.append(({"G": G, "D": D}, step(frame, G, D, batch))) or calls[-1][1]
            ),
        )
    after, _ = algorithm1.train_step(gan=gan, hparams=hparams, state=state, data=data)
    mean = lambda player: np.asarray(jax.tree.leaves(player.stats)[0])  # noqa: E731
    (first, (d1, _)), (second, (d2, _)), (last, (g1, _)) = calls
    assert np.array_equal(
        mean(first["G"]), mean(state.generator)
    )  # D's steps generate fakes, but leave G's statistics unchanged
    assert np.array_equal(mean(second["G"]), mean(state.generator))
    assert np.array_equal(mean(second["D"]), mean(d1))  # chained over the k steps
    assert not np.array_equal(mean(d1), mean(d2))
    assert np.array_equal(
        mean(after.discriminator), mean(d2)
    )  # G's step evaluates D on data and fakes, but leaves its statistics unchanged
    assert np.array_equal(mean(last["G"]), mean(state.generator))
    assert not np.array_equal(mean(g1), mean(state.generator))
    assert np.array_equal(mean(after.generator), mean(g1))


def test_samples_use_statistics_of_the_very_parameters_that_are_sampled(norm_game):
    """Measured anew for theta_g and for each of its averages; the running ones that training left play no part."""
    g = norm_game(**{"generator.ema.gamma": (1.0,), "optimizer.generator.learning_rate": 0.05})
    gan, hparams, state, _ = g
    state, _ = g.steps(3)
    keys = jax.vmap(
        lambda i: jax.random.fold_in(
            jax.random.fold_in(run_stream(hparams, "statistics"), i // gan.batch_size), i % gan.batch_size
        )
    )
    z, _ = sample_inputs(gan, hparams, keys(jnp.arange(gan.batch_size * STATISTICS_BATCHES, dtype=jnp.uint32)))
    found = {}
    for name, params in (("theta_g", state.generator.params), ("average", state.averages[0])):
        found[name] = jax.jit(lambda p: standing_statistics(gan, hparams, p, state.generator.stats))(params)
        h = (np.asarray(z, np.float64) @ float64(params["Dense_0"]["kernel"])).reshape(
            STATISTICS_BATCHES, gan.batch_size, -1
        )
        weights = MOMENTUM ** np.arange(STATISTICS_BATCHES - 1, -1, -1)
        expected = {"mean": h.mean(axis=1), "variance": h.var(axis=1)}
        for moment, values in expected.items():
            got = found[name][STATS]["BatchNorm_0"][moment]
            np.testing.assert_allclose(got, np.average(values, axis=0, weights=weights), rtol=1e-3, atol=1e-4)
    key = run_stream(hparams, "user")
    for ema, name, params in ((None, "theta_g", state.generator.params), (0, "average", state.averages[0])):
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(5, dtype=jnp.uint32))
        z, _ = sample_inputs(gan, hparams, keys)
        expected = gan.G(params, found[name], z)[0]
        np.testing.assert_allclose(sample_stream(gan, hparams, state, key, 5, ema=ema), expected, rtol=1e-4, atol=1e-6)
        # ... whatever training left behind.
        other = state._replace(
            generator=state.generator._replace(stats=jax.tree.map(lambda s: s + 1, state.generator.stats))
        )
        np.testing.assert_allclose(sample_stream(gan, hparams, other, key, 5, ema=ema), expected, rtol=1e-4, atol=1e-6)


def test_evaluating_d_uses_its_running_statistics(norm_game):
    gan, _, state, _ = norm_game()
    D, x = state.discriminator, gan.decode(jnp.asarray(IMAGES[:3]))
    output, stats = gan.D(D.params, D.stats, x)
    alone = jnp.concatenate([gan.D(D.params, D.stats, x[i : i + 1])[0].logits for i in range(3)])
    np.testing.assert_allclose(output.logits, alone, rtol=1e-5, atol=1e-6)
    assert stats is D.stats
