"""The Parzen window against float64 sums written from its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from jaxgan.errors import UserError
from jaxgan.metrics.parzen import (
    BATCH_SIZE,
    MAX_VALIDATION,
    SIGMAS,
    evaluate,
    log_likelihood,
    log_likelihoods,
    select_sigma,
)


def reference(samples: np.ndarray, x: np.ndarray, sigma: float) -> np.ndarray:
    """log (1/m) sum_j N(x; y_j, sigma^2 I), distances from differences, float64."""
    samples, x = (a.reshape(len(a), -1).astype(np.float64) for a in (samples, x))
    squares = np.stack([((samples - row) ** 2).sum(axis=1) for row in x])
    d = samples.shape[1]
    constant = math.log(len(samples)) + d * math.log(sigma * math.sqrt(2 * math.pi))
    return logsumexp(-squares / (2 * sigma**2), axis=1) - constant


def images(n: int, seed: int) -> np.ndarray:
    """Smooth 28 x 28 images in [0, 1], mostly black, a few degrees of freedom each."""
    r = np.random.default_rng(seed)
    u, v = np.meshgrid(np.linspace(0, 1, 28), np.linspace(0, 1, 28))
    a, b, c = (r.random((n, 1, 1)) for _ in range(3))
    blobs = np.exp(-((u - a) ** 2 + (v - b) ** 2) / (0.02 + 0.05 * c))
    return np.where(blobs > 0.1, blobs, 0).astype(np.float32)


def agrees(got: np.ndarray, want: np.ndarray, d: int) -> None:
    """To 1e-4 relative; where positive and negative terms cancel, to the rounding of those terms."""
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6 * d)


@pytest.mark.parametrize("sigma", [0.1, 0.1668, 0.3, 1.0])
def test_784_dimensions(sigma: float):
    samples, x = images(300, 0), images(60, 1)
    agrees(np.asarray(log_likelihood(samples, x, sigma)), reference(samples, x, sigma), 784)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 1.0])
def test_samples_equal_to_the_data(sigma: float):
    """The squared distance is 0, where ||x||^2 + ||y||^2 - 2 x.y keeps no digits."""
    x = images(100, 2)
    agrees(np.asarray(log_likelihood(x, x, sigma)), reference(x, x, sigma), 784)


def test_data_far_from_the_origin():
    samples, x = images(100, 0) + np.float32(100), images(20, 1) + np.float32(100)
    agrees(np.asarray(log_likelihood(samples, x, 0.2)), reference(samples, x, 0.2), 784)


def test_an_example_far_from_every_sample_stays_finite():
    samples, x = np.zeros((5, 3), np.float32), np.full((1, 3), 1000.0, np.float32)
    agrees(np.asarray(log_likelihood(samples, x, 0.1)), reference(samples, x, 0.1), 3)


def test_one_sample_is_a_gaussian():
    x = np.linspace(-3, 3, 13, dtype=np.float32)[:, None]
    want = norm(0.5, 0.7).logpdf(x[:, 0])
    np.testing.assert_allclose(log_likelihood(np.array([[0.5]], np.float32), x, 0.7), want, rtol=1e-5)


def test_by_hand():
    """Two samples at -1 and 1: p(0) = N(1; 0, 1), p(1) = (N(0; 0, 1) + N(2; 0, 1)) / 2."""
    samples, x = np.array([[-1.0], [1.0]], np.float32), np.array([[0.0], [1.0]], np.float32)
    want = np.log([norm.pdf(1), (norm.pdf(0) + norm.pdf(2)) / 2])
    np.testing.assert_allclose(log_likelihood(samples, x, 1.0), want, rtol=1e-6)


def test_every_sigma_from_the_same_distances():
    samples, x = images(50, 0), images(10, 1)
    got = np.asarray(log_likelihoods(samples, x, SIGMAS))
    assert got.shape == (10, 10)
    for row, sigma in zip(got, SIGMAS, strict=True):
        agrees(row, reference(samples, x, sigma), 784)


@pytest.mark.parametrize("n", [1, BATCH_SIZE, BATCH_SIZE + 1])
def test_tiles_do_not_show(n: int):
    r = np.random.default_rng(0)
    samples, x = r.random((7, 2), np.float32), r.random((n, 2), np.float32)
    agrees(np.asarray(log_likelihood(samples, x, 0.3)), reference(samples, x, 0.3), 2)


def test_any_image_shape():
    samples, x = images(9, 0)[..., None], images(4, 1)
    np.testing.assert_array_equal(
        log_likelihood(samples, x, 0.2), log_likelihood(samples.reshape(9, -1), x.reshape(4, -1), 0.2)
    )


def test_select_sigma_takes_the_likeliest():
    r = np.random.default_rng(0)
    samples, validation = r.normal(size=(200, 2)), r.normal(size=(100, 2))
    scores = [reference(samples, validation, s).mean() for s in SIGMAS]
    assert select_sigma(samples, validation, SIGMAS) == SIGMAS[np.argmax(scores)]
    assert 0 < np.argmax(scores) < 9  # so the test can tell


def test_evaluate():
    r = np.random.default_rng(0)
    samples, test = r.normal(size=(200, 2)), r.normal(size=(300, 2))
    validation = r.normal(size=(MAX_VALIDATION + 50, 2))
    validation[MAX_VALIDATION:] = 1e3  # beyond the first 1,000: must not count
    sigma = select_sigma(samples, validation[:MAX_VALIDATION], SIGMAS)
    want = reference(samples, test, sigma)

    got = evaluate(samples, validation, test, SIGMAS)
    assert got.sigma == sigma and not got.at_edge
    assert got.mean == pytest.approx(want.mean(), rel=1e-5)
    assert got.standard_error == pytest.approx(want.std() / math.sqrt(300), rel=1e-4)
    assert evaluate(samples, validation, test, [sigma, 1.5 * sigma]).at_edge
    assert evaluate(samples, validation, test, [0.01 * sigma, sigma]).at_edge


def test_the_papers_grid():
    assert len(SIGMAS) == 10 and SIGMAS[0] == pytest.approx(0.1) and SIGMAS[-1] == pytest.approx(1.0)
    assert SIGMAS[2] == pytest.approx(0.1668, abs=1e-4)  # the point that 225 needs


def test_bad_input_is_one_sentence():
    x = np.zeros((3, 4), np.float32)
    with pytest.raises(UserError, match="4 numbers each and the data 5"):
        log_likelihood(x, np.zeros((3, 5), np.float32), 0.1)
    with pytest.raises(UserError, match="0 samples and 3 examples"):
        log_likelihood(x[:0], x, 0.1)
    with pytest.raises(UserError, match="3 samples and 0 examples"):
        evaluate(x, x, x[:0], [0.1])
    for sigmas in ([], [0.1, 0.0], [-1.0], [math.nan]):
        with pytest.raises(UserError, match="above 0"):
            select_sigma(x, x, sigmas)
