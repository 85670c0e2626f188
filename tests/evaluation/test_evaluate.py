"""What a metric is measured on, and which number names the best checkpoint."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.conditions import Condition
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.evaluation.checks import check_metrics
from jaxgan.evaluation.evaluator import SELECTION, make_evaluator, make_measure, selection
from jaxgan.evaluation.inputs import INPUTS
from jaxgan.evaluation.samples import make_sampler, sample_stream
from jaxgan.game.state import run_stream, stream
from jaxgan.metrics import METRICS, parzen
from jaxgan.metrics.protocol import Display, Metric

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
DATA = Dataset("digits", IMAGES[:30], IMAGES[30:40], IMAGES[40:], None)


def seen_by(monkeypatch, needs=("samples", "validation", "test")):
    """A metric in the table that keeps what it was given."""
    seen = []

    def evaluate(**arguments):
        seen.append(arguments)
        return {"good": 2.0, "bad": 3.0, "test_good": 4.0, "neutral": 5.0}

    shown = {
        "good": Display("good", 1, 1),
        "bad": Display("bad", 1, -1),
        "test_good": Display("x", 1, 1),
        "neutral": Display("x", 1, 0),
    }
    monkeypatch.setitem(METRICS, "seen", Metric(needs, evaluate, shown, "good"))
    return seen


@pytest.mark.parametrize("gcn", [0.0, 2.0])
def test_metrics_see_decoded_data_in_the_range_of_the_samples(tiny_config, monkeypatch, gcn):
    """With global contrast normalization, too: each image loses its mean and has norm `data.gcn`."""
    seen = seen_by(monkeypatch)
    config = tiny_config(**{"data.gcn": gcn, "evaluate.metrics": ("seen",)})
    samples = np.zeros((3, 4, 4, 1), np.float32)
    make_measure(config, DATA)(samples)
    (arguments,) = seen
    assert arguments["samples"] is samples
    for name in ("validation", "test"):
        pixels = getattr(DATA, name).astype(np.float64)
        if gcn:
            pixels -= pixels.mean(axis=(1, 2, 3), keepdims=True)
            pixels *= gcn / np.sqrt(np.sum(pixels**2, axis=(1, 2, 3), keepdims=True))
        else:
            pixels /= 255
        np.testing.assert_allclose(arguments[name], pixels, atol=1e-5)


def test_sigma_is_chosen_on_validation_data_and_applied_to_test_data():
    """Two sets at different distances from the samples: their likeliest sigmas are at opposite ends of the grid."""
    samples = np.zeros((1, 50), np.float32)
    near, far = (np.full((20, 50), distance, np.float32) for distance in (0.1, 1.0))
    for validation, test, sigma in ((near, far, 0.1), (far, near, 1.0)):
        found = parzen.measure(samples, validation, test)
        assert found["parzen_sigma"] == pytest.approx(sigma)
        for name, x in (("validation", validation), ("test", test)):
            expected = -np.sum(x[0].astype(np.float64) ** 2) / (2 * sigma**2) - 50 * np.log(sigma * np.sqrt(2 * np.pi))
            assert found[f"{name}_log_likelihood"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "name", "sign"),
    [({}, "good", 1), ({"evaluate.best": "bad"}, "bad", -1), ({"evaluate.best": "good"}, "good", 1)],
)
def test_the_selection_is_the_named_number_larger_being_better(tiny_config, monkeypatch, changes, name, sign):
    seen_by(monkeypatch)
    config = tiny_config(**{"evaluate.metrics": ("seen",)} | changes)
    assert selection(config) == (name, sign)
    numbers = make_measure(config, DATA)(np.zeros((3, 4, 4, 1), np.float32))
    assert numbers[SELECTION] == sign * numbers[name]


def test_no_metric_names_the_best_checkpoint_by_the_test_set():
    for name, metric in METRICS.items():
        if metric.best:
            assert metric.outputs[metric.best].direction in (1, -1), name
            assert "test" not in metric.best, name
    assert METRICS["parzen"].best == "validation_log_likelihood"


@pytest.mark.parametrize(
    ("changes", "data", "words"),
    [
        ({"evaluate.metrics": ("parzn",)}, DATA, "not 'parzn'; the nearest is 'parzen'"),
        ({"evaluate.metrics": ("modes",)}, DATA, "modes needs data.name=mixture:NAME"),
        ({}, DATA._replace(validation=IMAGES[:0]), "parzen needs validation examples, and digits leaves none"),
        ({"evaluate.best": "fidelity"}, DATA, "evaluate.best=fidelity is not among"),
        ({"evaluate.metrics": ("seen",), "evaluate.best": "neutral"}, DATA, "evaluate.best=neutral is not among"),
        ({"evaluate.best": "test_log_likelihood"}, DATA, "would select checkpoints by the test set"),
        ({"evaluate.metrics": (), "evaluate.best": "x"}, DATA, "evaluate.best=x"),
    ],
)
def test_what_cannot_be_measured(tiny_config, monkeypatch, changes, data, words):
    seen_by(monkeypatch)
    with pytest.raises(UserError, match=words):
        check_metrics(tiny_config(**changes), data)


def test_no_metrics_are_no_numbers(game, tiny_config):
    gan, hparams, state, _ = game()
    assert make_evaluator(tiny_config(**{"evaluate.metrics": ()}), gan, DATA)(hparams, state) == {}


def test_scores_are_measured_on_a_stream_of_their_own(game, tiny_config, monkeypatch):
    """Of the run's seed, by the first average where there is one; not the samples of its pictures or its users."""
    seen = seen_by(monkeypatch)
    g = game(**{"generator.ema.gamma": (1.0,), "generator.irange": 1.0, "generator.output_irange": 0.5})
    averages = (jax.tree.map(lambda p: 0.9 * p, g.state.generator.params),)
    state = g.state._replace(averages=averages)
    config = tiny_config(**{"evaluate.metrics": ("seen",), "evaluate.samples": 20})
    make_evaluator(config, g.gan, DATA)(g.hparams, state)
    samples = seen[0]["samples"]
    assert samples.shape == (20, 4, 4, 1)
    expected = sample_stream(g.gan, g.hparams, state, run_stream(g.hparams, "evaluate"), 20, ema=0)
    np.testing.assert_allclose(samples, expected, rtol=1e-6)
    for other in (run_stream(g.hparams, "sample"), stream(0, "user")):
        images = np.concatenate([samples, sample_stream(g.gan, g.hparams, state, other, 20)]).reshape(40, -1)
        assert len(np.unique(images, axis=0)) == 40
    assert not np.allclose(
        samples, sample_stream(g.gan, g.hparams, state, run_stream(g.hparams, "evaluate"), 20, ema=None)
    )


def test_samples_do_not_depend_on_the_batch_size(game, monkeypatch):
    monkeypatch.setattr("jaxgan.evaluation.samples.SAMPLE_BATCH", 4)
    gan, hparams, state, _ = game(conditional="label")
    key = stream(3, "user")
    y = jnp.arange(11, dtype=jnp.int32) % 5
    several = make_sampler(gan)(hparams, state, key, 11, condition=Condition(label=y))
    monkeypatch.setattr("jaxgan.evaluation.samples.SAMPLE_BATCH", 1000)
    np.testing.assert_allclose(
        several, sample_stream(gan, hparams, state, key, 11, condition=Condition(label=y)), rtol=1e-6
    )
    np.testing.assert_allclose(
        several[:5], sample_stream(gan, hparams, state, key, 5, condition=Condition(label=y[:5])), rtol=1e-6
    )
    assert several.shape == (11, 4, 4, 1)


def test_every_input_of_a_metric_is_in_the_table():
    assert {need for metric in METRICS.values() for need in metric.needs} <= INPUTS.keys()
