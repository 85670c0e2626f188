"""How good samples are, as pure functions of one GAN's state: for a single run and for a population alike."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.data import Dataset
from jaxgan.data.decode import decode
from jaxgan.errors import UserError
from jaxgan.gan import Gan, sample
from jaxgan.hparams import HParams
from jaxgan.metrics import modes, parzen
from jaxgan.state import GanState, stream

# The metric that names the best checkpoint: larger is better, and never measured on the test set.
SCORE = "score"
PORTION = 1000  # samples drawn at a time


def draw(gan: Gan, hparams: HParams, state: GanState, key: jax.Array, n: int) -> jax.Array:
    """The first `n` samples of the stream `key`: [n, *shape] float32."""
    size = min(PORTION, n)
    starts = jnp.arange(0, n, size, dtype=jnp.uint32)
    numbers = jnp.arange(size, dtype=jnp.uint32)
    parts = jax.lax.map(lambda first: sample(gan, hparams, state.theta_g, key, first + numbers), starts)
    return parts.reshape(-1, *parts.shape[2:])[:n]


def measure(config: ConfigDict, gan: Gan, dataset: Dataset) -> Callable[[HParams, GanState], dict[str, jax.Array]]:
    """A function (hparams, state) -> float32 scalars on `evaluate.samples` samples, `score` among them.

    Images: the paper's Parzen log-likelihood (section 5), sigma chosen on the first 1,000
    validation images, in nats; score = that of the validation set. Mixtures: modes captured,
    share of high-quality samples, and JSD(p_data || p_g) in nats; score = -JSD.
    """

    if dataset.mixture is None and not (len(dataset.validation) and len(dataset.test)):
        raise UserError(
            f"{dataset.name} leaves {len(dataset.validation)} validation and {len(dataset.test)} test images to "
            f"evaluate on; set data.validation={config.data.validation} above 0."
        )

    def scores(hparams: HParams, state: GanState) -> dict[str, jax.Array]:
        key = jax.random.fold_in(stream(hparams, "sample"), 1)
        samples = draw(gan, hparams, state, key, config.evaluate.samples)
        if dataset.mixture is not None:
            found = modes.evaluate(samples, dataset.mixture)
            return found | {SCORE: -found["jsd"]}
        held_out, test = (decode(jnp.asarray(x), config.data.contrast) for x in (dataset.validation, dataset.test))
        sigmas = jnp.asarray(parzen.SIGMAS, jnp.float32)
        likelihoods = jnp.mean(parzen.log_likelihoods(samples, held_out[: parzen.VALIDATION], sigmas), axis=1)
        best = jnp.argmax(likelihoods)
        tested = parzen.log_likelihood(samples, test, sigmas[best])
        return {
            "parzen_sigma": sigmas[best],
            "parzen_sigma_at_edge": ((best == 0) | (best == len(sigmas) - 1)).astype(jnp.float32),
            "validation_log_likelihood": likelihoods[best],
            "test_log_likelihood": jnp.mean(tested),
            "test_standard_error": jnp.std(tested) / jnp.sqrt(jnp.float32(len(tested))),
            SCORE: likelihoods[best],
        }

    return scores
