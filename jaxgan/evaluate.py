"""Metrics and pictures of samples: what `--mode=evaluate`, `--mode=sample` and the training loop show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan import plots
from jaxgan.data import Dataset, mixture
from jaxgan.data.decode import decode, encode
from jaxgan.gan import Gan, sample
from jaxgan.hparams import HParams
from jaxgan.metrics import modes, parzen
from jaxgan.state import GanState, stream

# The metric that names the best checkpoint: larger is better, and never measured on the test set.
SCORE = "score"
CELLS = 200  # a dimension, of the histogram behind a mixture's JSD


def sampler(gan: Gan, portion: int = 1000) -> Callable[[HParams, GanState, jax.Array, int], np.ndarray]:
    """A function (hparams, state, key, n) -> samples [n, *shape] float32, drawn `portion` at a time."""
    compiled = jax.jit(lambda *args: sample(gan, *args))

    def draw(hparams: HParams, state: GanState, key: jax.Array, n: int) -> np.ndarray:
        size = min(portion, n)
        starts = range(0, n, size)
        parts = [
            compiled(hparams, state.generator.params, key, jnp.arange(i, i + size, dtype=jnp.uint32)) for i in starts
        ]
        return np.concatenate([np.asarray(part) for part in parts])[:n]

    return draw


def evaluator(
    config: ConfigDict, gan: Gan, dataset: Dataset
) -> Callable[[HParams, GanState], dict[str, float]]:
    """A function (hparams, state) -> metrics of `evaluate.samples` samples, `score` among them.

    Images: the paper's Parzen log-likelihood (section 5), sigma chosen on the first 1,000
    validation images, in nats; score = that of the validation set. Mixtures: modes captured,
    share of high-quality samples, and JSD(p_data || p_g) in nats; score = -JSD.
    """
    draw = sampler(gan)
    if dataset.mixture is None:
        validation, test = (np.asarray(decode(x, config.data.contrast)) for x in (dataset.validation, dataset.test))

    def evaluate(hparams: HParams, state: GanState) -> dict[str, float]:
        samples = draw(hparams, state, jax.random.fold_in(stream(hparams, "sample"), 1), config.evaluate.samples)
        if dataset.mixture is not None:
            scores = modes.evaluate(samples, *dataset.mixture, cells=CELLS)
            return {name: float(number) for name, number in scores.items()} | {SCORE: -float(scores["jsd"])}
        estimate = parzen.evaluate(samples, validation, test, parzen.SIGMAS)
        likelihoods = parzen.log_likelihood(samples, validation[: parzen.VALIDATION], estimate.sigma)
        return {
            "parzen_sigma": estimate.sigma,
            "parzen_sigma_at_edge": float(estimate.at_edge),
            "validation_log_likelihood": float(np.mean(likelihoods)),
            "test_log_likelihood": estimate.mean,
            "test_standard_error": estimate.standard_error,
            SCORE: float(np.mean(likelihoods)),
        }

    return evaluate


def save_picture(path: Path, config: ConfigDict, samples: np.ndarray) -> None:
    """A picture of samples: a grid of images, or points over the density of `mixture:NAME`."""
    if samples.ndim == 4:
        plots.save_png(path, plots.grid(encode(samples, config.data.contrast), rows=config.sample.rows))
    else:
        density, _, _, test = mixture.load(config.data.name.removeprefix("mixture:"))
        plots.points(path, samples, test, density)
