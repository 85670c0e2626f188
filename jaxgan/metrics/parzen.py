"""The log-likelihood of test data under a Gaussian Parzen window on samples: the paper's Table 1.

The density is a mixture of Gaussians of width sigma centred on the samples; sigma maximizes the likelihood of
validation data (arXiv:1406.2661, section 5). It can rank models wrongly (Theis et al., arXiv:1511.01844), so report it
together with other metrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Float32, Num

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.metrics.distances import relative_squares
from jaxgan.metrics.protocol import Display, Metric

SIGMAS = np.logspace(-1, 0, 10)  # the paper's grid
MAX_VALIDATION = 1000  # validation examples, the first ones, on which sigma is chosen
BATCH_SIZE = 500  # examples per batch; their distances to 10,000 samples take 20 MB


Sigmas: TypeAlias = Float[AnyArray, " S"] | Sequence[float]
Examples: TypeAlias = Num[AnyArray, "_ ..."]


class Estimate(NamedTuple):
    sigma: float  # chosen on the validation data
    mean: float  # mean log-likelihood of the test data, nats per example
    standard_error: float  # of that mean, over test examples: standard deviation / sqrt(n)
    at_edge: bool  # sigma is the smallest or the largest tried, so a better one may lie beyond


def evaluate(samples: Examples, validation: Examples, test: Examples, sigmas: Sigmas) -> Estimate:
    """The paper's protocol: chooses sigma on the first 1,000 validation examples, then scores the test examples.

    Args:
      samples: from the generator (the paper: 10,000).
      validation, test: data in the samples' range.
      sigmas: candidates, such as the paper's `SIGMAS`, in the data's unit.

    Raises:
      UserError: an empty set, examples of another size, or a sigma that is not above 0.
    """
    sigma = select_sigma(samples, validation[:MAX_VALIDATION], sigmas)
    scores = np.asarray(log_likelihood(samples, test, sigma), np.float64)
    return Estimate(
        sigma=sigma,
        mean=float(scores.mean()),
        standard_error=float(scores.std() / math.sqrt(len(scores))),
        at_edge=sigma in (np.min(sigmas), np.max(sigmas)),
    )


def select_sigma(samples: Examples, validation: Examples, sigmas: Sigmas) -> float:
    """The candidate sigma, in the data's unit, with the highest mean log-likelihood of the validation data.

    Raises:
      UserError: an empty set, examples of another size, or a sigma that is not above 0.
    """
    sigmas = np.asarray(sigmas, np.float64)
    if sigmas.ndim != 1 or sigmas.size == 0 or not np.all(sigmas > 0):
        raise UserError(f"sigmas must be a list of numbers above 0, not {sigmas.tolist()}.")
    scores = np.asarray(log_likelihoods(samples, validation, sigmas), np.float64).mean(axis=1)
    return float(sigmas[np.argmax(scores)])


def log_likelihood(
    samples: Examples, x: Num[AnyArray, "n ..."], sigma: float | Float[AnyArray, ""]
) -> Float32[Array, " n"]:
    """Log-density log mean_y N(x; y, sigma^2 I) over the samples y, for each x, in nats.

    Args:
      samples: the windows' centres.
      sigma: above 0, in the data's unit.

    Raises:
      UserError: an empty set, or examples of another size.
    """
    return log_likelihoods(samples, x, jnp.reshape(jnp.asarray(sigma, jnp.float32), (1,)))[0]


def log_likelihoods(samples: Examples, x: Num[AnyArray, "n ..."], sigmas: Sigmas) -> Float32[Array, "S n"]:
    """`log_likelihood` for each of `sigmas`, from distances computed once."""
    if len(samples) == 0 or len(x) == 0:
        raise UserError(f"got {len(samples)} samples and {len(x)} examples; a Parzen window needs some of both.")
    samples, x = (jnp.reshape(jnp.asarray(a, jnp.float32), (len(a), -1)) for a in (samples, x))
    if samples.shape[1] != x.shape[1]:
        raise UserError(
            f"samples have {samples.shape[1]} numbers each and the data {x.shape[1]}; "
            f"a Parzen window needs data like those the generator was trained on."
        )
    return _log_likelihoods(samples, x, jnp.asarray(sigmas, jnp.float32))


@jax.jit
def _log_likelihoods(samples: Array, x: Array, sigmas: Array) -> Array:
    # Distances don't depend on the origin, and rounding errors are smallest about the mean.
    origin = jnp.mean(samples, axis=0, keepdims=True)
    samples, x = samples - origin, x - origin
    norms = jnp.sum(jnp.square(samples), axis=1)

    def per_example(x: Array) -> Array:  # [d] -> [S]; batched over x, the product below is a matrix product
        relative = relative_squares(x, samples, norms)
        nearest = jnp.argmin(relative)
        # The sum over samples is taken relative to its largest term, the nearest sample's. That one is
        # computed from differences: the expanded square loses the digits that a small sigma magnifies.
        square = jnp.sum(jnp.square(x - samples[nearest]))

        def log_density(sigma: Array) -> Array:
            rate = 1 / (2 * jnp.square(sigma))
            mean = jnp.mean(jnp.exp((relative[nearest] - relative) * rate))
            return jnp.log(mean) - square * rate - x.size * jnp.log(sigma * math.sqrt(2 * math.pi))

        return jax.lax.map(log_density, sigmas)

    return jax.lax.map(per_example, x, batch_size=BATCH_SIZE).T


def measure(samples: Examples, validation: Examples, test: Examples) -> dict[str, float]:
    """`evaluate` with the paper's `SIGMAS`, as {name: value}."""
    estimate = evaluate(samples, validation, test, SIGMAS)
    validation_scores = np.asarray(log_likelihood(samples, validation[:MAX_VALIDATION], estimate.sigma), np.float64)
    return {
        "parzen_sigma": estimate.sigma,
        "parzen_sigma_at_edge": float(estimate.at_edge),
        "validation_log_likelihood": float(validation_scores.mean()),
        "test_log_likelihood": estimate.mean,
        "test_standard_error": estimate.standard_error,
    }


METRIC = Metric(
    needs=("samples", "validation", "test"),
    evaluate=measure,
    outputs={
        "test_log_likelihood": Display("Parzen test log-likelihood (nats)", 1, 1),
        "validation_log_likelihood": Display("Parzen validation log-likelihood (nats)", 1, 1),
    },
    best="validation_log_likelihood",
    used=lambda validation, fake: {"validation": min(validation, MAX_VALIDATION)},
)
