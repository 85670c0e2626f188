"""Rejection sampling by D: with the true logit in one dimension the samples are of p, to the floor of a test."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgan.config import default, update
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.evaluation import rejection
from jaxgan.game.build import build
from jaxgan.networks.layers import DataSpec

MEANS, DEVIATION, WIDE = (-1.0, 1.0), 0.5, 1.5


def log_p(x):
    return jax.nn.logsumexp(jnp.stack([jax.scipy.stats.norm.logpdf(x, m, DEVIATION) for m in MEANS]), axis=0) - np.log(
        2
    )


def distribution(x):
    return np.mean([stats.norm.cdf(x, m, DEVIATION) for m in MEANS], axis=0)


@pytest.fixture(scope="module")
def sampler():
    """Samples of N(0, 1.5^2), accepted by the logarithm of their density ratio to two modes."""
    config = update(default(), {"generator.output": "linear", "prior.size": 1})
    true_logit = lambda x: log_p(x[:, 0]) - jax.scipy.stats.norm.logpdf(x[:, 0], 0.0, WIDE)  # noqa: E731
    gan = build(config, DataSpec((1,)), 100)._replace(
        G=lambda params, stats, z, *_, **flags: (WIDE * z, stats),
        D=lambda params, stats, x, *_, **flags: (SimpleNamespace(logits=true_logit(x)), stats),
    )
    sample, hparams = rejection.make_rejection_sampler(gan), traced(config)
    state = gan.init(hparams)
    return lambda n, quantile: sample(hparams, state, jax.random.key(0), n, quantile)


def test_the_true_logit_gives_samples_of_p(sampler):
    """By Kolmogorov and Smirnov; the share accepted is 1 / max(p / q)."""
    x, share = sampler(20_000, 1.0)
    assert stats.kstest(x[:, 0], distribution).pvalue > 0.01
    grid = np.linspace(-4, 4, 8001)
    largest = float(jnp.max(log_p(grid) - stats.norm.logpdf(grid, 0, WIDE)))
    assert share == pytest.approx(np.exp(-largest), rel=0.02)
    half, more = sampler(20_000, 0.5)
    assert stats.kstest(half[:, 0], distribution).pvalue < 1e-3 and more > share + 0.05


def test_more_samples_append(sampler):
    x, _ = sampler(1500, 1.0)
    np.testing.assert_array_equal(sampler(7, 1.0)[0], x[:7])


def test_the_first_accepted_attempt_counts():
    """By hand: sample 0 is accepted at its third attempt, sample 1 at its first, so 2 of 4 candidates."""

    def draw(numbers, attempts):
        good = (attempts == np.where(numbers == 0, 2, 0)) | (attempts > 3)
        return np.stack([numbers, attempts], axis=1), np.where(good, 0.0, -5.0), np.full(len(numbers), -1.0)

    x, share = rejection.accept(draw, 2, level=0.0)
    assert x.tolist() == [[0, 2], [1, 0]] and share == 0.5
    with pytest.raises(UserError, match="fewer than one in 1000"):
        rejection.accept(lambda i, t: (i, np.full(len(i), -99.0), np.full(len(i), -1.0)), 3, level=0.0)
