"""What Algorithm 1 says, checked on the step itself."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import algorithm1
from jaxgan.conditions import UNCONDITIONAL, Condition
from jaxgan.config.hparams import traced
from jaxgan.game import step, updates
from jaxgan.game.batches import Batch, Frame, TrainingSet, sample_data, sample_noise
from jaxgan.game.build import build
from jaxgan.game.gan import Gan
from jaxgan.game.sampling import sample
from jaxgan.game.state import run_stream, stream
from jaxgan.game.step import discriminator_step, generator_step
from jaxgan.networks.layers import DataSpec, output_bias
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from tests.conftest import IMAGES, LABELS
from tests.helpers.zoo_games import compiled

SGD = {
    f"optimizer.{player}.{field}": value
    for player in ("generator", "discriminator")
    for field, value in (("name", "sgd"), ("learning_rate", 0.1))
}


def equal(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def close(a, b, **tolerance) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_a_discriminator_step_moves_d_alone_and_uphill(game):
    gan, hparams, state, _ = g = game(**SGD)
    G, D = state.generator, state.discriminator
    x = gan.decode(jnp.asarray(IMAGES[: gan.batch_size]))
    batch = Batch(x, UNCONDITIONAL, g.noise())
    step = compiled(lambda D, hparams: discriminator_step(Frame(gan, hparams), G, D, batch))
    new, metrics = step(D, hparams)
    _, after = step(new, hparams)
    assert not equal(new.params, D.params)
    assert after["value"] > metrics["value"]  # same minibatch, same masks: V rises
    assert metrics["d_loss"] == pytest.approx(-float(metrics["value"]), rel=1e-6)  # undivided
    halved = step(D, hparams | {"objective.d_scale": np.float32(0.5)})
    assert halved[1]["d_loss"] == pytest.approx(-float(metrics["value"]) / 2, rel=1e-6)
    assert halved[1]["d_gradient_norm"] == pytest.approx(float(metrics["d_gradient_norm"]) / 2, rel=1e-5)


def test_a_generator_step_lowers_its_loss(game):
    g = game(**SGD | {"optimizer.generator.learning_rate": 1.0, "discriminator.irange": 0.5})
    step = compiled(lambda G: generator_step(g.frame, G, g.state.discriminator, Batch(None, UNCONDITIONAL, g.noise())))
    new, before = step(g.state.generator)
    _, after = step(new)
    assert after["g_loss"] < before["g_loss"]


def recorded(gan: Gan, monkeypatch) -> list[tuple]:
    """The steps of one iteration in order, each with its players and its batch by name, and its result."""
    calls = []
    for name in ("discriminator_step", "generator_step"):
        original = getattr(algorithm1, name)

        def wrapper(frame, G, D, batch, original=original, name=name):
            out = original(frame, G, D, batch)
            calls.append((name, {"G": G, "D": D, **batch._asdict()}, out))
            return out

        for module in (algorithm1, updates):
            monkeypatch.setattr(module, name, wrapper)
    return calls


@pytest.mark.parametrize("k", [1, 3])
def test_k_ascents_with_fresh_data_and_noise_then_one_descent(game, monkeypatch, eagerly, k):
    gan, hparams, state, data = game(**{"train.d_steps": k})
    calls = recorded(gan, monkeypatch)
    after, _ = algorithm1.train_step(gan=gan, hparams=hparams, state=state, data=data)
    assert [name for name, *_ in calls] == ["discriminator_step"] * k + ["generator_step"]
    batches = [np.asarray(given["x"]) for _, given, _ in calls[:k]]
    draws = [np.asarray(given["noise"].z) for _, given, _ in calls]
    assert len({z.tobytes() for z in draws}) == k + 1
    # No example twice within an epoch of 50.
    rows = np.concatenate(batches).reshape(k * gan.batch_size, -1)
    assert len(np.unique(rows, axis=0)) == k * gan.batch_size
    # Every D step uses the old G; the G step uses the newest D.
    for _, given, _ in calls[:k]:
        assert equal(given["G"].params, state.generator.params)
    assert equal(calls[-1][1]["D"].params, calls[k - 1][2][0].params)
    assert equal(after.discriminator.params, calls[k - 1][2][0].params)
    assert after.step == 1


def test_the_next_iteration_goes_on_in_the_data(game, monkeypatch, eagerly):
    gan, hparams, state, data = game(**{"train.d_steps": 2})
    calls = recorded(gan, monkeypatch)
    for _ in range(3):  # 48 of 50 examples
        state, _ = algorithm1.train_step(gan=gan, hparams=hparams, state=state, data=data)
    seen = np.concatenate([given["x"] for name, given, _ in calls if name == "discriminator_step"]).reshape(48, -1)
    assert len(np.unique(seen, axis=0)) == 48


def test_after_a_divergence_data_and_noise_are_others(game, monkeypatch, eagerly):
    """Both streams are re-keyed: a run that went back to a checkpoint must not walk the same way again."""
    gan, hparams, state, data = game()
    calls = recorded(gan, monkeypatch)
    for restores in (0, 1):
        again = state._replace(restores=jnp.uint32(restores))
        algorithm1.train_step(gan=gan, hparams=hparams, state=again, data=data)
    (first, _), (second, _) = ([given for _, given, _ in calls[2 * i : 2 * i + 2]] for i in range(2))
    assert not np.array_equal(first["x"], second["x"])
    assert not {row.tobytes() for row in np.asarray(first["noise"].z)} & {
        row.tobytes() for row in np.asarray(second["noise"].z)
    }


def test_the_2014_code_updates_both_players_at_the_same_point(game, monkeypatch, eagerly):
    gan, hparams, state, data = game(**{"train.update": "simultaneous", "objective.loss": "relativistic"})
    calls = recorded(gan, monkeypatch)
    algorithm1.train_step(gan=gan, hparams=hparams, state=state, data=data)
    d, g = (given for _, given, _ in calls)
    assert equal(g["D"].params, state.discriminator.params)
    assert equal(d["x"], g["x"])
    assert equal(d["noise"].z, g["noise"].z)
    assert equal(jax.random.key_data(d["noise"].fake_dropout_keys), jax.random.key_data(g["noise"].fake_dropout_keys))


def test_a_loss_that_needs_data_gets_fresh_ones_in_the_generators_step(game, monkeypatch, eagerly):
    """Of another order than D's, and each step others; a loss that does not is given none."""
    gan, hparams, state, data = game(**{"objective.loss": "relativistic"})
    calls = recorded(gan, monkeypatch)
    for _ in range(2):
        state, _ = algorithm1.train_step(gan=gan, hparams=hparams, state=state, data=data)
    batches = [np.asarray(given["x"]) for _, given, _ in calls]
    assert len({b.tobytes() for b in batches}) == 4
    plain = game()
    calls.clear()
    algorithm1.train_step(gan=plain.gan, hparams=plain.hparams, state=plain.state, data=plain.data)
    assert calls[-1][1]["x"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"objective.penalties.r1": 0.5, "objective.d_scale": 0.5},
        {"objective.loss": "least_squares", "objective.a": -1.0, "objective.c": 0.0},
        {"objective.loss": "relativistic_average", "conditional": "label", "objective.penalties.r2": 0.5},
    ],
)
def test_one_iteration_against_the_paper_written_out(game, changes):
    """A whole step, gradients and SGD, from the definitions with jax.grad alone; penalties and classes too."""
    gan, hparams, state, data = g = game(
        **SGD | {"discriminator.irange": 0.3, "discriminator.hidden_keep": 0.5} | changes
    )
    after, metrics = g.steps(1)
    expected = compiled(lambda: iteration_written_out(gan, hparams, state, data, changes))()
    close(after.discriminator.params, expected["theta_d"], rtol=1e-4, atol=1e-7)
    close(after.generator.params, expected["theta_g"], rtol=1e-4, atol=1e-7)
    names = ["d_loss", "g_loss"]
    if not any("penalties" in key for key in changes):
        names.append("d_gradient_norm")
    for name in names:
        assert metrics[name] == pytest.approx(float(expected[name]), rel=1e-5), name


def iteration_written_out(gan: Gan, hparams, state, data, changes) -> dict:
    """The parameters after an iteration at a learning rate of 0.1, both losses, and the norm of D's gradient."""
    examples = jnp.arange(gan.batch_size, dtype=jnp.uint32)
    key = jax.random.fold_in(run_stream(hparams, "train"), 0)
    (x, y), (fresh_x, fresh_y) = (
        sample_data(gan, run_stream(hparams, name), data, first=jnp.uint32(0), indices=examples)
        for name in ("order", "fresh")
    )
    first, second = (sample_noise(gan, hparams, jax.random.fold_in(key, j), examples) for j in range(2))
    theta_g, theta_d = state.generator.params, state.discriminator.params
    loss, scale = LOSSES[changes.get("objective.loss", "non_saturating")], changes.get("objective.d_scale", 1.0)
    numbers = {"a": -1.0, "c": 0.0} if "objective.a" in changes else {}
    G = lambda theta, z, y: gan.G(theta, {}, z, y)[0]  # noqa: E731
    D = lambda theta, x, y, keys: gan.D(theta, {}, x, y, keys)[0].logits  # noqa: E731

    def d_loss(theta):
        fake = D(theta, G(theta_g, first.z, y), y, first.fake_dropout_keys)
        return scale * jnp.mean(loss.discriminator(D(theta, x, y, first.real_dropout_keys), fake, **numbers))

    def descended(theta):
        total = d_loss(theta)
        fakes = jax.lax.stop_gradient(G(theta_g, first.z, y))
        for name, points, keys in (("r1", x, first.real_dropout_keys), ("r2", fakes, first.fake_dropout_keys)):
            if weight := changes.get(f"objective.penalties.{name}"):
                slope = jax.grad(lambda points, keys=keys: jnp.sum(D(theta, points, y, keys)))(points)
                total += weight / 2 * jnp.mean(jnp.sum(jnp.square(slope), axis=(1, 2, 3)))
        return total

    before, gradient = jax.value_and_grad(d_loss)(theta_d)  # of the G and the D that the step began with
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(gradient)))
    theta_d = jax.tree.map(lambda p, g: p - 0.1 * g, theta_d, jax.grad(descended)(theta_d))

    def g_loss(theta):
        real = D(theta_d, fresh_x, fresh_y, second.real_dropout_keys)
        fake = D(theta_d, G(theta, second.z, fresh_y), fresh_y, second.fake_dropout_keys)
        return jnp.mean(loss.generator(real, fake, **numbers))

    last, slope = jax.value_and_grad(g_loss)(theta_g)
    theta_g = jax.tree.map(lambda p, g: p - 0.1 * g, theta_g, slope)
    return {"theta_d": theta_d, "theta_g": theta_g, "d_loss": before, "g_loss": last, "d_gradient_norm": norm}


def test_a_penalty_makes_d_flatter_on_the_data_and_leaves_d_loss_alone(game):
    slopes, losses, reported = {}, {}, {}
    x = jnp.asarray(IMAGES, jnp.float32) / 255
    for weight in (1e-9, 1.0):
        g = game(**SGD | {"objective.penalties.r1": weight, "discriminator.irange": 0.5})
        after, metrics = g.steps(1)
        D = lambda x, g=g, theta=after.discriminator.params: g.gan.D(theta, {}, x)[0].logits  # noqa: E731
        slopes[weight] = float(jnp.mean(PENALTIES["r1"](D, x, None, None)))
        losses[weight], reported[weight] = float(metrics["d_loss"]), float(metrics["r1"])
    assert slopes[1.0] < slopes[1e-9]
    assert losses[1.0] == pytest.approx(losses[1e-9], rel=1e-5)
    assert reported[1.0] == pytest.approx(reported[1e-9], rel=1e-5)  # unweighted


def test_what_is_reported_of_d_follows_from_the_loss(game):
    probability = {"value", "d_real", "d_fake"}
    for loss, names in (("minimax", probability), ("hinge", {"real_logit", "fake_logit"})):
        g = game(**{"objective.loss": loss})
        metrics = algorithm1.zero_metrics(g.gan, g.hparams, g.state, g.data)
        assert metrics.keys() - {"d_loss", "g_loss", "d_gradient_norm", "g_gradient_norm"} == names


def test_both_players_are_conditioned_on_the_class(game, monkeypatch, eagerly):
    """In D's step these are the data's, for data and fakes; and a change of class changes G(z) and D(x)."""
    gan, hparams, state, data = g = game(conditional="label")
    calls = recorded(gan, monkeypatch)
    seen = []
    monkeypatch.setattr(
        step, "discriminate", lambda *a, original=step.discriminate, **k: seen.append(a[3]) or original(*a, **k)
    )
    algorithm1.train_step(gan=gan, hparams=hparams, state=state, data=data)
    d, last = (given for _, given, _ in calls)
    stored = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    labels = [stored[np.rint(255 * np.asarray(image)).astype(np.uint8).tobytes()] for image in d["x"]]
    assert np.array_equal(d["condition"].label, labels)
    assert len(set(labels)) > 1
    assert np.array_equal(seen[0].condition.label, [*labels, *labels])  # real, then fake
    assert np.array_equal(seen[1].condition.label, last["condition"].label)
    z = g.noise().z
    a, b = (Condition(label=jnp.full(gan.batch_size, label, jnp.int32)) for label in (0, 3))
    theta_g, theta_d = (jax.tree.map(lambda p: p + 0.1, p.params) for p in (state.generator, state.discriminator))
    assert not np.array_equal(gan.G(theta_g, {}, z, a)[0], gan.G(theta_g, {}, z, b)[0])
    outputs = [gan.D(theta_d, {}, d["x"], condition, None)[0].logits for condition in (a, b)]
    assert not np.array_equal(*outputs)


def test_many_steps_in_one_dispatch_are_the_steps_one_by_one(game):
    gan, hparams, state, data = game()
    zero = algorithm1.zero_metrics(gan, hparams, state, data)
    many = compiled(
        lambda s, sums, n: algorithm1.accumulate_steps(gan=gan, hparams=hparams, state=s, sums=sums, data=data, n=n)
    )
    together, sums = many(state, zero, jnp.uint32(6))
    apart, losses, running = state, [], zero
    for _ in range(6):
        before = float(running["g_loss"])
        apart, running = many(apart, running, jnp.uint32(1))
        losses.append(float(running["g_loss"]) - before)
    assert equal(together, apart)  # bit for bit: a run can be cut anywhere
    assert equal(sums, running)
    assert len(set(losses)) == 6
    assert together.step == 6


def test_dropout_keeps_the_mean_and_is_off_without_keys(game):
    gan, _, state, _ = game(**{"discriminator.hidden_keep": 0.5, "discriminator.input_keep": 0.8})
    x = gan.decode(jnp.asarray(IMAGES[:1]))
    keys = jax.random.split(jax.random.key(0), 2)
    theta = jax.tree.map(lambda p: p + 0.1, state.discriminator.params)
    both = gan.D(theta, {}, jnp.concatenate([x, x]), keys=keys)[0].logits
    assert both[0] != both[1]
    off = gan.D(theta, {}, jnp.concatenate([x, x]))[0].logits
    assert off[0] == off[1]


def test_samples_start_at_the_mean_image(game):
    """The output bias is the logit of the pixel means, clipped at 1e-7 as recipes have it."""
    mean = np.array([0.0, 0.5, 0.25, 1.0])
    bias = output_bias(mean, "sigmoid", 4)
    np.testing.assert_allclose(1 / (1 + np.exp(-bias.astype(np.float64))), mean, atol=2e-7)
    assert bias[0] == pytest.approx(np.log(1e-7), rel=1e-5)
    gan, hparams, state, _ = game()
    numbers = jnp.arange(500, dtype=jnp.uint32)
    draw = compiled(lambda i: sample(gan, hparams, state.generator.params, {}, key=jax.random.key(0), numbers=i))
    images = draw(numbers)
    np.testing.assert_allclose(images.mean(axis=0), IMAGES.mean(axis=0) / 255, atol=0.02)


def test_a_sample_does_not_depend_on_the_number_of_samples(game):
    gan, hparams, state, _ = game(conditional="label")
    draw = compiled(lambda i: sample(gan, hparams, state.generator.params, {}, key=jax.random.key(5), numbers=i))
    some, all_of_them = (np.asarray(draw(jnp.arange(*ends, dtype=jnp.uint32))) for ends in ((3, 6), (0, 10)))
    np.testing.assert_allclose(some, all_of_them[3:6], rtol=1e-6)
    assert len(np.unique(all_of_them.reshape(10, -1), axis=0)) == 10


def three_components(z):
    """Of deviation .1, at 0 and +-sqrt(3 / 2 (1 - .01)), a third of the samples each."""
    centre = np.sqrt(1.485)
    near = [z[np.abs(z - c) < 0.5] for c in (-centre, 0, centre)]
    means, deviations = [x.mean() for x in near], [x.std() for x in near]
    shares = [x.size / z.size for x in near]
    return all(
        np.allclose(*pair, atol=0.01) for pair in ((means, [-centre, 0, centre]), (deviations, 0.1), (shares, 1 / 3))
    )


@pytest.mark.parametrize(("changes", "check"), [
    ({"prior.name": "uniform"}, lambda z: np.abs(z).max() <= np.sqrt(3) and np.abs(z).max() > 1.7),
    ({"prior.name": "normal"}, lambda z: np.abs(z).max() > 3),
    ({"prior.name": "sphere"}, lambda z: np.allclose((z**2).sum(axis=1), z.shape[1], rtol=1e-5)),
    # Without what lies beyond .5, the deviation is sqrt(1 - 2 (.5) .352065 / .382925) = .283886.
    ({"prior.name": "truncated", "prior.threshold": 0.5}, lambda z: np.isclose(np.abs(z).max(), 0.5 / 0.283886, 1e-3)),
    ({"prior.name": "mixture", "prior.components": 3, "prior.deviation": 0.1}, three_components),
])  # fmt: skip
def test_priors_have_mean_0_and_variance_1(game, changes, check):
    gan, hparams, _, _ = game(**changes)
    z = np.asarray(jax.vmap(lambda k: gan.sample_z(hparams, k))(jax.random.split(jax.random.key(0), 4000)))
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.std() == pytest.approx(1, abs=0.02)
    assert check(z)


@pytest.mark.parametrize(("precision", "means"), [("highest", "HIGHEST"), ("high", "HIGH"), ("default", None)])
def test_precision_is_that_of_every_matrix_product(tiny_config, precision, means):
    """Of the gradients', too."""
    config = tiny_config(**{"train.precision": precision})
    gan, hparams = build(config, DataSpec((8, 8, 1), bounds=(0.0, 1.0)), 100), traced(config)
    data = TrainingSet(jnp.zeros((100, 8, 8, 1), jnp.uint8))
    train = lambda h, s: algorithm1.train_step(gan=gan, hparams=h, state=s, data=data)  # noqa: E731
    step = str(jax.make_jaxpr(train)(hparams, jax.eval_shape(gan.init, hparams)))
    found = re.findall(r"precision=\(Precision.(\w+), Precision.(\w+)\)", step)
    assert step.count("dot_general[") > 15
    assert found == ([(means, means)] * step.count("dot_general[") if means else [])
    assert "bf16" not in step and "reduce_precision" not in step


def test_streams_have_no_common_parents():
    """Parameters, order, noise, pictures, scores and users' samples of all seeds: no key leads to two of them."""
    names = ("init", "order", "train", "sample", "evaluate", "user", "fresh", "statistics")
    numbers = jnp.arange(1001, dtype=jnp.uint32)
    keys = [stream(seed, name, restores) for seed in range(4) for name in names for restores in range(2)]
    below = [jax.random.key_data(jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)) for key in keys]
    data = np.concatenate([np.stack([jax.random.key_data(key) for key in keys]), *below])
    assert data.shape == (64 * 1002, 2)
    assert len(np.unique(data, axis=0)) == len(data)
    # As a traced number and as one of Python a seed means the same, up to the largest.
    for seed in (0, 1, 2**31, 2**32 - 1):
        a, b = (jax.random.key_data(stream(s, "user")) for s in (seed, np.uint32(seed)))
        assert np.array_equal(a, b)
