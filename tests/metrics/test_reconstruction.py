"""Scores of an encoder on arrays, and of one that a run trained."""

import json

import numpy as np
import pytest

import jaxgan
from jaxgan.errors import UserError
from jaxgan.metrics.reconstruction import evaluate, ks_distance
from jaxgan.train import train


def test_distances_by_hand():
    x = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    g = x + np.array([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
    z = np.array([[-1.0], [0.0], [1.0]])
    scores = evaluate(x, g, z, z, 0.5 * z)
    assert scores["reconstruction_error"] == pytest.approx(1.0)
    others = [np.hypot(6, 7), np.hypot(3, 3), np.hypot(2, 4)]  # of the example before; the last one's, of the first
    assert scores["reconstruction_ratio"] == pytest.approx(1 / np.mean(others))
    assert scores["z_r2"] == pytest.approx(1 - 0.25) and scores["z_ks"] == 0
    nothing = evaluate(x, np.ones((3, 2)), z, z, 0 * z)
    assert nothing["z_r2"] == pytest.approx(0) and nothing["reconstruction_ratio"] == pytest.approx(1)
    with pytest.raises(UserError, match="they differ"):
        evaluate(x, g[:2], z, z, z)


def test_the_distance_of_two_samples_is_scipys():
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=60), rng.uniform(-1, 2, size=45).round(1)  # with ties
    assert ks_distance(a, b) == pytest.approx(ks_2samp(a, b).statistic)


@pytest.mark.slow
def test_a_run_scores_its_encoder(tiny_config, tmp_path):
    encoder = {"encoder.name": "mlp", "encoder.joint": True, "evaluate.metrics": ("reconstruction",)}
    assert train(tiny_config(**encoder), tmp_path / "work") == 0
    gan, scores = jaxgan.load(tmp_path / "work"), json.loads((tmp_path / "work" / "evaluation.json").read_text())
    test = jaxgan.data.load(gan.config.data).test
    z = gan.infer(test)
    error = np.linalg.norm((test / 255 - gan.generate(z)).reshape(len(test), -1), axis=1).mean()
    assert scores["reconstruction_error"] == pytest.approx(float(error), rel=1e-4)
    assert scores["protocol"]["reconstruction"]["examples"] == len(test)
    assert {"validation_z_r2", "z_ks", "validation_reconstruction_ratio"} <= scores.keys()
    with pytest.raises(UserError, match="reconstruction scores an encoder; set"):
        train(tiny_config(**{"evaluate.metrics": ("reconstruction",)}), tmp_path / "other")
