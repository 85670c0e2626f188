"""L1, PSNR and SSIM by hand, by a loop over windows, and against each other for a perfect sampler."""

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.metrics.paired import evaluate, psnr, ssim


def test_psnr_is_the_mean_over_examples_of_their_scored_entries():
    """MSEs of .01 (half of the entries hidden) and .25: 20 dB and 6.02 dB; a third example has nothing to score."""
    targets = np.zeros((3, 2, 2, 1))
    x = np.array([[[0.1, 0.9], [0.1, 0.9]], [[0.5, 0.5], [0.5, 0.5]], [[1, 1], [1, 1]]])[..., None]
    scored = np.ones((3, 2, 2, 1), bool)
    scored[0, :, 1], scored[2] = False, False
    assert psnr(x, targets, scored) == pytest.approx((20 + 10 * np.log10(4)) / 2)
    found = evaluate(x[None].repeat(2, axis=0), targets, scored)
    assert found["l1"] == pytest.approx((0.1 * 2 + 0.5 * 4) / 6)
    assert found["psnr"] == found["psnr_of_mean"] and "ssim" not in found


def test_a_perfect_sampler_has_3_decibels_less_than_the_mean():
    rng = np.random.default_rng(0)
    draws, targets = rng.normal(0, 0.1, (200, 50, 400)), rng.normal(0, 0.1, (50, 400))
    found = evaluate(draws, targets, np.ones((50, 400), bool))
    assert found["psnr_of_mean"] - found["psnr"] == pytest.approx(10 * np.log10(2 / (1 + 1 / 200)), abs=0.05)


def test_ssim_by_a_loop_over_its_windows():
    rng = np.random.default_rng(0)
    x = rng.random((2, 13, 12, 2))
    y = np.clip(x + rng.normal(0, 0.2, x.shape), 0, 1)
    row = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights = (np.outer(row, row) / row.sum() ** 2)[..., None]
    values = []
    for i in range(3):
        for j in range(2):
            a, b = x[:, i : i + 11, j : j + 11], y[:, i : i + 11, j : j + 11]
            mean = lambda v: np.sum(weights * v, axis=(1, 2))  # noqa: E731
            ma, mb = mean(a), mean(b)
            va, vb, cov = mean((a - ma[:, None, None]) ** 2), mean((b - mb[:, None, None]) ** 2), mean(a * b) - ma * mb
            values.append((2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    np.testing.assert_allclose(ssim(x, y), np.mean(values, axis=(0, 2)), rtol=1e-9)
    np.testing.assert_allclose(ssim(x, x), 1, rtol=1e-12)
    assert evaluate(np.stack([y, y]), x, np.ones(x.shape, bool))["ssim"] == pytest.approx(ssim(y, x).mean())
    with pytest.raises(UserError, match=r"windows of 11 pixels, and the images are of 8x8"):
        ssim(x[:, :8, :8], y[:, :8, :8])
