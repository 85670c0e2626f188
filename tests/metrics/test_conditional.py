"""Scores of conditional samples against closed forms; exact sampling from conditionals of Gaussians and mixtures."""

import numpy as np
import pytest

from jaxgan.data.mixture import MIXTURES
from jaxgan.errors import UserError
from jaxgan.metrics import conditional
from jaxgan.metrics.conditional import crps, evaluate

N, K = 20_000, 19


def all_scored(draws, x):
    return evaluate(draws[..., None], x[:, None], np.ones((len(x), 1), bool))


def test_a_pair_of_normals():
    """x2 given x1 is N(.8 x1, .36); CRPS of the true normal is sigma / sqrt pi, of its mean sigma sqrt(2 / pi)."""
    rng = np.random.default_rng(0)
    x1 = rng.normal(size=N)
    x2, draws = 0.8 * x1 + 0.6 * rng.normal(size=N), 0.8 * x1 + 0.6 * rng.normal(size=(K, N))
    found = all_scored(draws, x2)
    assert found["rmse_of_mean"] == pytest.approx(0.6 * np.sqrt(1 + 1 / K), rel=0.015)
    assert found["rmse_of_draw"] == pytest.approx(0.8485, rel=0.015)
    assert found["crps"] == pytest.approx(0.3385, rel=0.015)
    assert found["energy_score"] == pytest.approx(found["crps"], rel=1e-9)  # in one dimension
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.0075)
    assert found["coverage_50"] == pytest.approx(0.5, abs=0.0125)
    assert found["dispersion"] == pytest.approx(1, abs=0.015)
    assert found["rank_chi2"] == pytest.approx(1, abs=1)
    point = all_scored(np.broadcast_to(0.8 * x1, (K, N)), x2)
    assert point["crps"] == pytest.approx(0.4787, rel=0.015)
    assert (point["dispersion"], point["coverage_90"]) == (pytest.approx(0, abs=1e-9), 0)
    assert point["rmse_of_mean"] < found["rmse_of_mean"]  # and yet its proper scores are worse


def test_ring8_second_coordinate_given_the_first():
    """Numbers of the exact conditional of a mixture; the mean, or any point between two modes, has the same MAE."""
    rng, ring = np.random.default_rng(1), MIXTURES["ring8"]
    means, scales, n = np.asarray(ring.means), np.asarray(ring.scales), 4000
    component = rng.integers(0, 8, n)
    x = means[component] + scales[component][:, None] * rng.normal(size=(n, 2))
    log_w = -0.5 * ((x[:, :1] - means[:, 0]) / scales) ** 2 - np.log(scales)
    w = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    w /= w.sum(axis=1, keepdims=True)
    drawn = (rng.random((K, n, 1)) > np.cumsum(w, axis=1)[None]).sum(axis=-1).clip(max=7)
    draws = means[drawn, 1] + scales[drawn] * rng.normal(size=(K, n))
    found = all_scored(draws, x[:, 1])
    assert np.mean(np.sum(w * (means[:, 1] ** 2 + scales**2), axis=1)) == pytest.approx(2.0004, rel=0.03)
    assert found["rmse_of_draw"] == pytest.approx(2.0002, rel=0.03)
    assert found["rmse_of_mean"] == pytest.approx(1.4144 * np.sqrt(1 + 1 / K), rel=0.03)
    assert found["energy_score"] == pytest.approx(0.612, rel=0.03)
    point = all_scored(np.broadcast_to(np.sum(w * means[:, 1], axis=1), (K, n)), x[:, 1])
    assert point["crps"] == pytest.approx(1.2071, rel=0.03)  # its MAE


def autoregression(d: int = 8, rho: float = 0.8) -> np.ndarray:
    """The covariance of a stationary AR(1) process of variance 1."""
    return rho ** np.abs(np.arange(d)[:, None] - np.arange(d))


def gaussian_conditional(cov: np.ndarray, x: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the hidden entries of one example [d] given the others."""
    s, o = np.flatnonzero(hidden), np.flatnonzero(~hidden)
    gain = cov[np.ix_(s, o)] @ np.linalg.inv(cov[np.ix_(o, o)])
    return gain @ x[o], cov[np.ix_(s, s)] - gain @ cov[np.ix_(o, s)]


def test_an_autoregression_with_a_fifth_of_the_entries_hidden():
    rng, cov, n = np.random.default_rng(2), autoregression(), 3000
    x = rng.multivariate_normal(np.zeros(8), cov, n)
    hidden = rng.random((n, 8)) < 0.2
    draws = np.broadcast_to(x, (K, n, 8)).copy()
    for i in np.flatnonzero(hidden.any(axis=1)):
        mean, rest = gaussian_conditional(cov, x[i], hidden[i])
        draws[:, i, hidden[i]] = mean + rng.multivariate_normal(np.zeros(len(rest)), rest, K)
    found = evaluate(draws, x, hidden)
    assert found["rmse_of_draw"] == pytest.approx(0.7718, rel=0.03)
    assert found["rmse_of_mean"] == pytest.approx(0.5457 * np.sqrt(1 + 1 / K), rel=0.03)
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.01)
    inner = gaussian_conditional(cov, np.zeros(8), np.arange(8) == 3)[1]
    assert inner[0, 0] == pytest.approx(0.2195, abs=1e-4)  # (1 - rho^2) / (1 + rho^2)


def test_scores_by_hand():
    """Draws 0 and 2 of the truth 1: E|X - x| is 1, and |X - X'| is 2 (K (K - 1) pairs), so the CRPS is 0."""
    np.testing.assert_allclose(crps(np.array([[0.0], [2.0]]), np.array([1.0])), [0])
    draws = np.array([[[3.0, 9.0]], [[0.0, 7.0]]])  # the second entry does not count
    found = evaluate(draws, np.array([[0.0, 0.0]]), np.array([[True, False]]))
    assert found["energy_score"] == found["crps"] == 1.5 - 1.5
    assert found["rmse_of_draw"] == 3 and found["rmse_of_mean"] == 1.5
    plane = np.array([[[3.0, 4.0]], [[0.0, 0.0]]])
    assert evaluate(plane, np.zeros((1, 2)), np.ones((1, 2), bool))["energy_score"] == 2.5 - 2.5
    with pytest.raises(UserError, match="are not 2 or more for each of the targets"):
        evaluate(draws[:1], np.zeros((1, 2)), np.ones((1, 2), bool))
    assert conditional.METRIC.best == "energy_score"
