"""Mode metrics by hand, against the mixtures' own samples, and over a population."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxgan.data.mixture import MIXTURES, Mixture, sample
from jaxgan.errors import UserError
from jaxgan.metrics.modes import count, coverage, density_jsd, evaluate, high_quality_kl, histogram_cells

# Three modes of std .1 at 0, 1 and 5, with the second twice as likely.
LINE = Mixture(
    np.array([0.25, 0.5, 0.25], np.float32),
    np.array([[0.0], [1.0], [5.0]], np.float32),
    np.full(3, 0.1, np.float32),
)


def test_coverage_by_hand():
    # 0 and .2 lie within .3 of mode 0; 1.25 of mode 1; 1.4 and 4 are nearest to modes 1 and 2, but too far.
    samples = np.array([[0.0], [0.2], [1.25], [1.4], [4.0]], np.float32)
    got = coverage(samples, LINE)
    assert float(got["modes"]) == 2
    assert float(got["high_quality"]) == pytest.approx(3 / 5)
    shares = np.array([2, 2, 1]) / 5
    assert float(got["mode_kl"]) == pytest.approx(np.sum(shares * np.log(shares / LINE.weights)), rel=1e-5)
    m = (shares + LINE.weights) / 2
    jsd = (np.sum(shares * np.log(shares / m)) + np.sum(LINE.weights * np.log(LINE.weights / m))) / 2
    assert float(got["mode_jsd"]) == pytest.approx(jsd, rel=1e-4)


def test_high_quality_kl_counts_samples_that_hit_a_mode():
    """As PacGAN's code: 0 and .2 are of mode 0, 1.25 of mode 1; 1.4 and 4, which hit none, count for none."""
    samples = np.array([[0.0], [0.2], [1.25], [1.4], [4.0]], np.float32)
    got = float(high_quality_kl(samples, LINE)["high_quality_kl"])
    assert got == pytest.approx(2 / 3 * math.log(2 / 3 / 0.25) + 1 / 3 * math.log(1 / 3 / 0.5), rel=1e-5)
    assert got != pytest.approx(float(coverage(samples, LINE)["mode_kl"]), rel=0.1)


def test_high_quality_kl_without_a_hit_is_its_largest_and_nan_where_a_sample_is():
    far, lost = np.full((9, 1), 3.0, np.float32), np.array([[0.0], [np.nan]], np.float32)
    assert float(high_quality_kl(far, LINE)["high_quality_kl"]) == pytest.approx(math.log(4), rel=1e-6)
    assert float(high_quality_kl(np.zeros((9, 1)), LINE)["high_quality_kl"]) == pytest.approx(math.log(4), rel=1e-6)
    assert np.isnan(high_quality_kl(lost, LINE)["high_quality_kl"])


def test_the_floor_of_high_quality_kl():
    """(K - 1) / (2 n), the bias of a histogram: .0048 for 2,500 samples of the grid."""
    score = jax.jit(jax.vmap(lambda key: high_quality_kl(sample(MIXTURES["grid25"], key, 2500), MIXTURES["grid25"])))
    mean = float(np.mean(score(jax.random.split(jax.random.key(0), 50))["high_quality_kl"]))
    assert mean == pytest.approx(24 / 5000, rel=0.15)


def test_a_collapsed_generator():
    got = evaluate(np.ones((100, 1), np.float32), LINE, cells=60)
    assert float(got["modes"]) == 1 and float(got["high_quality"]) == 1
    assert float(got["mode_kl"]) == pytest.approx(math.log(2), rel=1e-6)  # all on a mode of weight 1/2
    # One of 60 cells holds everything: with its exact probability p, JSD follows by hand.
    width = (5.6 + 0.6) / 60
    low = math.floor((1 + 0.6) / width) * width - 0.6
    p = 0.5 * (norm(1, 0.1).cdf(low + width) - norm(1, 0.1).cdf(low))
    want = (math.log(2 / (1 + p)) + p * math.log(2 * p / (1 + p)) + (1 - p) * math.log(2)) / 2
    assert float(got["jsd"]) == pytest.approx(want, rel=1e-4)


def test_near_means_near_in_standard_deviations():
    """.9 is nearer to the narrow mode at 1.3 than to the broad one at 0, but only the latter reaches it."""
    mixture = Mixture(np.array([0.5, 0.5]), np.array([[0.0], [1.3]]), np.array([0.5, 0.1]))
    got = coverage(np.array([[0.9]]), mixture)
    assert float(got["modes"]) == 1 and float(got["high_quality"]) == 1


@pytest.mark.parametrize("name, share", [("gaussian", 0.9973), ("ring8", 1 - math.exp(-4.5))])
def test_the_mixtures_own_samples(name: str, share: float):
    mixture = MIXTURES[name]
    got = evaluate(sample(mixture, jax.random.key(0), 20_000), mixture, cells=100)
    assert float(got["modes"]) == len(mixture.weights)
    assert float(got["high_quality"]) == pytest.approx(share, abs=0.003)
    assert float(got["mode_kl"]) < 1e-3 and float(got["mode_jsd"]) < 1e-3


@pytest.mark.parametrize("name, cells, n", [("gaussian", 40, 2000), ("bimodal", 60, 4000), ("ring8", 212, 10_000)])
def test_bias_of_density_jsd_is_as_documented(name: str, cells: int, n: int):
    mixture = MIXTURES[name]
    score = jax.jit(jax.vmap(lambda key: density_jsd(sample(mixture, key, n), mixture, cells)))
    mean = float(score(jax.random.split(jax.random.key(0), 20)).mean())

    reach = 6 * mixture.scales[0]
    low, high = mixture.means.min(0) - reach, mixture.means.max(0) + reach
    edges = np.linspace(low, high, cells + 1, axis=1)
    inside = np.diff(norm.cdf((edges[None] - mixture.means[:, :, None]) / mixture.scales[0]))
    p = np.einsum("ki,kj->ij", inside[:, 0], inside[:, 1]) if len(low) == 2 else inside.sum(axis=0)
    occupied = np.sum(n * p / len(mixture.weights) > 1 / 3)
    assert 0.9 < mean / ((occupied - 1) / (8 * n)) < 1.4


def test_density_jsd_of_shifted_samples():
    """N(.5, 1) against N(0, 1): the histogram's JSD is the densities', up to its bias of about 2e-4."""
    x = np.linspace(-10, 10, 4001)
    p, q = norm.pdf(x), norm.pdf(x, 0.5)
    m = (p + q) / 2
    want = np.sum(p * np.log(p / m) + q * np.log(q / m)) / 2 * (x[1] - x[0])
    samples = sample(MIXTURES["gaussian"], jax.random.key(0), 50_000) + jnp.float32(0.5)
    score = evaluate(samples, MIXTURES["gaussian"], cells=60)["jsd"]
    assert float(score) == pytest.approx(want, abs=2e-3)


@pytest.mark.parametrize("far", [100.0, 1e20])
def test_samples_outside_the_box_share_nothing(far: float):
    for name in ("gaussian", "ring8"):
        mixture = MIXTURES[name]
        samples = np.full((50, mixture.means.shape[1]), far, np.float32)
        got = evaluate(samples, mixture, cells=50)
        assert float(got["jsd"]) == pytest.approx(math.log(2), abs=1e-5)
        assert float(got["modes"]) == 0 and float(got["high_quality"]) == 0
        assert all(np.isfinite(score) for score in got.values())


def test_samples_that_are_not_finite_score_nan():
    for bad in (np.nan, np.inf):
        samples = np.zeros((10, 2), np.float32)
        samples[3, 1] = bad
        assert all(np.isnan(score) for score in evaluate(samples, MIXTURES["ring8"], cells=20).values())


def test_a_population_scores_like_its_members():
    mixture = MIXTURES["ring8"]
    samples = jax.random.normal(jax.random.key(0), (3, 200, 2)) * jnp.asarray([0.1, 1, 2])[:, None, None]
    together = jax.jit(jax.vmap(lambda s: evaluate(s, mixture, cells=30)))(samples)
    for i in range(3):
        for name, score in evaluate(samples[i], mixture, cells=30).items():
            assert score.shape == () and score.dtype == jnp.float32
            np.testing.assert_allclose(together[name][i], score, rtol=1e-5, atol=1e-7, err_msg=name)


def test_bad_input_is_one_sentence():
    with pytest.raises(UserError, match=r"\(5, 3\).*2 dimensions"):
        coverage(np.zeros((5, 3)), MIXTURES["ring8"])
    with pytest.raises(UserError, match="at least one"):
        evaluate(np.zeros((0, 2)), MIXTURES["ring8"], cells=10)
    with pytest.raises(UserError, match="1 or 2 dimensions, not 3"):
        density_jsd(np.zeros((5, 3)), Mixture(np.ones(1), np.zeros((1, 3)), np.ones(1)), cells=4)


def test_histogram_cells_are_no_larger_than_a_scale():
    for name, mixture in MIXTURES.items():
        cells = histogram_cells(mixture)
        widths = np.ptp(mixture.means.astype(np.float64), axis=0) + 12 * mixture.scales[0]
        assert np.all(widths / cells <= mixture.scales[0] * (1 + 1e-5)), name
        assert cells == (212 if name.startswith("ring8") else 200)
    narrow = Mixture(np.array([0.5, 0.5]), np.array([[0.0, 0], [1, 1]]), np.array([1e-5, 1e-5]))
    assert histogram_cells(narrow) == 1024  # what is affordable
    assert histogram_cells(Mixture(*narrow[:1], narrow.means[:, :1], narrow.scales)) == 100_012
    samples = sample(MIXTURES["ring8"], jax.random.key(0), 2000)
    assert evaluate(samples, MIXTURES["ring8"]) == evaluate(samples, MIXTURES["ring8"], cells=212)


def test_a_mode_that_is_too_narrow_is_detected():
    """Samples at a tenth of ring8's deviation: in cells of a deviation they score as other than the mixture's own."""
    mixture = MIXTURES["ring8"]
    own, narrow = (
        float(evaluate(sample(m, jax.random.key(0), 5000), mixture)["jsd"])
        for m in (mixture, mixture._replace(scales=mixture.scales / 10))
    )
    assert own < 0.05 < 0.2 < narrow


def test_count_by_hand():
    got = count(np.array([0, 0, 2, 3]), 8)
    # 1/2 log(8/2) + 2 * 1/4 log(8/4)
    assert got == {"modes": 3, "mode_kl": pytest.approx(1.5 * math.log(2), rel=1e-12)}
    assert count(np.arange(1000), 1000) == {"modes": 1000, "mode_kl": pytest.approx(0, abs=1e-12)}
    assert count(np.full(9, 5), 1000) == {"modes": 1, "mode_kl": pytest.approx(math.log(1000), rel=1e-12)}


def test_the_floor_of_stacked_mnist():
    """Perfect sampling of 1,000 modes scores 999 / (2 n) in 26,000 samples: .0192."""
    r = np.random.default_rng(0)
    got = np.mean([count(r.integers(0, 1000, 26_000), 1000)["mode_kl"] for _ in range(20)])
    assert got == pytest.approx(999 / 52_000, rel=0.04)


def test_labels_that_are_none():
    for labels, words in (
        (np.array([0, 8]), "0 to 8 are not all among 8"),
        (np.array([-1, 3]), "-1 to 3"),
        (np.array([], int), "at least one"),
        (np.array([0.5]), "integers"),
        (np.zeros((3, 2), int), r"\(3, 2\)"),
    ):
        with pytest.raises(UserError, match=words):
            count(labels, 8)
