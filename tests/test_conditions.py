"""Conditions and masks: their laws, what players are given, completion, and what each refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.algorithm1 import train_step
from jaxgan.conditions import CONDITIONS, MASKS, Condition, block_means, join_channels, join_rows
from jaxgan.config import default, get, update, validate
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.game.batches import Frame, TrainingSet, d_batch, g_batch, iteration_source, stored_examples
from jaxgan.game.build import build, build_for
from jaxgan.game.sampling import sample
from jaxgan.networks import GENERATORS
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.theory import generator_criterion
from tests.helpers import zoo_games
from tests.helpers.zoo_games import compiled

DATA = DataSpec((8, 8, 1), bounds=(0.0, 1.0), mean=np.full((8, 8, 1), 0.5))
RGB = DataSpec((8, 6, 3), bounds=(0.0, 1.0), mean=np.full((8, 6, 3), 0.5))
VECTORS = DataSpec((5,), mean=np.zeros(5))
KEYS = jax.random.split(jax.random.key(0), 4000)
DERIVED = [name for name in CONDITIONS if name not in ("none", "label", "pairs")]


def of(name: str, data: DataSpec, **fields):
    choice = CONDITIONS[name](data, **fields)
    choice.check()
    return choice


def images(n: int, data: DataSpec = DATA) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).random((n, *data.shape)), jnp.float32)


def players(config, data: DataSpec, paired=()):
    """A game of tiny players, its traced numbers and its state."""
    config = update(config, {"generator.output": "linear"} if data.bounds is None else {})
    gan, hparams = build(config, data, 40), traced(config)
    return gan, hparams, compiled(gan.init)(hparams)


# --- Masks and derived conditions -------------------------------------------------------------------------------------


def test_bernoulli_hides_each_entry_on_its_own():
    observed = np.asarray(jax.vmap(of("bernoulli_mask", VECTORS, hidden=0.2).draw)(KEYS))
    assert observed.shape == (4000, 5)
    np.testing.assert_allclose(1 - observed.mean(axis=0), 0.2, atol=0.025)  # 4 standard deviations
    assert np.corrcoef(observed.T)[0, 1] == pytest.approx(0, abs=0.06)


def test_a_subset_is_uniform_given_its_size_and_hides_something():
    """Of 3 entries: sizes 1, 2 and 3 with 1/3 each, so each of the 3 + 3 + 1 sets with 1/9, 1/9 and 1/3."""
    hidden = ~np.asarray(jax.vmap(of("subset_mask", DataSpec((3,))).draw)(KEYS))
    shares = np.bincount(hidden @ [1, 2, 4], minlength=8) / len(KEYS)
    np.testing.assert_allclose(shares, [0, 1 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 3], atol=0.03)


def test_halves_quadrants_and_rectangles():
    draws = {name: ~np.asarray(jax.vmap(of(name, DATA).draw)(KEYS[:400]))[..., 0] for name in MASKS if "r" in name}
    assert {hidden.tobytes() for hidden in draws["rectangle_mask"]} and len(draws) == 3
    quadrants = np.unique(draws["quadrant_mask"], axis=0)
    assert len(quadrants) == 4 and (quadrants.sum(axis=(1, 2)) == 16).all() and (quadrants.sum(axis=0) == 1).all()
    rectangles = draws["rectangle_mask"]
    assert (rectangles.sum(axis=(1, 2)) == 16).all()  # a quarter of 64, 4 x 4
    assert {(r.any(axis=1).sum(), r.any(axis=0).sum()) for r in rectangles} == {(4, 4)}
    assert len(np.unique(rectangles, axis=0)) == 25  # 5 x 5 places
    halves = ~np.asarray(jax.vmap(of("half_mask", DATA).draw)(KEYS[:100]))[..., 0]
    assert len(np.unique(halves, axis=0)) == 4 and (halves.sum(axis=(1, 2)) == 32).all()
    lower = ~np.asarray(of("half_mask", DATA, hidden="lower").draw(KEYS[0]))[..., 0]
    assert lower[4:].all() and not lower[:4].any()


def test_a_mixed_mask_takes_each_of_its_laws():
    mixed = of("mixed_mask", DATA, laws=("half_mask", "quadrant_mask"))
    hidden = ~np.asarray(jax.vmap(mixed.draw)(KEYS[:1000]))
    assert np.mean(hidden.sum(axis=(1, 2, 3)) == 32) == pytest.approx(0.5, abs=0.06)
    with pytest.raises(UserError, match=r"condition\.laws must be one of bernoulli_mask"):
        of("mixed_mask", DATA, laws=("stripes",))


def test_low_resolution_keeps_the_mean_and_grey_the_luminance():
    x = images(3, RGB)
    low = of("low_resolution", RGB)(x, Condition(), KEYS[:3]).image
    assert low.shape == (3, 4, 3, 3)
    np.testing.assert_allclose(low.mean(axis=(1, 2)), x.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(low[0, 1, 2], np.asarray(x)[0, 2:4, 4:6].mean(axis=(0, 1)), rtol=1e-5)
    grey = of("grey", RGB)(jnp.ones((1, 8, 6, 3)), Condition(), KEYS[:1]).image
    np.testing.assert_allclose(grey, np.ones((1, 8, 6, 1)), rtol=1e-6)
    noisy = of("noisy", VECTORS, deviation=0.5)(jnp.zeros((4000, 5)), Condition(), KEYS).vector
    assert noisy.std() == pytest.approx(0.5, rel=0.02)


def test_completion_pastes_to_the_bit_and_projects_to_rounding():
    x, raw = images(4), images(8)[4:]
    for name in MASKS:
        told = of(name, DATA)(x, Condition(), KEYS[:4])
        done = np.asarray(of(name, DATA).complete(raw, told))
        observed = np.asarray(told.mask) > 0
        assert np.array_equal(done[observed], np.asarray(x)[observed])
        assert np.array_equal(done[~observed], np.asarray(raw)[~observed])
    choice = of("low_resolution", DATA, factor=4)
    told = choice(x, Condition(), KEYS[:4])
    np.testing.assert_allclose(block_means(choice.complete(raw, told), 4), told.image, rtol=1e-5)
    assert np.array_equal(of("low_resolution", DATA, factor=4, project=False).complete(raw, told), raw)


# --- What the players are given ---------------------------------------------------------------------------------------


def test_g_and_d_receive_the_whole_condition():
    condition = Condition(
        jnp.zeros(2, jnp.int32), jnp.ones((2, 3)), jnp.full((2, 2, 2, 1), 5.0), jnp.zeros((2, 4, 4, 1))
    )
    assert join_rows(jnp.zeros((2, 6)), condition).shape == (2, 6 + 3 + 4 + 16)
    joined = join_channels(jnp.zeros((2, 4, 4, 3)), condition)
    np.testing.assert_array_equal(joined[0, 1, 1], [0, 0, 0, 1, 1, 1, 5, 0])
    image = jnp.arange(4.0).reshape(1, 2, 2, 1)  # by the nearest pixel: blocks of 2 x 2
    up = join_channels(jnp.zeros((1, 4, 4, 1)), Condition(image=image))[0, :, :, 1]
    np.testing.assert_array_equal(up, np.kron(image[0, :, :, 0], np.ones((2, 2))))
    z = jnp.ones((2, 6))
    assert join_rows(z, Condition(label=jnp.zeros(2, jnp.int32))) is z


@pytest.mark.parametrize("name", DERIVED)
@pytest.mark.parametrize("data", [RGB, VECTORS], ids=["images", "vectors"])
def test_no_hidden_entry_reaches_g_but_d_receives_it(tiny_config, name, data):
    """The gradient of a completed example with respect to what is hidden is 0."""
    config = tiny_config(**{"condition.name": name})
    if data is VECTORS and name not in ("noisy", "bernoulli_mask", "subset_mask"):
        with pytest.raises(UserError, match=r"is for images|rectangle_mask is for images"):
            players(config, data)
        return
    gan, hparams, state = players(config, data)
    x, z, keys = images(2, data), jnp.ones((2, 8)), KEYS[:2]
    theta = jax.tree.map(lambda p: p + 0.1, state.generator.params)
    completed = lambda x: gan.G(theta, {}, z, gan.condition(hparams, x, Condition(), keys))[0]  # noqa: E731
    told = gan.condition(hparams, x, Condition(), keys)
    if told.mask is not None:
        hidden = jnp.broadcast_to(1 - told.mask, x.shape)
        pull = jax.grad(lambda x: jnp.sum(completed(x) * jnp.arange(float(x.size)).reshape(x.shape)))(x)
        np.testing.assert_array_equal(pull * hidden, jnp.zeros_like(x))
        assert jnp.any(pull != 0)
    logits = [
        gan.D(state.discriminator.params, {}, x, c)[0].logits for c in (told, jax.tree.map(lambda a: a + 1, told))
    ]
    assert not np.allclose(*logits)


@pytest.mark.parametrize("name", [name for name in GENERATORS if name != "toy"])
def test_every_g_of_images_takes_a_condition_and_nothing_hidden(name):
    """Its samples depend on z and on what is observed, and their gradient with respect to what is hidden is 0."""
    norm = {"generator.norm": "none"} if name == "dcgan" else {}
    changes = zoo_games.family(name, "mlp") | norm | {"condition.name": "half_mask", "prior.size": 4}
    if name in ("sndcgan", "resnet"):
        with pytest.raises(UserError, match=r"take a G without it \(generator\.norm=none\)"):
            players(update(default(), changes), DATA)
        return
    gan, hparams, state = players(update(default(), changes), DATA)
    theta = jax.tree.map(lambda p: p + 0.1 * jnp.cos(jnp.arange(p.size)).reshape(p.shape), state.generator.params)
    x, told = images(2), gan.condition(hparams, images(2), Condition(), KEYS[:2])
    z = jnp.linspace(-1, 1, 8).reshape(2, 4)

    def total(x, z):
        completed, _ = gan.G(theta, state.generator.stats, z, gan.condition(hparams, x, Condition(), KEYS[:2]))
        return jnp.sum(completed * (1 - told.mask) * jnp.arange(float(x.size)).reshape(x.shape))

    by_x, by_z = compiled(jax.grad(total, (0, 1)))(x, z)
    np.testing.assert_array_equal(by_x * (1 - told.mask), jnp.zeros_like(x))
    assert jnp.any(by_x != 0) and jnp.all(jnp.any(by_z != 0, axis=1))


@pytest.mark.parametrize("name", ["subset_mask", "noisy"])
def test_data_and_fakes_of_a_step_have_the_same_conditions_fresh_at_every_visit(tiny_config, name):
    config = tiny_config(**{"condition.name": name})
    gan, hparams, state = players(config, DATA)
    data = TrainingSet(jnp.asarray(np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)), jnp.uint8))
    source, frame = iteration_source(hparams, state, data), Frame(gan, hparams)
    a, b, g = d_batch(frame, source, 0), d_batch(frame, source, 1), g_batch(frame, source, 1)
    told = gan.condition(hparams, a.x, Condition(), a.noise.condition_keys)
    jax.tree.map(np.testing.assert_array_equal, told, a.condition)
    assert g.x is not None and not np.array_equal(a.condition.content, b.condition.content)
    after, metrics = compiled(lambda: train_step(gan, hparams, state, data))()
    assert np.isfinite(metrics["g_loss"]) and np.isfinite(metrics["d_loss"])
    drawn = sample(gan, hparams, after.generator.params, {}, key=KEYS[0], numbers=jnp.arange(3, dtype=jnp.uint32),
                   condition=jax.tree.map(lambda a: a[:3], a.condition))  # fmt: skip
    if name == "subset_mask":
        np.testing.assert_array_equal(drawn * a.condition.mask[:3], a.condition.content[:3])


def test_stored_pairs_go_with_their_examples(tiny_config):
    numbers = np.arange(40, dtype=np.float32)
    points = np.stack([numbers, -numbers], axis=1)
    dataset = Dataset("npz:pairs", points, points[:5], points[:5], None,
                      train_condition=numbers[:, None], validation_condition=numbers[:5, None])  # fmt: skip
    config = tiny_config(**{"conditional": "pairs", "generator.output": "linear"})
    gan, hparams = build_for(config, dataset), traced(config)
    state = compiled(gan.init)(hparams)
    source = iteration_source(hparams, state, jax.tree.map(jnp.asarray, stored_examples(gan, dataset)))
    batch = d_batch(Frame(gan, hparams), source, 0)
    np.testing.assert_array_equal(batch.condition.vector[:, 0], batch.x[:, 0])
    with pytest.raises(UserError, match=r"pairs needs a condition stored with each example; add an array"):
        build_for(config, dataset._replace(train_condition=None))


# --- Configuration and refusals ---------------------------------------------------------------------------------------


def test_conditional_is_short_for_the_name_of_the_condition():
    for key in ("conditional", "condition.name"):
        config = update(default(), {key: "label"})
        assert config.conditional == config.condition.name == "label"
    assert update(config, {"conditional": "none"}).condition.name == "none"
    with pytest.raises(UserError, match=r"conditional=label and condition\.name=none name two conditions"):
        update(default(), {"conditional": "label", "condition.name": "none"})
    masks = update(default(), {"conditional": "bernoulli_mask", "condition.hidden": 0.3})
    assert get(masks, "condition.hidden") == 0.3 and "condition.hidden" in traced(masks)


@pytest.mark.parametrize(("changes", "data", "message"), [
    ({"condition.name": "bernoulli_mask"}, DataSpec((1,), mean=np.zeros(1)), "a mask needs data of 2 entries or more"),
    ({"condition.name": "grey"}, DATA, "grey needs images of 3 channels, and these have 1"),
    ({"condition.name": "low_resolution", "condition.factor": 3}, DATA, r"a divisor of the sides \(8, 8\), not 3"),
    ({"condition.name": "half_mask", "augment.name": "flip"}, DATA, "set augment.name=none"),
    ({"condition.name": "half_mask", "objective.consistency.real": 1.0}, DATA, "set objective.consistency off"),
    ({"condition.name": "half_mask", "data.gcn": 1.0, "generator.output": "linear"}, DATA, "set data.gcn=0"),
    ({"condition.name": "half_mask", "generator.norm": "batch"}, DATA, "take a G without it"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(tiny_config, changes, data, message):
    with pytest.raises(UserError, match=message):
        players(tiny_config(**changes), data)


@pytest.mark.parametrize(("changes", "message"), [
    ({}, "the players have none; set condition.name, such as low_resolution, or generator.noise=input"),
    ({"condition.name": "half_mask", "generator.norm": "batch"}, "norm must be one of layer, none, not 'batch'"),
])  # fmt: skip
def test_what_a_unet_refuses(changes, message):
    config = update(default(), {"generator.name": "unet"} | changes)
    with pytest.raises(UserError, match=message):
        validate(config)
        players(config, DATA)


# --- The theory of section 6.1 ----------------------------------------------------------------------------------------


def test_an_unconditional_d_accepts_swapped_conditionals_and_a_conditional_one_does_not():
    """C(G) of (x, c) is -log 4 + 2 E_c JSD(p(.|c), q(.|c)); D blind to c sees only the marginals of x."""
    x = np.linspace(-4, 4, 161)
    normal = lambda mean: np.exp(-0.5 * (x - mean) ** 2) / np.exp(-0.5 * (x - mean) ** 2).sum()  # noqa: E731
    p = 0.5 * np.stack([normal(-1), normal(1)])  # [c, x], a joint distribution
    swapped = p[::-1]
    told, blind = generator_criterion(p, swapped, 1.0), generator_criterion(p.sum(axis=0), swapped.sum(axis=0), 1.0)
    jsd = np.sum(p * np.log(2 * p / (p + swapped)))  # the mean of both labels, which mirror each other
    assert blind == pytest.approx(-np.log(4), abs=1e-6)
    assert told == pytest.approx(-np.log(4) + 2 * jsd, abs=1e-6)
    assert told > blind + 0.1
