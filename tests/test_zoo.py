"""Every member of every table meets these tests; a new member is tested without writing one.

What they ask is said in docs/extending.md. What a member computes is tested where it lives.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.augment import AUGMENTS
from jaxgan.conditions import CONDITIONS, Condition
from jaxgan.data import Dataset
from jaxgan.data.mixture import load as load_mixture
from jaxgan.features import space as spaces
from jaxgan.game.batches import Batch, Frame, sample_noise
from jaxgan.game.build import player_optimizer
from jaxgan.game.state import all_finite
from jaxgan.game.step import discriminator_step, generator_step
from jaxgan.metrics import METRICS
from jaxgan.metrics.protocol import PLAYER_INPUTS
from jaxgan.networks import DISCRIMINATORS, GENERATORS
from jaxgan.networks.layers import DataSpec
from jaxgan.networks.norms import STATISTICS
from jaxgan.networks.spectral import SPECTRAL
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.optimizers import OPTIMIZERS
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.schedules import SCHEDULES
from tests.helpers import zoo_games as zoo

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SPEC = DataSpec(zoo.SHAPE, zoo.CLASSES, (0.0, 1.0), zoo.X.mean(axis=0) / 255)


def close(a, b, **tolerance) -> None:
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def rounding(name: str) -> int:
    """How much larger rounding errors are than elsewhere: a finite difference divides those of D by its deviation."""
    return 100 if name.endswith("finite_difference") else 1


def equal(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


# --- Losses and penalties: functions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_finite_number_per_example(name):
    """Of the logits' type, with finite gradients however sure D is, and the same under jit and vmap."""
    loss = LOSSES[name]
    real, fake = (jnp.asarray(np.random.default_rng(i).normal(0, 3, (2, 6)), jnp.float32) for i in range(2))
    sure = jnp.asarray([-300.0, -1.0, 0.0, 1.0, 300.0, 40.0])

    def everything(real, fake):
        sums = [lambda r, f, part=part: jnp.sum(part(r, f)) for part in (loss.discriminator, loss.generator)]
        return (*(part(real, fake) for part in (loss.discriminator, loss.generator)),
                *(jax.grad(s, (0, 1))(real, fake) for s in sums))  # fmt: skip

    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(everything(sure, -sure)))
    for part in (loss.discriminator, loss.generator):
        out = part(real[0], fake[0])
        assert (out.shape, out.dtype) == ((6,), jnp.float32)
        if not (loss.needs_real or part is loss.discriminator):
            assert equal(out, part(None, fake[0]))
    apart = [everything(real[i], fake[i]) for i in range(2)]
    together = jax.jit(jax.vmap(everything))(real, fake)
    close(together, jax.tree.map(lambda *x: jnp.stack(x), *apart), rtol=1e-5, atol=1e-6)
    # D ascends on data, and both players pull at the logits that they can move.
    d_gradients, g_gradients = apart[0][2:]
    assert float(jnp.sum(d_gradients[0])) < 0 < float(jnp.sum(d_gradients[1]))
    assert float(jnp.sum(g_gradients[1])) < 0


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_is_a_finite_number_per_example(name):
    """Also where D is flat, where the gradient of a norm is NaN; it pulls at D's slope, and not at G."""
    x, fake = (jnp.asarray(np.random.default_rng(i).uniform(size=(4, 3, 2)), jnp.float32) for i in range(2))
    keys = jax.random.split(jax.random.key(0), 4)

    def mean(w, x, fake):
        D = lambda x: jnp.sum(jnp.tanh(x @ w), axis=(1, 2))  # noqa: E731
        return jnp.mean(PENALTIES[name](D, x, fake, keys))

    w = jnp.asarray(np.random.default_rng(2).normal(0, 2, (3, 2, 2)), jnp.float32)
    value, (to_d, to_fake) = jax.value_and_grad(mean, (0, 2))(w[0], x, fake)
    assert math.isfinite(value) and value > 0
    assert all_finite(to_d) and np.any(to_d)
    assert not np.any(to_fake)  # the points are constants
    flat = jax.value_and_grad(mean)(jnp.zeros((2, 2)), x, fake)
    assert all_finite(flat)
    out = PENALTIES[name](lambda x: jnp.sum(x, axis=(1, 2)), x, fake, keys)
    assert (out.shape, out.dtype) == ((4,), jnp.float32)
    vmapped = jax.jit(jax.vmap(mean, (0, None, None)))(w, x, fake)
    close(vmapped, jnp.stack([mean(w[i], x, fake) for i in range(3)]), rtol=1e-5)


# --- Losses and penalties: in the step --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def every():
    """The game of all losses and penalties, their numbers by name, and what starts and plays it, compiled."""
    game, cases = zoo.every_loss_and_penalty()
    return game, cases, zoo.compiled(game.gan.init), zoo.compiled(zoo.player(game))


def test_a_member_of_a_population_is_the_single_run(every):
    """Each loss and penalty is a member of one population, trains, and stays finite."""
    game, cases, init, play = every
    hparams = {key: np.stack([case[key] for case in cases.values()]) for key in next(iter(cases.values()))}
    n = np.uint32(zoo.STEPS)
    one = zoo.player(game)
    population = zoo.compiled(lambda hparams: jax.lax.map(lambda h: one(h, game.gan.init(h), n), hparams))
    members = population(hparams)
    for i, (name, case) in enumerate(cases.items()):
        start = init(case)
        state, sums = play(case, start, n)
        member = jax.tree.map(lambda x, i=i: x[i], members)
        less = rounding(name)
        close(member, (state, sums), rtol=less * 1e-5, atol=less * 1e-6)
        assert all_finite((state, sums)), name
        for player in ("generator", "discriminator"):
            assert not equal(getattr(state, player).params, getattr(start, player).params), (name, player)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_by_its_name_in_the_configuration(every, name):
    """One step of each player, not compiled, is what the compiled program of all losses does."""
    game, cases, *_ = every
    single = zoo.game(name, zoo.family("mlp", "mlp") | zoo.SGD | {"objective.loss": name})
    G, D, batch = _players_and_batch(single)

    def steps(gan, hparams):
        frame = Frame(gan, hparams)
        new_d, d_metrics = discriminator_step(frame, G, D, batch)
        new_g, g_metrics = generator_step(frame, G, D, batch)
        losses = {"d_loss": d_metrics["d_loss"], "g_loss": g_metrics["g_loss"]}
        return new_g.params, new_d.params, losses

    compiled = steps_of_all(game, steps)
    close(compiled(cases[name]), steps(single.gan, single.hparams), rtol=1e-4, atol=1e-6)


_COMPILED: list = []


def steps_of_all(game, steps):
    """`steps` of the game of all losses, compiled once."""
    if not _COMPILED:
        gan = game.gan._replace(objective=game.gan.objective._replace(penalties=()))
        _COMPILED.append(zoo.compiled(lambda hparams: steps(gan, hparams)))
    return _COMPILED[0]


def _players_and_batch(game: zoo.Game):
    state = zoo.compiled(game.gan.init)(game.hparams)
    indices = jnp.arange(zoo.M, dtype=jnp.uint32)
    noise = sample_noise(game.gan, game.hparams, jax.random.key(1), indices)
    batch = Batch(game.gan.decode(game.data.x[: zoo.M]), Condition(label=game.data.y[: zoo.M]), noise)
    return state.generator, state.discriminator, batch


# --- Networks, optimizers, schedules, augmentations: in the step ------------------------------------------------------

COVERING = zoo.covering_games()


# Compiled once, for two tests.
STARTS = {game.name: zoo.compiled(game.gan.init) for game in COVERING}
PLAYERS = {game.name: zoo.compiled(zoo.player(game)) for game in COVERING}


@pytest.mark.parametrize("game", COVERING, ids=lambda game: game.name)
def test_a_game_trains_resumes_and_is_kept(game, tmp_path):
    """Finite; both players move; cut anywhere it is the same; its state survives the disk bit for bit."""
    play, n = PLAYERS[game.name], zoo.STEPS
    start = STARTS[game.name](game.hparams)
    state, sums = play(game.hparams, start, np.uint32(n))
    assert all_finite((state, sums))
    assert state.step == n
    for player in ("generator", "discriminator"):
        assert not equal(getattr(state, player).params, getattr(start, player).params), player
    some, _ = play(game.hparams, start, np.uint32(1))
    with Checkpoints(tmp_path / "checkpoints", keep=1, best_key="selection") as checkpoints:
        checkpoints.save(1, some, metrics={})
        step, restored = checkpoints.restore(jax.eval_shape(game.gan.init, game.hparams))
    assert step == 1
    assert equal(restored, some)
    assert jax.tree.structure(restored) == jax.tree.structure(some)
    assert equal(play(game.hparams, jax.device_put(restored), np.uint32(n - 1))[0], state)


@pytest.mark.exhaustive
def test_two_devices_are_one(every, tmp_path):
    """For every loss, penalty, family, optimizer, schedule and augmentation, in one process with two CPU devices."""
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(zoo.__file__)), str(tmp_path / "two.npz")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    two = np.load(tmp_path / "two.npz")
    assert two["devices"] == 2
    _, cases, *compiled = every
    one = zoo.outcomes(cases, *compiled)
    for name, covering in ((game.name, game) for game in COVERING):
        one |= zoo.outcomes({name: covering.hparams}, STARTS[name], PLAYERS[name])
    assert len(two.files) == 1 + sum(map(len, one.values()))
    for name, leaves in one.items():
        for i, leaf in enumerate(leaves):
            less = rounding(name)
            np.testing.assert_allclose(two[f"{name}#{i}"], leaf, rtol=less * 2e-4, atol=less * 2e-5, err_msg=name)


FAMILIES = {("generator", name): module for name, module in GENERATORS.items()} | {
    ("discriminator", name): module for name, module in DISCRIMINATORS.items()
}


@pytest.mark.parametrize("family", FAMILIES, ids=" ".join)
def test_a_network_has_the_shapes_of_its_side(family):
    """Also without classes, under jit and vmap; what it updates is where the step expects it."""
    player, name = family
    fields = zoo.TINY[player].get(name, {})
    inputs = jax.random.uniform(jax.random.key(0), (5, 4) if player == "generator" else (5, *zoo.SHAPE))
    expected = (5, *zoo.SHAPE) if player == "generator" else (5,)
    keys = () if player == "generator" else (jax.random.split(jax.random.key(1), 5),)
    for classes in (0, zoo.CLASSES):
        network = FAMILIES[family](**fields, data=SPEC._replace(classes=classes))
        if hasattr(network, "check"):
            network.check()
        y = jnp.arange(5, dtype=jnp.int32) % classes if classes else None
        flags = {} if player == "generator" else {"features": True}
        run = lambda x, y, n=network, flags=flags: n.init_with_output(jax.random.key(0), x, y, *keys, **flags)[0]  # noqa: E731
        shape = jax.eval_shape(run, inputs, y)
        if player == "discriminator":
            assert (shape.features.shape[0], shape.features.ndim, shape.classes) == (5, 2, None)
            shape = shape.logits
        assert (shape.shape, shape.dtype) == (expected, jnp.float32)

    def draw(key):
        out, variables = network.init_with_output(key, inputs, y, *keys)
        return out, network.apply(variables, inputs, y, *keys), variables

    two = jax.random.split(jax.random.key(2))
    together, alone = (zoo.compiled(f) for f in (jax.vmap(draw), draw))
    together, alone = together(two), alone(two[1])
    close(jax.tree.map(lambda x: x[1], together), alone, rtol=1e-4, atol=1e-5)
    assert all_finite(together)
    assert together[2].keys() <= {"params", STATISTICS, SPECTRAL}


# --- Optimizers and schedules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizer_goes_downhill_under_every_schedule(optimizer, schedule):
    """Finite, of the parameters' type, under vmap over its traced numbers as alone, cut anywhere the same."""
    path = "optimizer.generator"
    config = zoo.update(zoo.default(), {f"{path}.name": optimizer, f"{path}.schedule.name": schedule})
    start = {"kernel": jnp.ones((3, 2)), "bias": jnp.full(2, 2.0)}

    def walk(hparams, carry, n):
        transform = player_optimizer(config, 100, "generator", hparams)

        def step(carry, _):
            params, state = carry
            updates, state = transform.update(params, state, params)  # of |params|^2 / 2
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, carry, None, length=n)[0]

    hparams = zoo.traced(config)
    begin = (start, player_optimizer(config, 100, "generator", hparams).init(start))
    whole = jax.jit(walk, static_argnums=2)(hparams, begin, 4)
    assert all_finite(whole)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), whole) == jax.tree.map(lambda x: (x.shape, x.dtype), begin)
    assert optax.tree.norm(whole[0]) < optax.tree.norm(start)
    assert equal(jax.jit(walk, static_argnums=2)(hparams, jax.jit(walk, static_argnums=2)(hparams, begin, 2), 2), whole)
    other = hparams | {f"{path}.learning_rate": hparams[f"{path}.learning_rate"] / np.float32(2)}
    both = {key: np.stack([hparams[key], other[key]]) for key in hparams}
    members = jax.jit(jax.vmap(lambda h: walk(h, begin, 4)))(both)
    close(jax.tree.map(lambda x: x[0], members), whole, rtol=1e-6)
    assert not equal(jax.tree.map(lambda x: x[1], members)[0], whole[0])


# --- Augmentations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AUGMENTS)
def test_an_augmentation_is_a_law_per_example(name):
    """Shapes and types stay; an example's change follows from its own key; gradients reach the example."""
    augment = AUGMENTS[name](data=SPEC)
    x, keys = zoo.X[:6].astype(np.float32) / 255, jax.random.split(jax.random.key(0), 6)
    start = augment.init()
    state = augment.update(start, jnp.ones(6))
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, start)
    assert all_finite((state, jnp.zeros(())))
    for now in (start, state):
        change = jax.jit(lambda x, keys, now=now: augment(x, keys, now))
        out = change(x, keys)
        assert (out.shape, out.dtype) == (x.shape, jnp.float32)
        assert all_finite(out)
        parts = jnp.concatenate([change(x[half], keys[half]) for half in (slice(0, 3), slice(3, 6))])
        close(out, parts, rtol=1e-5, atol=1e-6)
    members = jax.vmap(lambda x: augment(x, keys, state))(jnp.stack([x, x[::-1]]))
    close(members[0], out, rtol=1e-5, atol=1e-6)
    slope = jax.grad(lambda x: jnp.sum(jnp.square(augment(x, keys, state))))(jnp.asarray(x))
    assert all_finite(slope) and np.any(slope)


# --- Conditions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_is_of_each_example_alone(name):
    """Float32 but for labels, the same however a minibatch is split; with it G's output has the shape of x."""
    choice = CONDITIONS[name](SPEC._replace(shape=(8, 8, 3), paired=(2,)))
    choice.check()
    rng, keys = np.random.default_rng(0), jax.random.split(jax.random.key(0), 6)
    x, raw = jnp.asarray(rng.random((2, 6, 8, 8, 3)), jnp.float32)
    stored = Condition(label=jnp.asarray(zoo.Y[:6]), vector=jnp.asarray(rng.random((6, 2)), jnp.float32))
    parts = [choice(*jax.tree.map(lambda a, i=i: a[i : i + 3], (x, stored, keys))) for i in (0, 3)]
    whole = choice(x, stored, keys)
    close(whole, jax.tree.map(lambda *halves: jnp.concatenate(halves), *parts), rtol=1e-6)
    for part, leaf in whole._asdict().items():
        assert leaf is None or (len(leaf) == 6 and leaf.dtype == (jnp.int32 if part == "label" else jnp.float32))
    done = choice.complete(raw, whole)
    assert (done.shape, done.dtype) == (x.shape, x.dtype) and all_finite(done)
    assert jax.tree.map(jnp.shape, whole) == jax.tree.map(jnp.shape, choice(raw, stored, keys))


# --- Metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_gives_numbers_that_it_can_show(name):
    """Finite ones, the same each time; that which names the best checkpoint among them, and better somewhere."""
    metric = METRICS[name]
    density, *_ = load_mixture("ring8")
    rng = np.random.default_rng(0)
    shape = (40, 2) if "mixture" in metric.needs else (40, *zoo.SHAPE)
    others = {
        "mixture": density,
        "fake_logits": rng.normal(size=(40, 4)).astype(np.float32),
        "fake_classes": rng.integers(0, 4, 40),
        "fake_labels": rng.integers(0, 4, 40),
        "classes": 4,
        "k": 3,
        "draws": rng.uniform(size=(5, *shape)).astype(np.float32),
        **{name: rng.normal(size=(40, 3)) for name in ("z", "inferred", "recovered")},
        "scored": rng.integers(0, 2, shape).astype(bool),
        "class_logits": rng.normal(size=(40, 4)).astype(np.float32),
        **{name: rng.integers(0, 4, 40) for name in ("labels", "probe_labels")},
        "probes": {key: tuple(rng.normal(size=(2, 40, 3))) for key in ("features", "untrained", "pixels", "pca")},
        "kernels": {f"{player}.layer": rng.normal(size=(3, 5)) for player in ("generator", "discriminator")},
    }

    def made(need: str):
        if need in others:
            return others[need]
        if need in PLAYER_INPUTS:
            return rng.normal(size=40).astype(np.float32)
        size = (40, 3) if need.endswith("_features") else shape
        return rng.uniform(size=size).astype(np.float32)

    given = {need: made(need) for need in metric.needs}
    numbers = {key: float(value) for key, value in metric.evaluate(**given).items()}
    assert all(map(math.isfinite, numbers.values()))
    assert numbers == {key: float(value) for key, value in metric.evaluate(**given).items()}
    assert metric.outputs.keys() <= numbers.keys()
    if metric.best:
        assert metric.outputs[metric.best].direction in (1, -1)
        assert not metric.best.startswith("test_")


# --- Feature spaces ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, space in spaces.SPACES.items() if not space.argument])
def test_a_feature_space_has_rows_of_numbers(name, tmp_path, monkeypatch):
    """Float32, as many as declared, of each example alone; logits if declared (test_features.py has those of files)."""
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (60, *zoo.SHAPE)).astype(np.uint8)
    labels = np.arange(60, dtype=np.int32) % zoo.CLASSES
    data = Dataset("npz:x.npz", images, images, images, None, labels, labels, labels, classes=zoo.CLASSES)
    space, declared = spaces.load_space(name, data, 0.0), spaces.SPACES[name]
    x = (images / 255).astype(np.float32)
    features, logits = space.outputs(x)
    assert (space.name, space.metadata["name"]) == (name, name) and json.dumps(space.metadata)
    assert features.shape == (60, declared.dimensions(data)) and features.dtype == np.float32
    assert np.isfinite(features).all() and np.array_equal(features, space.outputs(x)[0])
    np.testing.assert_allclose(space.outputs(x[7:9])[0], features[7:9], rtol=1e-4, atol=1e-5)
    assert (logits is not None) == declared.has_logits
    if logits is not None:
        assert logits.shape == (60, zoo.CLASSES) and np.isfinite(logits).all()
