"""A small form of the laboratory's mixture of 16 modes under adjusted steps."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import adjustment
from jaxgan.game.batches import TrainingSet, sample_data

pytestmark = pytest.mark.slow

SETTING = {"width": 8, "layers": 1, "batch_size": 32, "learning_rate": 1e-3}


def test_every_minibatch_contains_all_modes_equally_often():
    gan, _ = adjustment.game("plain", weight=1.0, **SETTING)
    data = TrainingSet(jnp.asarray(adjustment.training_set()[:100]))
    key = adjustment.run_stream({"seed": np.uint32(0)}, "order")
    x, _ = sample_data(gan, key, data, first=jnp.uint32(32), indices=jnp.arange(32, dtype=jnp.uint32))
    distances = np.linalg.norm(np.asarray(x)[:, None] - adjustment.MODES, axis=-1)
    assert np.bincount(distances.argmin(axis=1)).tolist() == [2] * 16
    assert distances.min(axis=1).max() < 6 * adjustment.DEVIATION
    assert sorted(set(adjustment.MODES.ravel().tolist())) == [-1.5, -0.5, 0.5, 1.5]


def test_weights_start_with_a_deviation_by_their_inputs():
    gan, hparams = adjustment.game("plain", weight=1.0, **SETTING | {"width": 100})
    for player in adjustment.begin(gan, hparams)[2:4]:
        for layer in player.params.values():
            inputs = layer["kernel"].shape[0]
            deviation = np.asarray(layer["kernel"]).std() * math.sqrt(inputs)
            assert deviation == pytest.approx(0.88, rel=0.15)
            assert not layer["bias"].any()


def test_methods_begin_equal_and_diverge():
    """They share seeds: initial weights, data and noise. Losses are means since the last evaluation, here one step."""
    data = adjustment.training_set()[:256]
    plain, full = (
        adjustment.train(
            *adjustment.game(method, weight=1.0, **SETTING), data=data, steps=adjustment.NUM_EVALS, seeds=2
        )
        for method in ("plain", "symplectic_aligned")
    )
    assert plain["d_loss"].shape == plain["mode_kl"].shape == (2, adjustment.NUM_EVALS)
    assert plain["samples"].shape == (2, adjustment.SAMPLES, 2)
    for name in plain:
        assert np.isfinite(plain[name]).all() and np.isfinite(full[name]).all()
    np.testing.assert_allclose(full["d_loss"][:, 0], plain["d_loss"][:, 0], rtol=1e-5)  # before the first step
    assert np.abs(full["d_loss"] - plain["d_loss"])[:, -1].max() > 1e-3
    assert not np.array_equal(plain["samples"][0], plain["samples"][1])


def test_the_summary_by_hand():
    course = lambda *last: np.array([[9.0, x] for x in last])  # noqa: E731
    plain = {"d_loss": course(0.5, 1.39, 0.6), "g_loss": course(2.0, 0.70, 2.2), "modes": course(3, 16, 5)}
    found = {"d_loss": course(1.38, 1.39, 1.30), "g_loss": course(0.69, 0.80, 0.69), "modes": course(16, 16, 15)}
    assert adjustment.balanced(plain).tolist() == [False, True, False]
    assert adjustment.balanced(found).tolist() == [True, False, False]  # G's loss is off, D's is
    row = adjustment.summary(found, plain)
    assert (row["balanced"]["successes"], row["all modes"]["successes"], row["all modes"]["n"]) == (1, 2, 3)
    assert row["less plain"]["modes"]["mean"] == pytest.approx((13 + 0 + 10) / 3)
    assert row["d_loss"]["mean"] == pytest.approx((1.38 + 1.39 + 1.30) / 3)
    assert row["d_loss"]["low"] < 1.3 < row["d_loss"]["high"]
