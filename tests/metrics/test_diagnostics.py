"""What a run says of its own health: by hand, and as evaluation gives it."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.conditions import Condition
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.evaluation import players
from jaxgan.evaluation.checks import check_metrics
from jaxgan.evaluation.evaluator import make_evaluator, protocol
from jaxgan.evaluation.players import make_player_inputs
from jaxgan.evaluation.samples import evaluation_labels, sample_stream
from jaxgan.game.state import run_stream
from jaxgan.metrics import birthday, label, overfitting, slopes, spectra
from jaxgan.metrics.alarms import alarms, data_class_kl
from jaxgan.networks import spectral
from jaxgan.sweep.program import _build

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 4, 4, 1)).astype(np.uint8)
Y = np.arange(60, dtype=np.int32) % 5
DATA = Dataset("digits", IMAGES[:30], IMAGES[30:45], IMAGES[45:], None, Y[:30], Y[30:45], Y[45:], 5)
PLAYERS = ("overfitting", "slopes", "spectra")


# --- By hand ----------------------------------------------------------------------------------------------------------


def test_overfitting_by_hand():
    """(2 - .5) / (2 - -1): held-out data stand half-way between the training set and samples."""
    found = overfitting.evaluate([1.0, 3.0], [0.0, 1.0], [-1.0, -1.0, -1.0])
    assert found == {"logit_train": 2, "logit_held_out": 0.5, "logit_samples": -1, "overfitting": 0.5}
    shifted = overfitting.evaluate([8.0, 10.0], [7.0, 8.0], [6.0])
    assert shifted["overfitting"] == 0.5  # a constant is free
    with pytest.raises(UserError, match="mean logit is 1 on training examples and samples"):
        overfitting.evaluate([1.0], [0.0], [0.0, 2.0])
    with pytest.raises(UserError, match="held-out examples are missing"):
        overfitting.evaluate([1.0], [], [0.0])
    with pytest.raises(UserError, match="generated examples are not finite"):
        overfitting.evaluate([1.0], [0.0], [np.nan])


def test_slopes_by_hand():
    assert slopes.evaluate([1.0, 2.0], [0.0, 4.0, 5.0]) == {"slope_train": 1.5, "slope_samples": 3}
    with pytest.raises(UserError, match="gradient norms at samples are not finite"):
        slopes.evaluate([1.0], [np.inf])


def test_spectra_by_hand():
    kernels = {
        "generator.a": np.array([[3.0, 0, 0], [0, 4, 0]]),  # sigma 4, 3; |W|^2 = 25
        "generator.b": 2 * np.eye(5),
        "discriminator.c": np.array([[3.0], [4.0]]),
        "discriminator.d": np.zeros((2, 2)),
    }
    found = spectra.evaluate(kernels)
    expected = {"sigma.generator.a": 4, "stable_rank.generator.a": 25 / 16, "sigma.generator.b": 2}
    expected |= {"stable_rank.generator.b": 5, "sigma.discriminator.c": 5, "stable_rank.discriminator.c": 1}
    expected |= {"sigma.discriminator.d": 0, "stable_rank.discriminator.d": 0}
    expected |= {"generator_sigma": 4, "generator_stable_rank": 25 / 16}
    expected |= {"discriminator_sigma": 5, "discriminator_stable_rank": 0}
    assert found == pytest.approx(expected)
    with pytest.raises(UserError, match="discriminator has no kernels"):
        spectra.evaluate({"generator.a": np.eye(2)})


def test_birthdays_by_hand():
    """The closest real examples are 1 apart: of 0, .5, 1.5, 9 two pairs are not farther."""
    real = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert birthday.evaluate(real, [[0.0], [0.5], [1.5], [9.0]]) == {"near_duplicates": 1, "support": 3}
    assert birthday.evaluate(real, [[0.0], [5.0], [10.0], [15.0]]) == {"near_duplicates": 0, "support": 6}
    assert birthday.evaluate(real, [[0.0], [1.2], [10.0], [15.0]])["near_duplicates"] == 0  # a little too far


def test_birthdays_estimate_the_support_size():
    """1,000 draws of 50 equally likely points; the spread of the estimate is about 1.4 points (sqrt(2 / c))."""
    fake = 10.0 * np.random.default_rng(1).integers(0, 50, (1000, 1))
    found = birthday.evaluate(np.arange(1000.0)[:, None], fake)
    assert found["support"] == pytest.approx(50, rel=0.1)
    assert found["near_duplicates"] == pytest.approx(999 / 50, rel=0.1)


def test_alarms():
    healthy = {"pixels_diversity": 0.9, "class_kl": 0.1, "classifier_near_duplicates": 0.01, "d_fake": 0.4, "fid": 10.0}
    assert alarms(healthy, healthy | {"step": 5}, ("fid", -1)) == []
    for changed, words in (
        ({"validation_pixels_diversity": 0.4}, "0.40 times as far apart as data: G has collapsed"),
        ({"class_kl": 0.7}, "0.70 nats from uniform"),
        ({"classifier_near_duplicates": 3.0}, "3.0 near-duplicates"),
        ({"d_fake": 1e-5}, "D has won"),
        ({"kid": None}, "KID could not be computed"),
        ({"kid": math.nan}, "KID could not be computed"),
    ):
        (sentence,) = alarms(healthy | changed)
        assert words in sentence
    best = {"fid": 8.0, "step": 1200}
    (sentence,) = alarms(healthy, best, ("fid", -1))
    assert "FID was 8 at step 1,200 and is 10 now" in sentence
    assert alarms(healthy | {"fid": 8.7}, best, ("fid", -1)) == []
    (sentence,) = alarms({"precision": 0.5}, {"precision": 0.6, "step": 1}, ("precision", 1))
    assert "was 0.6 at step 1 and is 0.5" in sentence
    assert alarms({"log_likelihood": -100.0}, {"log_likelihood": -95.0, "step": 1}, ("log_likelihood", 1)) == []


def test_alarms_of_numbers_that_are_not_there():
    best = {"fid": None, "step": 1200}
    assert alarms({"fid": 10.0}, best, ("fid", -1)) == alarms({"kid": 1.0}, {"fid": 8.0, "step": 1}, ("fid", -1)) == []
    for number in (None, math.nan, math.inf):
        assert alarms({"fid": number}, {"fid": 8.0, "step": 1}, ("fid", -1)) == ["FID could not be computed."]
        assert alarms({"fid": 10.0}, {"fid": number, "step": 1}, ("fid", -1)) == []
        for name in ("pixels_diversity", "class_kl", "near_duplicates", "d_fake"):
            assert alarms({name: number}) == [f"{label(name)} could not be computed."]


def test_no_alarm_of_classes_that_the_data_themselves_would_raise():
    """Shares of .91 and nine times .01: log 10 - .500 = 1.80 nats from uniform, more than log 2, and so are samples."""
    labels = np.repeat(np.arange(10, dtype=np.int32), [910] + [10] * 9)
    x = np.zeros((1000, 2, 2, 1), np.uint8)
    dataset = Dataset("any", x, x[:0], x[:0], None, labels, classes=10)
    shares = np.array([0.91] + [0.01] * 9)
    assert data_class_kl(dataset, 100_000) == pytest.approx(np.sum(shares * np.log(10 * shares)), abs=0.02)
    unbalanced = data_class_kl(dataset, 2000)
    assert alarms({"class_kl": 1.9}, data_kl=unbalanced) == [] and alarms({"class_kl": 1.9}) != []
    (sentence,) = alarms({"class_kl": 2.6}, data_kl=unbalanced)
    assert f"2.60 nats from uniform, the data's {unbalanced:.2f}: classes are missing" in sentence
    assert data_class_kl(dataset._replace(train_labels=np.arange(1000, dtype=np.int32) % 10), 100_000) < 1e-3
    assert data_class_kl(dataset._replace(train_labels=None, classes=0), 2000) == 0


def test_few_samples_of_many_classes_are_compared_with_as_few_examples():
    """64 of 1,000 classes: at most 64 occur, so that KL is at least log(1000 / 64) = 2.75 nats."""
    labels = np.arange(1000, dtype=np.int32) % 10
    x = np.zeros((1000, 2, 2, 1), np.uint8)
    dataset = Dataset("any", x, x[:0], x[:0], None, labels, classes=1000, stack=3)
    assert -1e-9 < data_class_kl(dataset, 64) - math.log(1000 / 64) < 0.1
    assert data_class_kl(dataset, 200_000) == pytest.approx(999 / 400_000, rel=0.2)


# --- Kernels ----------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, name="plain")(spectral.Dense(4, spectral=True, name="normalized")(x))


def test_kernels_are_those_that_the_layers_use():
    net, x = Net(), jnp.ones((1, 6))
    variables = net.init(jax.random.key(0), x)
    params, stats = variables["params"], {spectral.SPECTRAL: variables[spectral.SPECTRAL]}
    found = spectral.kernels(params, stats)
    np.testing.assert_array_equal(found["plain"], params["plain"]["kernel"])
    layer, its = spectral.Dense(4, spectral=True), params["normalized"]
    used = layer.apply({"params": its, spectral.SPECTRAL: stats[spectral.SPECTRAL]["normalized"]}, jnp.eye(6))
    np.testing.assert_allclose(found["normalized"], used - its["bias"][None], atol=1e-6)
    assert np.abs(found["normalized"] - its["kernel"]).max() > 0.01
    convolution = spectral.kernels({"c": {"kernel": jnp.ones((3, 3, 2, 5)), "bias": jnp.ones(5)}}, {})
    assert convolution["c"].shape == (18, 5)


# --- In evaluation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conditional", ["none", "label"])
def test_metrics_of_the_players(game, tiny_config, monkeypatch, conditional):
    monkeypatch.setattr(players, "D_BATCH", 7)
    changes = {"conditional": conditional, "evaluate.metrics": PLAYERS}
    g, config = game(**changes), tiny_config(**changes)
    found = make_evaluator(config, g.gan, DATA)(g.hparams, g.state)
    key = run_stream(g.hparams, "evaluate")
    y = evaluation_labels(config, DATA)
    samples = sample_stream(
        g.gan, g.hparams, g.state, key, config.evaluate.samples, condition=None if y is None else Condition(label=y)
    )
    told = conditional == "label"
    sets = {
        "train": (DATA.train / np.float32(255), DATA.train_labels if told else None),
        "held_out": (DATA.validation / np.float32(255), DATA.validation_labels if told else None),
        "samples": (samples, y),
    }
    D = g.state.discriminator
    for name, (x, y) in sets.items():
        logit = lambda x, y=y: jnp.sum(g.gan.D(D.params, D.stats, x, Condition(label=y))[0].logits)  # noqa: E731
        assert found[f"logit_{name}"] == pytest.approx(float(logit(x)) / len(x), abs=1e-6)
        if name != "held_out":
            norms = np.linalg.norm(np.asarray(jax.grad(logit)(jnp.asarray(x))).reshape(len(x), -1), axis=1)
            assert found[f"slope_{name}"] == pytest.approx(norms.mean(), rel=1e-5)
    kernels = spectral.kernels(g.state.generator.params, {})
    largest = max(np.linalg.svd(kernel, compute_uv=False)[0] for kernel in kernels.values())
    assert found["generator_sigma"] == pytest.approx(largest, rel=1e-5)
    assert protocol(config, DATA)["judged"] == {"train": 30, "validation": 15, "samples": 64}
    pairs = tiny_config(**changes, **{"discriminator.packing": 2})
    assert protocol(pairs, DATA)["judged"] == {"train": 30, "validation": 14, "samples": 64}  # whole pairs


def test_a_d_with_packing_is_evaluated_on_whole_packs(game, tiny_config):
    changes = {"discriminator.packing": 4, "evaluate.metrics": PLAYERS}
    g, config = game(**changes), tiny_config(**changes)
    judge, others = make_player_inputs(config, g.gan, DATA)
    samples = sample_stream(g.gan, g.hparams, g.state, run_stream(g.hparams, "evaluate"), 21)
    found = judge(g.state, samples, others)
    assert found["train_logits"].shape == (7,) and found["train_slopes"].shape == (28,)
    assert found["validation_logits"].shape == (3,) and found["sample_logits"].shape == (5,)
    D = g.state.discriminator
    expected = g.gan.D(D.params, D.stats, DATA.train[:28] / np.float32(255))[0].logits
    np.testing.assert_allclose(found["train_logits"], expected, rtol=1e-5, atol=1e-6)


def test_a_broken_player_has_no_scores_but_a_reason(game, tiny_config):
    g, config = game(), tiny_config(**{"evaluate.metrics": PLAYERS})
    D = g.state.discriminator
    state = g.state._replace(discriminator=D._replace(params=jax.tree.map(lambda p: p * np.nan, D.params)))
    reasons: dict[str, str] = {}
    found = make_evaluator(config, g.gan, DATA)(g.hparams, state, reasons=reasons)
    assert all(math.isnan(x) for x in found.values()) and set(reasons) == set(PLAYERS)


@pytest.mark.parametrize(
    ("changes", "data", "words"),
    [
        ({"evaluate.metrics": ("overfitting",)}, DATA._replace(validation=IMAGES[:0]), "the validation set of 0"),
        ({"evaluate.metrics": ("overfitting",), "discriminator.packing": 20}, DATA, "20 examples or more, and the val"),
        ({"evaluate.samples": 10, "discriminator.packing": 20}, DATA, "evaluate.samples=10 is too few"),
        ({}, DATA._replace(stack=3), "needs stored training examples"),
    ],
)
def test_players_that_cannot_be_evaluated(tiny_config, changes, data, words):
    with pytest.raises(UserError, match=words):
        check_metrics(tiny_config(**{"evaluate.metrics": ("slopes",)} | changes), data)


def test_slopes_need_no_validation_set(tiny_config):
    check_metrics(tiny_config(**{"evaluate.metrics": ("slopes",)}), DATA._replace(validation=IMAGES[:0]))


def test_a_classifier_does_not_learn_from_a_part_of_the_data(tiny_config):
    changes = {"evaluate.metrics": ("fid",), "evaluate.features": "classifier", "data.limit": 10}
    with pytest.raises(UserError, match=r"data\.limit=10 leaves only part of it; use evaluate\.features=pixels"):
        check_metrics(tiny_config(**changes), DATA)


def test_members_of_a_sweep_are_evaluated_like_single_runs(tiny_config):
    config = tiny_config(**{"evaluate.metrics": PLAYERS})
    about = _build(config)
    hparams = traced(config)
    state = jax.jit(about.gan.init)(hparams)
    drawn = about.sample_for_evaluation([hparams], [state])
    (judged,) = about.discriminator_stats([state], drawn)
    found = about.measure(np.asarray(drawn[0]), None, judged)
    assert found == pytest.approx(make_evaluator(config, about.gan, about.dataset)(hparams, state))
