"""FID against closed forms, SciPy's matrix square root, and its known bias."""

import math
import warnings

import numpy as np
import pytest
import scipy.linalg

from jaxgan.errors import UserError
from jaxgan.metrics import fid


def normal(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def by_definition(x: np.ndarray, y: np.ndarray) -> float:
    c1, c2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)  # of singular products
        root = scipy.linalg.sqrtm(c1 @ c2)
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(c1) + np.trace(c2) - 2 * np.trace(root).real


def test_by_hand():
    # Means 1 and 5; variances over n - 1: 2 and 8. (1 - 5)^2 + 2 + 8 - 2 sqrt(16) = 18.
    assert fid.evaluate(np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]])) == pytest.approx(18, rel=1e-14)


def test_gaussians_that_commute():
    """||m||^2 + sum (a - b)^2 for deviations a and b along the same axes, rotated."""
    q = np.linalg.qr(normal(0, 5, 5))[0]
    a, b, mean = np.array([1.0, 2, 3, 4, 0]), np.array([3.0, 2, 1, 0.5, 0.25]), np.arange(5.0)
    got = fid.from_moments(np.zeros(5), q * a**2 @ q.T, mean, q * b**2 @ q.T)
    assert got == pytest.approx(30 + np.sum((a - b) ** 2), rel=1e-8)  # sqrt of rounding: a is 0 once


@pytest.mark.parametrize("n, m", [(200, 300), (31, 32)])
def test_against_the_matrix_square_root(n, m):
    mix = normal(2, 30, 30)
    x, y = normal(0, n, 30), 0.7 * normal(1, m, 30) @ mix + 0.3
    assert fid.evaluate(x, y) == pytest.approx(by_definition(x, y), rel=1e-9)
    assert fid.from_moments(*fid.moments(x), *fid.moments(y)) == pytest.approx(fid.evaluate(x, y), rel=1e-9)
    assert fid.evaluate(x, y) == pytest.approx(fid.evaluate(y, x), rel=1e-9)


@pytest.mark.parametrize("n, m", [(10, 12), (10, 200), (200, 10), (30, 31), (2, 2)])
def test_few_examples(n, m):
    """The nuclear norm needs no covariance: the same number, and more exact than the covariances' own."""
    x, y = normal(0, n, 30), 2 * normal(1, m, 30) + 0.3
    assert fid.evaluate(x, y) == pytest.approx(by_definition(x, y), rel=1e-6)
    assert fid.from_moments(*fid.moments(x), *fid.moments(y)) == pytest.approx(fid.evaluate(x, y), rel=1e-6)


def test_one_distribution_is_at_distance_0():
    for n in (10, 500):
        x = normal(0, n, 20)
        assert 0 <= fid.evaluate(x, x) < 1e-6 * 20
        assert fid.evaluate(x, x + 3) == pytest.approx(180, rel=1e-9)


def test_singular_covariances():
    """Dead and repeated features, which make Cholesky factors fail or go wrong."""
    x, y = normal(0, 300, 6), normal(1, 300, 6) + 1
    spread = np.zeros((6, 10))
    spread[:, :6] = np.eye(6)
    spread[0, 6], spread[1, 7] = 1, 2
    assert fid.evaluate(x @ spread, y @ spread) == pytest.approx(by_definition(x @ spread, y @ spread), rel=1e-6)
    scales = np.logspace(0, -9, 6)
    assert fid.evaluate(x * scales, y * scales) == pytest.approx(by_definition(x * scales, y * scales), rel=1e-6)


def test_float32_features_far_from_the_origin():
    x, y = (normal(i, 400, 8).astype(np.float32) + np.float32(1000) for i in (0, 1))
    want = by_definition(x.astype(np.float64), y.astype(np.float64))
    assert fid.evaluate(x, y) == pytest.approx(want, rel=1e-8)


def test_moments_in_pieces(monkeypatch):
    x = normal(0, 1000, 7) + 5
    monkeypatch.setattr(fid, "CHUNK_NUMBERS", 100)
    mean, covariance = fid.moments(x)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(covariance, np.cov(x, rowvar=False), atol=1e-13)


def test_rectified_gaussians():
    """2,048 x the distance of ReLU(N(0, 1)) and ReLU(N(1, 1)) is the 1123.04 of arXiv:1801.01401, appendix D."""

    def moments(mean: float) -> tuple[float, float]:
        cdf, pdf = (1 + math.erf(mean / math.sqrt(2))) / 2, math.exp(-(mean**2) / 2) / math.sqrt(2 * math.pi)
        first = mean * cdf + pdf
        return first, (mean**2 + 1) * cdf + mean * pdf - first**2

    (m1, v1), (m2, v2) = moments(0), moments(1)
    ones, eye = np.ones(16), np.eye(16)
    got = fid.from_moments(m1 * ones, v1 * eye, m2 * ones, v2 * eye) * 2048 / 16
    assert got == pytest.approx(1123.04, abs=0.01)
    d, n = 64, 3000
    x = np.maximum(normal(0, n, d), 0)
    biased = fid.from_moments(*fid.moments(x), m2 * np.ones(d), v2 * np.eye(d))
    bias = d * v1 / n + math.sqrt(v1 * v2) * d * (d + 1) / (4 * (n - 1))
    assert biased - 1123.04 * d / 2048 == pytest.approx(bias, abs=0.35)  # its deviation: see the slope in the means
    assert bias == pytest.approx(0.183, abs=1e-3)


def test_bias_of_equal_gaussians():
    """E FID of N examples of N(0, I_d) against its moments: d/N + d(d+1)/(4 (N-1)), which is .221 at d 64, N 5,000."""
    d, n = 64, 5000
    want = d / n + d * (d + 1) / (4 * (n - 1))
    assert want == pytest.approx(0.221, abs=5e-4)
    got = [fid.from_moments(*fid.moments(normal(i, n, d)), np.zeros(d), np.eye(d)) for i in range(5)]
    assert np.mean(got) == pytest.approx(want, rel=0.03)


def test_infinity():
    """N(0, I) is at 0 from itself: 400 examples show d/N + d(d+1)/(4(N-1)) = .21, the intercept does not."""
    d = 16
    real = normal(0, 40_000, d)
    found = fid.infinity(real, normal(1, 400, d), seed=3)
    assert len(found.sizes) == len(found.fids) == 15 and found.sizes[0] == 40 and found.sizes[-1] == 400
    assert found.fids[-1] == pytest.approx(fid.evaluate(real, normal(1, 400, d)), rel=1e-9)  # the subset is everything
    slope, intercept = np.polyfit(1 / np.array(found.sizes), found.fids, 1)
    assert (found.fid, found.slope) == pytest.approx((intercept, slope), rel=1e-9)
    found = [fid.infinity(real, normal(i, 400, d), sizes=(200, 300, 400)) for i in range(1, 9)]
    assert np.mean([f.fids[-1] for f in found]) == pytest.approx(d / 400 + d * (d + 1) / (4 * 399), rel=0.1)
    assert abs(np.mean([f.fid for f in found])) < 0.04


def test_extrapolate_finds_a_line():
    sizes = np.array([10, 20, 50])
    assert fid.extrapolate(sizes, 3 + 7 / sizes) == pytest.approx((3, 7), rel=1e-12)


def test_bad_input_is_one_sentence():
    x = normal(0, 9, 3)
    for bad, words in (
        (x[:1], "at least 2 fake features, not 1"),
        (x[:0], "at least 2 fake features, not 0"),
        (x[:, :2], "3 dimensions and fake features 2"),
        (np.ones((9, 3)), "all 9 fake features are equal"),
        (np.where(np.eye(9, 3), np.nan, x), "fake features are not finite in 3 of 3"),
        (np.where(np.eye(9, 3)[:1], np.inf, x), "fake features are not finite in 1 of 3"),
        (x[0], "not rows of numbers"),
    ):
        with pytest.raises(UserError, match=words):
            fid.evaluate(x, bad)
    with pytest.raises(UserError, match="at least 2 real features, not 1"):
        fid.evaluate(x[:1], x)
    with pytest.raises(UserError, match="covariance"):
        fid.from_moments(np.zeros(2), np.eye(2), np.zeros(2), np.eye(3))
    with pytest.raises(UserError, match="not finite"):
        fid.from_moments(np.zeros(2), np.eye(2), np.zeros(2), np.eye(2) * np.nan)
    for sizes in ((5,), (1, 5), (5, 10), (5, 5)):
        with pytest.raises(UserError, match="2 to 9 fake features"):
            fid.infinity(x, x, sizes=sizes)
    with pytest.raises(UserError, match="two different sizes"):
        fid.extrapolate([5, 5], [1, 2])
