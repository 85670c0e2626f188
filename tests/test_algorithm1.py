"""What Algorithm 1 says, checked on the step itself."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import algorithm1
from jaxgan.gan import Gan, build, output_bias, sample
from jaxgan.hparams import traced
from jaxgan.objectives.losses import discriminator_loss, non_saturating, r1
from jaxgan.state import stream

DATA = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)


@pytest.fixture
def game(tiny_config):
    def make(**changes):
        config = tiny_config(**changes)
        gan = build(config, (4, 4, 1), len(DATA), DATA.mean(axis=0) / 255)
        hparams = traced(config)
        return gan, hparams, gan.init(hparams)

    return make


def equal(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def noise(gan, hparams, key=0):
    return algorithm1.draw_noise(gan, hparams, jax.random.key(key), algorithm1.share(gan, None))


def test_a_discriminator_step_moves_d_alone_and_uphill(game):
    gan, hparams, state = game()
    G, D = state.generator, state.discriminator
    x = gan.decode(DATA[: gan.m])
    new, metrics = algorithm1.discriminator_step(gan, hparams, G, D, x, noise(gan, hparams), None)
    _, after = algorithm1.discriminator_step(gan, hparams, G, new, x, noise(gan, hparams), None)
    assert not equal(new.params, D.params)
    assert after["value"] > metrics["value"]  # same minibatch, same masks: V rises
    assert metrics["d_loss"] == pytest.approx(-float(metrics["value"]) / 2, rel=1e-6)


def test_a_generator_step_lowers_its_loss(game):
    gan, hparams, state = game(**{"optimizer.generator.learning_rate": 1.0, "discriminator.irange": 0.5})
    G, D = state.generator, state.discriminator
    new, before = algorithm1.generator_step(gan, hparams, G, D, noise(gan, hparams), None)
    _, after = algorithm1.generator_step(gan, hparams, new, D, noise(gan, hparams), None)
    assert after["g_loss"] < before["g_loss"]


def recorded(gan: Gan, monkeypatch) -> list[tuple]:
    """The steps of one iteration in order, with what each was given and gave."""
    calls = []
    for name in ("discriminator_step", "generator_step"):
        original = getattr(algorithm1, name)

        def wrapper(*args, original=original, name=name):
            out = original(*args)
            calls.append((name, args, out))
            return out

        monkeypatch.setattr(algorithm1, name, wrapper)
    return calls


@pytest.mark.parametrize("k", [1, 3])
def test_k_ascents_with_fresh_data_and_noise_then_one_descent(game, monkeypatch, k):
    gan, hparams, state = game(**{"train.d_steps": k})
    calls = recorded(gan, monkeypatch)
    with jax.disable_jit():
        after, _ = algorithm1.train_step(gan, hparams, state, jnp.asarray(DATA))
    assert [name for name, *_ in calls] == ["discriminator_step"] * k + ["generator_step"]
    batches = [np.asarray(args[4]) for _, args, _ in calls[:k]]
    draws = [np.asarray(args[5].z) for _, args, _ in calls[:k]] + [np.asarray(calls[-1][1][4].z)]
    assert len({b.tobytes() for b in batches}) == k
    assert len({z.tobytes() for z in draws}) == k + 1
    # No example twice within an epoch of 50.
    rows = np.concatenate(batches).reshape(k * gan.m, -1)
    assert len(np.unique(rows, axis=0)) == k * gan.m
    # Every D step sees the old G; the G step sees the newest D.
    for _, args, _ in calls[:k]:
        assert equal(args[2].params, state.generator.params)
    assert equal(calls[-1][1][3].params, calls[k - 1][2][0].params)
    assert equal(after.discriminator.params, calls[k - 1][2][0].params)
    assert after.step == 1


def test_the_2014_code_updates_both_players_at_the_same_point(game, monkeypatch):
    gan, hparams, state = game(**{"train.update": "simultaneous"})
    calls = recorded(gan, monkeypatch)
    with jax.disable_jit():
        algorithm1.train_step(gan, hparams, state, jnp.asarray(DATA))
    (_, d_args, _), (_, g_args, _) = calls
    assert equal(g_args[3].params, state.discriminator.params)
    assert equal(d_args[5].z, g_args[4].z)
    assert equal(jax.random.key_data(d_args[5].fake_keys), jax.random.key_data(g_args[4].fake_keys))


@pytest.mark.parametrize("penalty", [0.0, 0.5])
def test_one_iteration_against_the_paper_written_out(game, penalty):
    """A whole step, gradients and SGD with momentum, from the definitions with jax.grad alone; R1 too."""
    gan, hparams, state = game(**{"discriminator.gradient_penalty": penalty, "discriminator.irange": 0.3})
    after, metrics = jax.jit(lambda s: algorithm1.train_step(gan, hparams, s, jnp.asarray(DATA)))(state)
    examples = jnp.arange(gan.m, dtype=jnp.uint32)
    key = jax.random.fold_in(stream(hparams, "train"), 0)
    x = algorithm1.draw_data(gan, stream(hparams, "order"), jnp.asarray(DATA), jnp.uint32(0), examples)
    first, second = (algorithm1.draw_noise(gan, hparams, jax.random.fold_in(key, j), examples) for j in range(2))
    G, D = state.generator.params, state.discriminator.params

    def d_loss(D):
        real, fake = gan.D(D, x, first.real_keys), gan.D(D, gan.G(G, first.z), first.fake_keys)
        return jnp.mean(discriminator_loss(real, fake))

    def descended(D):
        slope = jax.vmap(jax.grad(lambda image, key: gan.D(D, image[None], key[None])[0]))(x, first.real_keys)
        return d_loss(D) + penalty / 2 * jnp.mean(jnp.sum(jnp.square(slope), axis=(1, 2, 3)))

    before = float(d_loss(D))  # of the G and the D that the step began with
    D = jax.tree.map(lambda p, g: p - 0.1 * g, D, jax.grad(descended)(D))
    g_loss = lambda G: jnp.mean(non_saturating(gan.D(D, gan.G(G, second.z), second.fake_keys)))  # noqa: E731
    G = jax.tree.map(lambda p, g: p - 0.1 * g, G, jax.grad(g_loss)(G))
    for got, want in ((after.discriminator.params, D), (after.generator.params, G)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), got, want)
    assert metrics["d_loss"] == pytest.approx(before, rel=1e-5)


def test_r1_is_half_the_squared_slope_of_the_logit():
    x = jnp.asarray([[1.0, 2.0], [3.0, -1.0]])
    D = lambda x, keys: jnp.square(x[:, 0]) + 3 * x[:, 1]  # slopes (2 x_0, 3)  # noqa: E731
    np.testing.assert_allclose(r1(D, x, jax.random.split(jax.random.key(0), 2)), [(4 + 9) / 2, (36 + 9) / 2])


def test_the_gradient_penalty_makes_d_flatter_on_the_data_and_leaves_d_loss_alone(game):
    slopes = {}
    for gamma in (0.0, 1.0):
        gan, hparams, state = game(
            **{"discriminator.gradient_penalty": gamma, "discriminator.input_keep": 1.0, "discriminator.irange": 0.5}
        )
        step = jax.jit(lambda s, gan=gan, hparams=hparams: algorithm1.train_step(gan, hparams, s, jnp.asarray(DATA)))
        after, metrics = step(state)
        x = gan.decode(jnp.asarray(DATA))
        slopes[gamma] = float(jnp.mean(r1(lambda x, _: gan.D(after.discriminator.params, x), x, None)))  # noqa: B023
        slopes["d_loss", gamma] = float(metrics["d_loss"])
    assert slopes[1.0] < slopes[0.0]
    assert slopes["d_loss", 0.0] == pytest.approx(slopes["d_loss", 1.0], rel=1e-5)


def test_the_average_of_theta_g_is_what_samples_come_from(game):
    """Against a weighted mean in float64; and D and G learn as they do without it."""
    power = 3.0
    gan, hparams, state = game(**{"generator.average": power})
    plain, _, other = game()
    step = jax.jit(lambda s: algorithm1.train_step(gan, hparams, s, jnp.asarray(DATA))[0])
    same = jax.jit(lambda s: algorithm1.train_step(plain, hparams, s, jnp.asarray(DATA))[0])
    assert other.theta_g is other.generator.params
    past = []
    for t in range(1, 13):
        state, other = step(state), same(other)
        past.append(jax.tree.leaves(state.generator.params))
        weights = [s * (s + 1) for s in range(1, t + 1)]  # of power 3: s (s + 1), which grows as s^2
        for got, *thetas in zip(jax.tree.leaves(state.theta_g), *past, strict=True):
            expected = np.average(np.asarray(thetas, np.float64), axis=0, weights=weights)
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        (state.generator, state.discriminator),
        (other.generator, other.discriminator),
    )
    assert not equal(state.theta_g, state.generator.params)


def test_many_steps_in_one_dispatch_are_the_steps_one_by_one(game):
    gan, hparams, state = game()
    data = jnp.asarray(DATA)
    many = jax.jit(lambda s, n: algorithm1.train_steps(gan, hparams, s, data, n))
    together, mean = many(state, jnp.uint32(6))
    apart, losses = state, []
    for _ in range(6):
        apart, metrics = many(apart, jnp.uint32(1))
        losses.append(float(metrics["g_loss"]))
    assert equal(together, apart)  # bit for bit: a run can be cut anywhere
    assert mean["g_loss"] == pytest.approx(np.mean(losses), rel=1e-6)


def test_dropout_keeps_the_mean_and_is_off_without_keys(game):
    gan, _, state = game(**{"discriminator.hidden_keep": 0.5, "discriminator.input_keep": 0.8})
    x = gan.decode(DATA[:1])
    keys = jax.random.split(jax.random.key(0), 2)
    theta = jax.tree.map(lambda p: p + 0.1, state.discriminator.params)
    both = gan.D(theta, jnp.concatenate([x, x]), keys)
    assert both[0] != both[1]
    off = gan.D(theta, jnp.concatenate([x, x]))
    assert off[0] == off[1]


def test_samples_start_at_the_mean_image(game):
    """The output bias is the logit of the pixel means, clipped at 1e-7 as recipes have it."""
    mean = np.array([0.0, 0.5, 0.25, 1.0])
    bias = output_bias(mean, "sigmoid")
    np.testing.assert_allclose(1 / (1 + np.exp(-bias.astype(np.float64))), mean, atol=2e-7)
    assert bias[0] == pytest.approx(np.log(1e-7), rel=1e-5)
    gan, hparams, state = game()
    images = sample(gan, hparams, state.generator.params, jax.random.key(0), jnp.arange(500, dtype=jnp.uint32))
    np.testing.assert_allclose(images.mean(axis=0), DATA.mean(axis=0) / 255, atol=0.02)


def test_a_sample_does_not_depend_on_how_many_are_drawn(game):
    gan, hparams, state = game()
    draw = lambda i: sample(gan, hparams, state.generator.params, jax.random.key(5), i)  # noqa: E731
    np.testing.assert_allclose(
        draw(jnp.arange(3, 6, dtype=jnp.uint32)), draw(jnp.arange(10, dtype=jnp.uint32))[3:6], rtol=1e-6
    )


@pytest.mark.parametrize(("name", "check"), [
    ("uniform", lambda z: np.abs(z).max() <= np.sqrt(3) and np.abs(z).max() > 1.7),
    ("normal", lambda z: np.abs(z).max() > 3),
    ("sphere", lambda z: np.allclose((z**2).sum(axis=1), z.shape[1], rtol=1e-5)),
])  # fmt: skip
def test_priors_have_mean_0_and_variance_1(game, name, check):
    gan, hparams, _ = game(**{"prior.name": name})
    z = np.asarray(jax.vmap(lambda k: gan.draw_z(hparams, k))(jax.random.split(jax.random.key(0), 4000)))
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.std() == pytest.approx(1, abs=0.02)
    assert check(z)


@pytest.mark.parametrize(("precision", "means"), [("highest", "HIGHEST"), ("high", "HIGH"), ("default", None)])
def test_precision_is_that_of_every_matrix_product(tiny_config, precision, means):
    """Of the gradients', too."""
    config = tiny_config(**{"train.precision": precision})
    gan, hparams = build(config, (8, 8, 1), 100), traced(config)
    data = jnp.zeros((100, 8, 8, 1), jnp.uint8)
    step = str(jax.make_jaxpr(lambda h, s: algorithm1.train_step(gan, h, s, data))(hparams, gan.init(hparams)))
    found = re.findall(r"precision=\(Precision.(\w+), Precision.(\w+)\)", step)
    assert step.count("dot_general[") > 15
    assert found == ([(means, means)] * step.count("dot_general[") if means else [])
